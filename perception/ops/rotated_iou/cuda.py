"""The op as a numba kernel for CUDA: a thread a pair."""

# numba-cuda types its intrinsics as their implementations
# mypy: ignore-errors

from __future__ import annotations

import math
from typing import Any

from numba import cuda, float64, types

from perception.ops.cuda_support import THREADS, blocks, product


@cuda.jit(cache=True)
def _intersect(rows, others, out):
    pair = cuda.grid(1)
    if pair >= rows.shape[0] * others.shape[0]:
        return
    n, m = pair // others.shape[0], pair % others.shape[0]
    polygon, kept = cuda.local.array((20, 2), float64), cuda.local.array((20, 2), float64)
    finite = True
    for c in range(6):
        finite = finite and math.isfinite(rows[n, c]) and math.isfinite(others[m, c])
    out[n, m] = 0.0
    if not finite:
        return
    for corner in range(4):
        a = rows[n, 2] if corner == 0 or corner == 3 else -rows[n, 2]
        b = rows[n, 3] if corner < 2 else -rows[n, 3]
        dx = rows[n, 0] - others[m, 0] + (product(rows[n, 4], a) - product(rows[n, 5], b))
        dy = rows[n, 1] - others[m, 1] + (product(rows[n, 5], a) + product(rows[n, 4], b))
        polygon[corner, 0] = product(others[m, 4], dx) + product(others[m, 5], dy)
        polygon[corner, 1] = product(others[m, 4], dy) - product(others[m, 5], dx)
    count = 4
    for side in range(4):
        axis, sign = side // 2, 1.0 - 2.0 * (side % 2)
        limit = others[m, 2 + axis]
        used = 0
        for i in range(count):
            j = i + 1 if i + 1 < count else 0
            p, q = limit - product(sign, polygon[i, axis]), limit - product(sign, polygon[j, axis])
            if p >= 0:
                kept[used, 0], kept[used, 1] = polygon[i, 0], polygon[i, 1]
                used += 1
            if (p >= 0) != (q >= 0):
                t = p / (p - q)
                kept[used, 0] = polygon[i, 0] + product(t, polygon[j, 0] - polygon[i, 0])
                kept[used, 1] = polygon[i, 1] + product(t, polygon[j, 1] - polygon[i, 1])
                used += 1
        count = used
        for i in range(count):
            polygon[i, 0], polygon[i, 1] = kept[i, 0], kept[i, 1]
    total = 0.0
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        total += product(polygon[i, 0], polygon[j, 1]) - product(polygon[j, 0], polygon[i, 1])
    out[n, m] = max(total / 2, 0.0)


def write_intersections(rows: Any, others: Any, out: Any, stream: Any = 0) -> None:
    """Write the shared area of every pair.

    Args:
        rows: (N, 6) float64 device array: centre, half sizes, cosine and sine of yaw; N > 0.
        others: (M, 6), M > 0.
        out: (N, M) float64, written.
        stream: To launch on.
    """
    _intersect[blocks(len(rows) * len(others)), THREADS, stream](rows, others, out)


_ROWS = types.float64[:, ::1]
KERNELS = {"intersect": (_intersect, (_ROWS, _ROWS, _ROWS))}
"""Kernels with the types they are compiled for in the table of ops."""
