"""From maps to lanes: keypoints, start points and their association (spec ganet section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from perception.ops.association import associate, group_points
from perception.ops.heatmap_peaks import heatmap_peaks


@dataclass(frozen=True)
class DecodeSettings:
    """Thresholds of the decoder; lengths in cells of the heatmap.

    Attributes:
        stride: Input pixels per cell.
        kpt_thr: Least keypoint probability.
        root_thr: A keypoint whose vertical distance to its start point is below this is a start seed.
        center_radius: Keypoints and seeds within this distance of a start point belong to it; None groups the keypoints
            by their own predicted start points.
        cluster_radius: Radius of that grouping.
        points_thr: A lane needs more points than this.
        refine: Give lanes as one point per row, sorted from top to bottom, smoothed and with fractions (see
            `refine_lane`); off as published.
        half_pixel: Pixel centres move exactly under resizing, see `transforms.scale_points`; off as published.
    """

    stride: int = 8
    kpt_thr: float = 0.4
    root_thr: float = 1.0
    center_radius: float | None = 5.0
    cluster_radius: float = 3.0
    points_thr: int = 10
    refine: bool = False
    half_pixel: bool = False


class Keypoints(NamedTuple):
    """Keypoints of one image in row-major order, in cells.

    Attributes:
        cells: (K, 2) int64 xy.
        align: (K, 2) float32 xy with the sub-cell offset.
        root: (K, 2) float64 xy of the predicted start point.
        score: (K,) float32 probability.
        seeds: (S, 2) int64 xy of the start seeds, by x, then y.
    """

    cells: np.ndarray
    align: np.ndarray
    root: np.ndarray
    score: np.ndarray
    seeds: np.ndarray


def find_keypoints(heat: np.ndarray, start_offset: np.ndarray, cell_offset: np.ndarray, s: DecodeSettings) -> Keypoints:
    """Read keypoints from maps; cells with a value that is not finite are ignored.

    Args:
        heat: (h, w) keypoint probability.
        start_offset: (2, h, w) vector (x, y) to the start point, cells.
        cell_offset: (2, h, w) sub-cell offset (x, y), cells.
        s: Thresholds.
    """
    finite = np.isfinite(heat) & np.isfinite(start_offset).all(0) & np.isfinite(cell_offset).all(0)
    shown = np.where(finite, heat, np.float32(np.nan))[None]
    y, x = heatmap_peaks(torch.from_numpy(shown), s.kpt_thr).numpy()[:, 1:].T
    cells = np.stack([x, y], axis=1)
    where = y * heat.shape[1] + x
    to_start = start_offset.reshape(2, -1).take(where, axis=1)
    align = cells.astype(np.float32) + cell_offset.reshape(2, -1).take(where, axis=1).T.astype(np.float32)
    root = cells.astype(np.float64) + to_start.T
    seeds = cells[to_start[1] < s.root_thr]
    return Keypoints(cells, align, root, heat.take(where), seeds[np.argsort(seeds[:, 0], kind="stable")])


def group_keypoints(keypoints: Keypoints, s: DecodeSettings) -> tuple[list[np.ndarray], np.ndarray]:
    """Gather keypoints that share a start point.

    Returns:
        Index arrays into the keypoints, one per group (possibly empty); (G, 2) int64 centres of the groups (none when
        grouping without centre radius).
    """
    roots, root_splits = torch.from_numpy(keypoints.root), torch.tensor([0, len(keypoints.root)])
    if s.center_radius is None:
        label = group_points(roots, root_splits, s.cluster_radius).numpy()
        return _members(label, label.max(initial=-1) + 1), np.zeros((0, 2), np.int64)
    seeds, seed_splits = torch.from_numpy(keypoints.seeds), torch.tensor([0, len(keypoints.seeds)])
    owner, centers, groups = associate(roots, root_splits, seeds, seed_splits, s.center_radius)
    count = int(groups[0])
    return _members(owner.numpy(), count), centers.numpy()[:count]


def _members(label: np.ndarray, groups: int) -> list[np.ndarray]:
    return [np.flatnonzero(label == group) for group in range(groups)]


def to_image(points: np.ndarray, s: DecodeSettings, crop: Sequence[float], input_size: tuple[int, int]) -> np.ndarray:
    """Move points from cells to pixels of the original image.

    Args:
        points: (N, 2) xy in cells.
        s: Stride and rounding; without `refine` fractions are cut off, as published.
        crop: x0, y0, x1, y1 of the network's view in the original image.
        input_size: (width, height) of the network input.
    """
    x0, y0, x1, y1 = crop
    scale = np.array([(x1 - x0) / input_size[0], (y1 - y0) / input_size[1]])
    shift = 0.5 if s.half_pixel else 0.0
    moved = (points.astype(np.float64) * s.stride + shift) * scale - shift + np.array([x0, y0])
    return moved if s.refine else np.trunc(moved)


def refine_lane(points: np.ndarray, cells_y: np.ndarray, score: np.ndarray, stiffness: float = 0.5) -> np.ndarray:
    """One point per row, from top to bottom, smoothed.

    Points of a row are averaged by score. The result minimises squared distance to them plus `stiffness` times the
    squared second difference along the lane: single outliers bend the line less, straight lines stay untouched.

    Args:
        points: (N, 2) xy in any unit.
        cells_y: (N,) row of each point's cell.
        score: (N,) weights.
        stiffness: 0 keeps the averages.

    Returns:
        (M, 2) float64 xy, y strictly increasing.
    """
    rows, inverse = np.unique(cells_y, return_inverse=True)
    total = np.bincount(inverse, score, len(rows))
    mean = np.stack([np.bincount(inverse, score * points[:, axis], len(rows)) / total for axis in range(2)], axis=1)
    mean = mean[np.concatenate([[True], np.diff(np.maximum.accumulate(mean[:, 1])) > 0])]
    if len(mean) < 4 or stiffness == 0:
        return mean
    y = mean[:, 1]
    before, after = np.diff(y)[:-1], np.diff(y)[1:]
    bend = np.zeros((len(y) - 2, len(y)))
    index = np.arange(len(y) - 2)
    bend[index, index], bend[index, index + 2] = 1 / before, 1 / after
    bend[index, index + 1] = -(1 / before + 1 / after)
    bend *= np.median(np.diff(y))
    x = np.linalg.solve(np.eye(len(y)) + stiffness * bend.T @ bend, mean[:, 0])
    return np.stack([x, y], axis=1)


def decode_lanes(
    heat: np.ndarray,
    start_offset: np.ndarray,
    cell_offset: np.ndarray,
    s: DecodeSettings,
    crop: Sequence[float],
    input_size: tuple[int, int],
) -> tuple[list[np.ndarray], np.ndarray]:
    """Lanes of one image.

    Args:
        heat: (h, w) keypoint probability.
        start_offset: (2, h, w), cells.
        cell_offset: (2, h, w), cells.
        s: Thresholds.
        crop: x0, y0, x1, y1 of the network's view, original pixels.
        input_size: (width, height) of the network input.

    Returns:
        Lanes (N, 2) float32 xy in original pixels, top of the image first, and their scores (L,) float32, the mean
        keypoint probability.
    """
    keypoints = find_keypoints(heat, start_offset, cell_offset, s)
    groups, _ = group_keypoints(keypoints, s)
    moved = None if s.refine else to_image(keypoints.align, s, crop, input_size).astype(np.float32)
    lanes, scores = [], []
    for group in groups:
        if len(group) <= max(s.points_thr, 1):
            continue
        if moved is None:
            line = refine_lane(keypoints.align[group], keypoints.cells[group, 1], keypoints.score[group])
            if len(line) < 2:
                continue
            lanes.append(to_image(line, s, crop, input_size).astype(np.float32))
        else:
            lanes.append(moved[group])
        scores.append(float(keypoints.score[group].sum() / len(group)))
    return lanes, np.array(scores, np.float32)


def culane_text(lanes: Sequence[np.ndarray]) -> str:
    """CULane result file: a lane per line, ``x y`` pairs with two decimals."""
    return "".join(" ".join(f"{value:.2f}" for value in lane.reshape(-1)) + "\n" for lane in lanes)


def tusimple_lane(lane: np.ndarray, h_samples: Sequence[int]) -> list[int]:
    """TuSimple x at each sample row: first segment (in point order) whose y range holds it, -2 when there is none."""
    ends = np.stack([lane[:-1], lane[1:]], axis=1).astype(np.float64)  # (N - 1, 2 ends, xy)
    ends = ends[ends[:, 0, 1] != ends[:, 1, 1]]
    xs = []
    for row in h_samples:
        hit = np.flatnonzero((ends[:, :, 1].min(axis=1) <= row) & (row <= ends[:, :, 1].max(axis=1)))
        if not len(hit):
            xs.append(-2)
            continue
        (xa, ya), (xb, yb) = ends[hit[0]]
        xs.append(int(xa + (row - ya) * (xb - xa) / (yb - ya) + 0.49999))
    return xs
