"""The op as a numba kernel for CUDA: a thread a point."""

# numba-cuda types its intrinsics as their implementations
# mypy: ignore-errors

from __future__ import annotations

from typing import Any

from numba import cuda, types

from perception.ops.cuda_support import THREADS, blocks, product


@cuda.jit(cache=True)
def _find(points, rows, out):
    i = cuda.grid(1)
    if i >= points.shape[0]:
        return
    found = -1
    for k in range(rows.shape[0]):
        dx, dy = points[i, 0] - rows[k, 0], points[i, 1] - rows[k, 1]
        along = product(rows[k, 6], dx) + product(rows[k, 7], dy)
        across = product(rows[k, 6], dy) - product(rows[k, 7], dx)
        inside = abs(along) <= rows[k, 3] and abs(across) <= rows[k, 4]
        if found < 0 and inside and abs(points[i, 2] - rows[k, 2]) <= rows[k, 5]:
            found = k
    out[i] = found


def find_boxes(points: Any, rows: Any, out: Any, stream: Any = 0) -> None:
    """Write the first box of every point.

    Args:
        points: (N, 3) float64 device array, N > 0.
        rows: (M, 8) float64: centre, half sizes, cosine and sine of yaw.
        out: (N,) int64, written.
        stream: To launch on.
    """
    _find[blocks(len(points)), THREADS, stream](points, rows, out)


KERNELS = {"find": (_find, (types.float64[:, ::1], types.float64[:, ::1], types.int64[::1]))}
"""Kernels with the types they are compiled for in the table of ops."""
