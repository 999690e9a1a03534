"""The op as a numba kernel for the CPU."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def intersections(rows: np.ndarray, others: np.ndarray, out: np.ndarray) -> None:
    """Write the shared area of every pair; rows (N, 6): centre, half sizes, cosine and sine."""
    polygon, kept = np.empty((20, 2)), np.empty((20, 2))
    for i in range(len(rows)):
        for k in range(len(others)):
            out[i, k] = 0.0
            reach = np.hypot(rows[i, 2], rows[i, 3]) + np.hypot(others[k, 2], others[k, 3])
            gap = np.hypot(rows[i, 0] - others[k, 0], rows[i, 1] - others[k, 1])
            if gap <= reach * 1.000001 and reach < np.inf:  # false for NaN
                _corners(rows[i], others[k], polygon)
                out[i, k] = _area(polygon, _clip(polygon, kept, others[k, 2], others[k, 3]))


@njit(cache=True, nogil=True)
def _corners(row: np.ndarray, other: np.ndarray, out: np.ndarray) -> None:
    for corner in range(4):
        a = row[2] if corner in (0, 3) else -row[2]
        b = row[3] if corner < 2 else -row[3]
        dx = row[0] - other[0] + (row[4] * a - row[5] * b)
        dy = row[1] - other[1] + (row[5] * a + row[4] * b)
        out[corner, 0], out[corner, 1] = other[4] * dx + other[5] * dy, other[4] * dy - other[5] * dx


@njit(cache=True, nogil=True)
def _clip(polygon: np.ndarray, kept: np.ndarray, length: float, width: float) -> int:
    """Clip four corners in place; returns how many points the result has: at most 8, or 19 where rounding decides."""
    count = 4
    for side in range(4):
        axis, sign = side // 2, 1.0 - 2.0 * (side % 2)
        limit = length if axis == 0 else width
        used = 0
        for i in range(count):
            j = i + 1 if i + 1 < count else 0
            p, q = limit - sign * polygon[i, axis], limit - sign * polygon[j, axis]
            if p >= 0:
                kept[used] = polygon[i]
                used += 1
            if (p >= 0) != (q >= 0):
                t = p / (p - q)
                kept[used, 0] = polygon[i, 0] + t * (polygon[j, 0] - polygon[i, 0])
                kept[used, 1] = polygon[i, 1] + t * (polygon[j, 1] - polygon[i, 1])
                used += 1
        count = used
        polygon[:count] = kept[:count]
    return count


@njit(cache=True, nogil=True)
def _area(polygon: np.ndarray, count: int) -> float:
    total = 0.0
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        total += polygon[i, 0] * polygon[j, 1] - polygon[j, 0] * polygon[i, 1]
    return max(total / 2, 0.0)
