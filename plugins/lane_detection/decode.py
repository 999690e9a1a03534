"""From maps to lanes: keypoints, start points and their association (spec ganet section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

from perception.ops.association import associate, group_points
from perception.ops.heatmap_peaks import heatmap_peaks

from . import decode_kernels as kernels


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
    """Keypoints of B images, concatenated, of each image in row-major order, in cells.

    Attributes:
        cells: (K, 2) int64 xy.
        align: (K, 2) float32 xy with the sub-cell offset.
        root: (K, 2) float64 xy of the predicted start point.
        score: (K,) float32 probability.
        splits: (B + 1,) int64, where the keypoints of each image begin.
        seeds: (S, 2) int64 xy of the start seeds, by x, then y.
        seed_splits: (B + 1,) int64, where the seeds of each image begin.
    """

    cells: np.ndarray
    align: np.ndarray
    root: np.ndarray
    score: np.ndarray
    splits: np.ndarray
    seeds: np.ndarray
    seed_splits: np.ndarray


class Groups(NamedTuple):
    """Keypoints that share a start point.

    Attributes:
        order: (M,) int64 keypoints, group by group, ascending within a group.
        bounds: (G + 1,) int64, where each group begins in `order`; groups may be empty.
        splits: (B + 1,) int64, where the groups of each image begin.
        centers: (G, 2) int64 xy in cells; (0, 2) when grouping without centre radius.
    """

    order: np.ndarray
    bounds: np.ndarray
    splits: np.ndarray
    centers: np.ndarray

    def members(self) -> list[np.ndarray]:
        """Keypoints of every group."""
        return [self.order[begin:end] for begin, end in pairwise(self.bounds.tolist())]


def find_keypoints(heat: np.ndarray, start_offset: np.ndarray, cell_offset: np.ndarray, s: DecodeSettings) -> Keypoints:
    """Read keypoints from maps; cells with a value that is not finite are ignored.

    Args:
        heat: (B, h, w) keypoint probability, float32.
        start_offset: (B, 2, h, w) vector (x, y) to the start point, cells.
        cell_offset: (B, 2, h, w) sub-cell offset (x, y), cells.
        s: Thresholds.
    """
    shown = kernels.hide_not_finite(heat, start_offset, cell_offset)
    peaks = heatmap_peaks(torch.from_numpy(shown), s.kpt_thr).numpy()
    return Keypoints(*kernels.gather(peaks, heat, start_offset, cell_offset, s.root_thr))


def group_keypoints(keypoints: Keypoints, s: DecodeSettings) -> Groups:
    """Gather keypoints that share a start point, for all images at once."""
    roots, root_splits = torch.from_numpy(keypoints.root), torch.from_numpy(keypoints.splits)
    if s.center_radius is None:
        owner = group_points(roots, root_splits, s.cluster_radius).numpy()
        order, bounds, splits = kernels.collect(owner, keypoints.splits, np.zeros(0, np.int64))
        return Groups(order, bounds, splits, np.zeros((0, 2), np.int64))
    seeds, seed_splits = torch.from_numpy(keypoints.seeds), torch.from_numpy(keypoints.seed_splits)
    found, centers, counts = associate(roots, root_splits, seeds, seed_splits, s.center_radius)
    order, bounds, splits = kernels.collect(found.numpy(), keypoints.splits, counts.numpy())
    used = kernels.used_rows(keypoints.seed_splits, counts.numpy())
    return Groups(order, bounds, splits, centers.numpy()[used])


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
    order = np.argsort(cells_y, kind="stable")
    return kernels.refine(points[order].astype(np.float64), cells_y[order], score[order].astype(np.float64), stiffness)


def decode_batch(
    heat: np.ndarray,
    start_offset: np.ndarray,
    cell_offset: np.ndarray,
    s: DecodeSettings,
    crops: Sequence[Sequence[float]],
    input_sizes: Sequence[tuple[int, int]],
) -> list[tuple[list[np.ndarray], np.ndarray]]:
    """Lanes of B images.

    Args:
        heat: (B, h, w) keypoint probability, float32.
        start_offset: (B, 2, h, w), cells, float32.
        cell_offset: (B, 2, h, w), cells, float32.
        s: Thresholds.
        crops: x0, y0, x1, y1 of the network's view of each image, original pixels.
        input_sizes: (width, height) of the network input of each image.

    Returns:
        For each image its lanes, (N, 2) float32 xy in original pixels, top of the image first, and their scores (L,)
        float32, the mean keypoint probability.
    """
    keypoints = find_keypoints(heat, start_offset, cell_offset, s)
    groups = group_keypoints(keypoints, s)
    bounds, splits, results = groups.bounds.tolist(), groups.splits.tolist(), []
    for image, (crop, size) in enumerate(zip(crops, input_sizes, strict=True)):
        begin, end = keypoints.splits[image], keypoints.splits[image + 1]
        moved = None if s.refine else to_image(keypoints.align[begin:end], s, crop, size).astype(np.float32)
        lanes, scores = [], []
        for g in range(splits[image], splits[image + 1]):
            if bounds[g + 1] - bounds[g] <= max(s.points_thr, 1):
                continue
            group = groups.order[bounds[g] : bounds[g + 1]]
            score = keypoints.score[group]
            if moved is None:
                line = refine_lane(keypoints.align[group], keypoints.cells[group, 1], score)
                if len(line) < 2:
                    continue
                lanes.append(to_image(line, s, crop, size).astype(np.float32))
            else:
                lanes.append(moved[group - begin])
            scores.append(float(score.sum() / len(group)))
        results.append((lanes, np.array(scores, np.float32)))
    return results


def decode_lanes(
    heat: np.ndarray,
    start_offset: np.ndarray,
    cell_offset: np.ndarray,
    s: DecodeSettings,
    crop: Sequence[float],
    input_size: tuple[int, int],
) -> tuple[list[np.ndarray], np.ndarray]:
    """Lanes and scores of one image: `decode_batch` for maps (h, w), (2, h, w), (2, h, w)."""
    return decode_batch(heat[None], start_offset[None], cell_offset[None], s, [crop], [input_size])[0]


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
