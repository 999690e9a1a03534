"""Density maps from points: the published fixed and adaptive kernels, and a separable form for training on the fly.

Points are (x, y) in pixels, pixel k covering [k, k + 1), as in the published annotation files.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

ATTENTION_THRESHOLD = 0.001


class FixedDensity(NamedTuple):
    """Fixed-kernel target of one image.

    Attributes:
        density: (H, W) float32 people a pixel.
        attention: (H, W) bool, where the density exceeds `ATTENTION_THRESHOLD`.
        people: Points inside the image, before equal pixels merge.
    """

    density: np.ndarray
    attention: np.ndarray
    people: int


def dots(points: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, int]:
    """Map with 1 at the pixel of each point, and the number of points inside; points outside are dropped.

    Args:
        points: (N, 2) xy.
        shape: (H, W).
    """
    points = np.asarray(points, np.float64).reshape(-1, 2)
    cell = np.trunc(points[np.isfinite(points).all(1)]).astype(np.int64)
    inside = (cell >= 0).all(1) & (cell[:, 0] < shape[1]) & (cell[:, 1] < shape[0])
    out = np.zeros(shape, np.float32)
    out[cell[inside, 1], cell[inside, 0]] = 1
    return out, int(inside.sum())


def fixed_density(points: np.ndarray, shape: tuple[int, int], sigma: float = 5.0) -> FixedDensity:
    """One Gaussian for all heads, as SFANet (sigma 5) and CSRNet (15) are trained; borders reflect, so mass is kept."""
    marked, count = dots(points, shape)
    density = gaussian_filter(marked, sigma)
    return FixedDensity(density, density > ATTENTION_THRESHOLD, count)


def neighbour_distances(points: np.ndarray, k: int = 3) -> np.ndarray:
    """(N, k) distances to the nearest other points, ascending; inf where there are fewer."""
    points = np.asarray(points, np.float64).reshape(-1, 2)
    if len(points) < 2:
        return np.full((len(points), k), np.inf)
    return KDTree(points).query(points, k=k + 1)[0][:, 1:]


def adaptive_sigmas(points: np.ndarray, shape: tuple[int, int], cap: float | None = None) -> np.ndarray:
    """(N,) sigma of geometry-adaptive kernels: 0.1 (d1 + d2 + d3).

    A single point gets mean(H, W) / 4, as published. With fewer than four points some distances do not exist: the
    mean of those that do takes their place.

    Args:
        points: (N, 2) xy.
        shape: (H, W).
        cap: Largest sigma, pixels.
    """
    distances = neighbour_distances(points)
    known = np.isfinite(distances)
    total = np.where(known, distances, 0).sum(1)
    sigma = 0.3 * total / np.maximum(known.sum(1), 1)
    sigma = np.where(known.all(1), 0.1 * total, sigma)
    sigma = np.where(known.any(1), sigma, float(np.mean(shape)) / 4)
    return sigma if cap is None else np.minimum(sigma, cap)


def adaptive_density(points: np.ndarray, shape: tuple[int, int], truncate: float = 4.0) -> np.ndarray:
    """Geometry-adaptive density as published: kernels of scipy's discrete Gaussian, cut off at the border.

    Args:
        points: (N, 2) xy; equal pixels merge and points outside are dropped.
        shape: (H, W).
        truncate: Radius of the kernels in sigmas.

    Returns:
        (H, W) float32; near borders mass is lost, as in the original.
    """
    rows, columns = np.nonzero(dots(points, shape)[0])
    sigma = adaptive_sigmas(np.stack([columns, rows], -1), shape)
    return _splat(_discrete(columns, sigma, shape[1], truncate), _discrete(rows, sigma, shape[0], truncate))


def point_density(points: np.ndarray, shape: tuple[int, int], sigma: np.ndarray | float, stride: int = 1) -> np.ndarray:
    """Density on a coarse grid in which every point inside counts exactly 1; equal points add up.

    Args:
        points: (N, 2) xy in pixels; points outside the grid are dropped.
        shape: (h, w) cells.
        sigma: Of the kernels, pixels; (N,) or one for all.
        stride: Edge of a cell, pixels.

    Returns:
        (h, w) float32.
    """
    points = np.asarray(points, np.float64).reshape(-1, 2) / stride
    inside = (points >= 0).all(1) & (points[:, 0] < shape[1]) & (points[:, 1] < shape[0])
    spread = np.broadcast_to(np.asarray(sigma, np.float64) / stride, (len(points),))[inside]
    spread = np.maximum(spread, 1e-3)
    points = points[inside]
    return _splat(_smooth(points[:, 0], spread, shape[1]), _smooth(points[:, 1], spread, shape[0]))


def _splat(across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Sum of separable kernels (N, w) and (N, h): one matrix product."""
    return (down.T.astype(np.float32) @ across.astype(np.float32)).astype(np.float32)


def _discrete(center: np.ndarray, sigma: np.ndarray, length: int, truncate: float) -> np.ndarray:
    """(N, length) weights of scipy's discrete Gaussian about integer centres, normalised before it is cut off."""
    radius = (truncate * sigma + 0.5).astype(np.int64)
    offset = np.arange(length)[None] - center[:, None]
    weight = np.exp(-0.5 * (offset / sigma[:, None]) ** 2) * (np.abs(offset) <= radius[:, None])
    reach = np.arange(1, int(radius.max(initial=0)) + 1)
    tail = np.exp(-0.5 * (reach[None] / sigma[:, None]) ** 2) * (reach[None] <= radius[:, None])
    return weight / (1 + 2 * tail.sum(1, keepdims=True))


def _smooth(center: np.ndarray, sigma: np.ndarray, length: int) -> np.ndarray:
    """(N, length) weights of a Gaussian at cell middles, normalised inside the grid."""
    offset = (np.arange(length)[None] + 0.5 - center[:, None]) / sigma[:, None]
    weight = np.exp(-0.5 * np.minimum(offset**2, 1200.0))
    nearest = np.arange(length)[None] == np.floor(center).astype(np.int64)[:, None]
    weight = np.where(weight.sum(1, keepdims=True) > 1e-12, weight, nearest)
    return weight / weight.sum(1, keepdims=True)


def shrink(density: np.ndarray) -> np.ndarray:
    """(H, W) density at stride 2: bilinear halving times 4, which is the sum of 2 x 2 pixels for even sides."""
    return shrink_map(density) * 4


def shrink_map(values: np.ndarray) -> np.ndarray:
    """(H // 2, W // 2) float32 of a (H, W) map, bilinear; attention targets become soft at outlines."""
    values = np.asarray(values, np.float32)
    return cv2.resize(values, (values.shape[1] // 2, values.shape[0] // 2), interpolation=cv2.INTER_LINEAR)
