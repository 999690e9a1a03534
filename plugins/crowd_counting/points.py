"""Point targets of Bayesian training: scaling, neighbour distances, crops with the share of each head inside."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .density import neighbour_distances

DISTANCE_LIMITS = (4.0, 128.0)
KEEP_SHARE = 0.3


def scaled_size(height: int, width: int, least: int, most: int) -> tuple[int, int, float]:
    """Size whose short side lies within [least, most], and the factor; sizes round to whole pixels.

    Returns:
        (height, width, factor).
    """
    short = min(height, width)
    factor = 1.0
    if short < least:
        factor = least / short
    elif short > most:
        factor = most / short
    if factor == 1.0:
        return height, width, 1.0
    return round(height * factor), round(width * factor), factor


def rounded_size(side: int, multiple: int = 16) -> int:
    """Nearest multiple, halves to even, as the published test code rounds: 40 -> 32, 56 -> 64."""
    return round(side / multiple) * multiple


def mean_neighbour_distance(points: np.ndarray, fallback: float = DISTANCE_LIMITS[1]) -> np.ndarray:
    """(N, 1) float32 mean distance to the three nearest other points.

    With fewer than four points the mean of the distances that exist, and ``fallback`` for a single point.
    """
    distances = neighbour_distances(points)
    known = np.isfinite(distances)
    total = np.where(known, distances, 0.0).sum(1)
    mean = np.where(known.any(1), total / np.maximum(known.sum(1), 1), fallback)
    return mean[:, None].astype(np.float32)


class PointTargets(NamedTuple):
    """Targets of a crop.

    Attributes:
        points: (K, 2) xy in the crop; they may lie outside it.
        targets: (K,) share of the head's box inside the crop.
        kept: (N,) bool, which of all points these are.
        share: (N,) share of all points.
    """

    points: np.ndarray
    targets: np.ndarray
    kept: np.ndarray
    share: np.ndarray


def crop_targets(
    points: np.ndarray, distances: np.ndarray, top: int, left: int, height: int, width: int
) -> PointTargets:
    """Points of a crop, by the part of the box round each head that lies inside.

    Args:
        points: (N, 2) xy in the image.
        distances: (N,) mean neighbour distances, the sides of the boxes after clipping to `DISTANCE_LIMITS`.
        top: First row of the crop.
        left: First column of the crop.
        height: Of the crop, pixels.
        width: Of the crop, pixels.
    """
    points = np.asarray(points).reshape(-1, 2)
    side = np.clip(np.asarray(distances).reshape(-1), *DISTANCE_LIMITS)
    low, high = points - side[:, None] / 2, points + side[:, None] / 2
    first = np.maximum(low, [left, top])
    last = np.minimum(high, [left + width, top + height])
    inner = np.maximum(last - first, 0.0).prod(1)
    share = inner / (side * side)
    kept = share >= KEEP_SHARE
    return PointTargets(points[kept] - [left, top], share[kept], kept, share)


def flipped(points: np.ndarray, width: int) -> np.ndarray:
    """(N, 2) points after mirroring an image of ``width`` pixels."""
    return np.stack([width - points[:, 0], points[:, 1]], -1)
