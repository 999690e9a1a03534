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


def new_maps(size: tuple[int, int, int]) -> tuple[np.ndarray, ...]:
    """Maps for `statistics` to write, int32 and three float32.

    ``numpy.empty`` asks for large pages, which ``numpy.zeros`` and torch do not: ten times fewer page faults.
    """
    return (np.empty(size, np.int32), *(np.empty(size, np.float32) for _ in range(3)))


@njit(cache=True, nogil=True, error_model="numpy")
def _by_row(
    points: np.ndarray, r: np.ndarray, numbers: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns and heights of the points inside, row by row of the grid, and (H + 1,) where rows begin; stable."""
    height, width, zero = np.float32(shape[0]), np.float32(shape[1]), np.float32(0)
    a, b, c, d = r[0, 0], r[0, 1], r[0, 2], r[0, 3]
    e, f, g, h = r[1, 0], r[1, 1], r[1, 2], r[1, 3]
    j, k, m, n = r[2, 0], r[2, 1], r[2, 2], r[2, 3]
    size, row_offset, column_offset, lowest, highest = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    cells, heights = np.empty((points.shape[0], 2), np.int32), np.empty(points.shape[0], np.float32)
    begin, inside = np.zeros(shape[0] + 1, np.int64), 0
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        u = (a * x + b * y + c * z + d) / size + row_offset
        v = (e * x + f * y + g * z + h) / size + column_offset
        w = j * x + k * y + m * z + n
        if (w > lowest) & (w < highest) & (u >= zero) & (u < height) & (v >= zero) & (v < width):
            cells[inside, 0], cells[inside, 1], heights[inside] = np.int32(u), np.int32(v), w
            begin[cells[inside, 0] + 1] += 1
            inside += 1
    for row in range(shape[0]):
        begin[row + 1] += begin[row]
    place, columns, sorted_heights = begin.copy(), np.empty(inside, np.int32), np.empty(inside, np.float32)
    for i in range(inside):
        at = place[cells[i, 0]]
        columns[at], sorted_heights[at] = cells[i, 1], heights[i]
        place[cells[i, 0]] = at + 1
    return columns, sorted_heights, begin


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
    """Write the maps of one sweep row by row, so that every line of them passes through the cache once."""
    columns, heights, begin = _by_row(points, r, numbers, count.shape)
    sums, touched = np.empty(count.shape[1], np.int64), np.empty(count.shape[1], np.int32)
    for row in range(count.shape[0]):
        counts, highs, means, used = count[row], high[row], mean[row], 0
        lows = low[min(row, len(low) - 1)]
        counts[:] = 0
        highs[:] = 0
        lows[:] = 0
        means[:] = 0
        for i in range(begin[row], begin[row + 1]):
            column, w = columns[i], heights[i]
            whole = np.int64((np.float64(w) + SHIFT) * SCALE + 0.5)
            if counts[column] == 0:
                touched[used] = column
                used += 1
                counts[column], highs[column], lows[column], sums[column] = 1, w, w, whole
            else:
                counts[column] += 1
                highs[column], lows[column] = max(highs[column], w), min(lows[column], w)
                sums[column] += whole
        for i in range(used):
            column = touched[i]
            means[column] = np.float32(np.float64(sums[column]) / counts[column] / SCALE - SHIFT)


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
    """Write count, maximum, minimum and mean of the heights of cells into maps (T, H, W), whatever they held.

    A ``low`` of (T, 1, W) is a row to work in: it stays in the cache, and the map is not made.
    """
    for t in range(len(count)):
        _gather(points[splits[t] : splits[t + 1]], rows[t], numbers, count[t], high[t], low[t], mean[t])
