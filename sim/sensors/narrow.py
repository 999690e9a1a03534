"""Which rays can meet the few things that move: the others are spared a second cast. Never wrong, at times too many."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from perception.sim.sensors.visible import pixel_bounds, to_camera

_CELLS = 96
_SUN_CELL = 0.5
_MARGIN = 0.02


class SunCells(NamedTuple):
    """A grid across the sun's direction: where something may throw a shadow.

    Attributes:
        axes: (2, 3) float64 unit vectors across the sun.
        low: (2,) float64 coordinates of the corner, metres.
        mask: (R, C) bool.
    """

    axes: np.ndarray
    low: np.ndarray
    mask: np.ndarray


def sun_cells(vertices: np.ndarray, triangles: np.ndarray, sun: np.ndarray) -> SunCells:
    """The cells that triangles (T, 3) of (V, 3) ``vertices`` touch along unit vector ``sun``."""
    sun = np.asarray(sun, np.float64)
    first = np.cross(sun, np.eye(3)[np.argmin(np.abs(sun))])
    axes = np.stack([first, np.cross(sun, first)]) / np.linalg.norm(first)
    flat = (vertices @ axes.T) / _SUN_CELL
    low = flat.min(0) - 1
    mask = np.zeros(np.ceil(flat.max(0) - low).astype(int) + 1, bool)
    _mark_flat(flat - low, triangles, mask)
    return SunCells(axes, low * _SUN_CELL, mask)


@njit(cache=True)
def _mark_flat(flat, triangles, mask):  # type: ignore[no-untyped-def]
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        low0, high0 = min(flat[a, 0], flat[b, 0], flat[c, 0]), max(flat[a, 0], flat[b, 0], flat[c, 0])
        low1, high1 = min(flat[a, 1], flat[b, 1], flat[c, 1]), max(flat[a, 1], flat[b, 1], flat[c, 1])
        mask[int(low0 - _MARGIN) : int(high0 + _MARGIN) + 1, int(low1 - _MARGIN) : int(high1 + _MARGIN) + 1] = True


@njit(cache=True)
def in_cells(points, axes, low, mask):  # type: ignore[no-untyped-def]
    """Rows of (N, 3) ``points`` whose way to the sun leads through a cell of :class:`SunCells`."""
    out = np.empty(points.shape[0], np.int64)
    count = 0
    for i in range(points.shape[0]):
        u, v = -low[0], -low[1]
        for k in range(3):
            u += points[i, k] * axes[0, k]
            v += points[i, k] * axes[1, k]
        row, column = int(np.floor(u / _SUN_CELL)), int(np.floor(v / _SUN_CELL))
        if 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1] and mask[row, column]:
            out[count] = i
            count += 1
    return out[:count]


def towards(vertices: np.ndarray, triangles: np.ndarray, pose: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Rows of the rays from a camera that may hit a mesh.

    Args:
        vertices: (V, 3) world metres.
        triangles: (T, 3).
        pose: (4, 4) ``world_from_camera``.
        rays: (P, 3) float32 camera-frame directions with z = 1.
    """
    low, high = _extent(rays)
    scale = _CELLS / np.maximum(high - low, 1e-6)
    lens = np.concatenate([scale, -low * scale])
    mask = np.zeros((_CELLS + 1, _CELLS + 1), bool)
    _mark_seen(to_camera(vertices, pose), triangles, lens, mask)
    return _within(rays, lens, mask)


@njit(cache=True)
def _extent(rays):  # type: ignore[no-untyped-def]
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for i in range(rays.shape[0]):
        for k in range(2):
            low[k], high[k] = min(low[k], rays[i, k]), max(high[k], rays[i, k])
    return low, high


@njit(cache=True, error_model="numpy")
def _mark_seen(points, triangles, lens, mask):  # type: ignore[no-untyped-def]
    last = mask.shape[0] - 1.0
    corners = np.empty((3, 3))
    for t in range(triangles.shape[0]):
        for i in range(3):
            for k in range(3):
                corners[i, k] = points[triangles[t, i], k]
        left, right, top, bottom = pixel_bounds(corners, lens[0], lens[1], lens[2], lens[3])
        x0, x1 = max(left - _MARGIN, 0.0), min(right + _MARGIN, last)
        y0, y1 = max(top - _MARGIN, 0.0), min(bottom + _MARGIN, last)
        if x0 <= x1 and y0 <= y1:
            mask[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = True


@njit(cache=True)
def _within(rays, lens, mask):  # type: ignore[no-untyped-def]
    out = np.empty(rays.shape[0], np.int64)
    count = 0
    last = mask.shape[0] - 1
    for i in range(rays.shape[0]):
        column, row = int(rays[i, 0] * lens[0] + lens[2]), int(rays[i, 1] * lens[1] + lens[3])
        if mask[min(max(row, 0), last), min(max(column, 0), last)]:
            out[count] = i
            count += 1
    return out[:count]
