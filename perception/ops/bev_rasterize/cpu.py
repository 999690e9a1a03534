"""The op as numba kernels for the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from perception.ops.bev_rasterize.layout import SCALE, SHIFT


def floats(numbers: Sequence[float]) -> np.ndarray:
    """Numbers as the float32 array that the kernels take."""
    return np.asarray(numbers, np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def occupancy(points: np.ndarray, splits: np.ndarray, rows: np.ndarray, numbers: np.ndarray, out: np.ndarray) -> None:
    """Mark occupied cells in ``out`` (T, H, W) uint8; a comparison with NaN is false."""
    for t in range(out.shape[0]):
        _occupied(points, splits[t], splits[t + 1], rows[t], numbers, out[t])


@njit(cache=True, nogil=True, error_model="numpy")
def _occupied(points: np.ndarray, first: int, last: int, r: np.ndarray, numbers: np.ndarray, out: np.ndarray) -> None:
    """One sweep. ``0 <= u < n`` says the same of u as of its floor, which conversion to an integer then is."""
    height, width, zero = np.float32(out.shape[0]), np.float32(out.shape[1]), np.float32(0)
    a, b, c, d = r[0, 0], r[0, 1], r[0, 2], r[0, 3]
    e, f, g, h = r[1, 0], r[1, 1], r[1, 2], r[1, 3]
    j, k, m, n = r[2, 0], r[2, 1], r[2, 2], r[2, 3]
    size, row_offset, column_offset, low, high = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    for i in range(first, last):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        u = (a * x + b * y + c * z + d) / size + row_offset
        v = (e * x + f * y + g * z + h) / size + column_offset
        w = j * x + k * y + m * z + n
        if (w > low) & (w < high) & (w < np.inf) & (u >= zero) & (u < height) & (v >= zero) & (v < width):
            out[np.int64(u), np.int64(v)] = 1


def blank_maps(size: tuple[int, int, int]) -> tuple[np.ndarray, ...]:
    """Maps of zeros for `statistics`, int32 and three float32.

    ``numpy.empty`` asks for large pages, which ``numpy.zeros`` and torch do not: ten times fewer page faults.
    """
    maps = (np.empty(size, np.int32), *(np.empty(size, np.float32) for _ in range(3)))
    for one in maps:
        one.fill(0)
    return maps


@njit(cache=True, nogil=True, error_model="numpy")
def _gather(
    points: np.ndarray,
    r: np.ndarray,
    numbers: np.ndarray,
    count: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    mean: np.ndarray,
) -> None:
    """Gather in one small record a touched cell, then write those cells; the maps come as zeros.

    ``count`` holds the number of a cell's record in the meantime, so that a point touches one map and one record.
    """
    height, width, zero = np.float32(count.shape[0]), np.float32(count.shape[1]), np.float32(0)
    a, b, c, d = r[0, 0], r[0, 1], r[0, 2], r[0, 3]
    e, f, g, h = r[1, 0], r[1, 1], r[1, 2], r[1, 3]
    j, k, m, n = r[2, 0], r[2, 1], r[2, 2], r[2, 3]
    size, row_offset, column_offset, lowest, highest = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    capacity = min(points.shape[0], count.size)
    wholes, extremes = np.empty((capacity, 3), np.int64), np.empty((capacity, 2), np.float32)  # cell, count, sum
    record_of, used, columns = count.ravel(), 0, count.shape[1]
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        u = (a * x + b * y + c * z + d) / size + row_offset
        v = (e * x + f * y + g * z + h) / size + column_offset
        w = j * x + k * y + m * z + n
        if not ((w > lowest) & (w < highest) & (u >= zero) & (u < height) & (v >= zero) & (v < width)):
            continue
        cell = np.int64(u) * columns + np.int64(v)
        whole = np.int64((np.float64(w) + SHIFT) * SCALE + 0.5)
        record = record_of[cell] - 1
        if record < 0:
            wholes[used, 0], wholes[used, 1], wholes[used, 2] = cell, 1, whole
            extremes[used, 0] = extremes[used, 1] = w
            used += 1
            record_of[cell] = used
        else:
            wholes[record, 1] += 1
            wholes[record, 2] += whole
            extremes[record, 0] = max(extremes[record, 0], w)
            extremes[record, 1] = min(extremes[record, 1], w)
    flat_high, flat_low, flat_mean = high.ravel(), low.ravel(), mean.ravel()
    for record in range(used):
        cell = wholes[record, 0]
        record_of[cell] = wholes[record, 1]
        flat_high[cell], flat_low[cell] = extremes[record, 0], extremes[record, 1]
        flat_mean[cell] = np.float32(np.float64(wholes[record, 2]) / wholes[record, 1] / SCALE - SHIFT)


@njit(cache=True, nogil=True)
def statistics(
    points: np.ndarray,
    splits: np.ndarray,
    rows: np.ndarray,
    numbers: np.ndarray,
    count: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    mean: np.ndarray,
) -> None:
    """Write count, maximum, minimum and mean of the heights of cells into maps (T, H, W) of zeros."""
    for t in range(len(count)):
        _gather(points[splits[t] : splits[t + 1]], rows[t], numbers, count[t], high[t], low[t], mean[t])
