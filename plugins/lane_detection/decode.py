"""From maps to lanes: keypoints, start points and their association (spec ganet section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np


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


def row_maxima(heat: np.ndarray) -> np.ndarray:
    """Keep cells of (h, w) that equal the maximum of themselves and both row neighbours; others become 0."""
    padded = np.pad(heat, ((0, 0), (1, 1)), constant_values=-np.inf)
    peak = (heat >= padded[:, :-2]) & (heat >= padded[:, 2:])
    return np.where(peak, heat, np.zeros_like(heat))


def find_keypoints(heat: np.ndarray, start_offset: np.ndarray, cell_offset: np.ndarray, s: DecodeSettings) -> Keypoints:
    """Read keypoints from maps; cells with a value that is not finite are ignored.

    Args:
        heat: (h, w) keypoint probability.
        start_offset: (2, h, w) vector (x, y) to the start point, cells.
        cell_offset: (2, h, w) sub-cell offset (x, y), cells.
        s: Thresholds.
    """
    finite = np.isfinite(heat) & np.isfinite(start_offset).all(0) & np.isfinite(cell_offset).all(0)
    peaks = np.where(finite, row_maxima(np.where(finite, heat, 0)), 0)
    chosen = peaks > s.kpt_thr
    y, x = np.nonzero(chosen)
    cells = np.stack([x, y], axis=1)
    align = cells.astype(np.float32) + cell_offset[:, y, x].T.astype(np.float32)
    root = cells.astype(np.float64) + start_offset[:, y, x].T
    seed_x, seed_y = np.nonzero((chosen & (start_offset[1] < s.root_thr)).T)
    return Keypoints(cells, align, root, heat[y, x], np.stack([seed_x, seed_y], axis=1))


@numba.njit(cache=True)
def group_points(points: np.ndarray, radius: float) -> np.ndarray:
    """Greedy grouping: each point joins the first group with a member within `radius`, else opens a group.

    Args:
        points: (N, 2) float64.
        radius: Largest distance; groups are never merged.

    Returns:
        (N,) int64 group of each point, numbered by first appearance.
    """
    count = len(points)
    group = np.empty(count, np.int64)
    groups = 0
    for i in range(count):
        best = groups
        for j in range(i):
            if group[j] < best:
                dx, dy = points[i, 0] - points[j, 0], points[i, 1] - points[j, 1]
                if np.sqrt(dx * dx + dy * dy) <= radius:
                    best = group[j]
        group[i] = best
        groups = max(groups, best + 1)
    return group


def group_keypoints(keypoints: Keypoints, s: DecodeSettings) -> tuple[list[np.ndarray], np.ndarray]:
    """Gather keypoints that share a start point.

    Returns:
        Index arrays into the keypoints, one per group (possibly empty); (G, 2) int64 centres of the groups (none when
        grouping without centre radius).
    """
    if s.center_radius is None:
        label = group_points(keypoints.root, s.cluster_radius)
        return _members(label, label.max(initial=-1) + 1), np.zeros((0, 2), np.int64)
    label = group_points(keypoints.seeds.astype(np.float64), s.center_radius)
    seeds = _members(label, label.max(initial=-1) + 1)
    centers = np.array([keypoints.seeds[seed].mean(axis=0) for seed in seeds]).reshape(-1, 2).astype(np.int64)
    if not len(centers):
        return [], centers
    near = np.linalg.norm(keypoints.root[:, None] - centers[None], axis=2) <= s.center_radius
    owner = np.where(near.any(axis=1), near.argmax(axis=1), -1)
    return _members(owner, len(centers)), centers


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
    lanes, scores = [], []
    for group in groups:
        if len(group) <= max(s.points_thr, 1):
            continue
        points = keypoints.align[group]
        if s.refine:
            points = refine_lane(points, keypoints.cells[group, 1], keypoints.score[group])
            if len(points) < 2:
                continue
        lanes.append(to_image(points, s, crop, input_size).astype(np.float32))
        scores.append(float(keypoints.score[group].mean()))
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
