"""The op as a numba kernel for CUDA: a thread a point."""

# numba-cuda types its intrinsics as their implementations
# mypy: ignore-errors

from __future__ import annotations

from typing import Any

from numba import cuda, types

from perception.ops.cuda_support import THREADS, blocks, product


@cuda.jit(cache=True)
def _move(points, rows, which, out):
    i = cuda.grid(1)
    if i >= points.shape[0]:
        return
    x, y, z = types.float64(points[i, 0]), types.float64(points[i, 1]), types.float64(points[i, 2])
    t = which[i]
    for c in range(3):
        moved = ((product(rows[t, c, 0], x) + product(rows[t, c, 1], y)) + product(rows[t, c, 2], z)) + rows[t, c, 3]
        out[i, c] = types.float32(moved)


def move_points(points: Any, rows: Any, which: Any, out: Any, stream: Any = 0) -> None:
    """Write moved points.

    Args:
        points: (N, C) float32 device array, N > 0.
        rows: (K, 3, 4) float64 transforms.
        which: (N,) int64 transform of each point.
        out: (N, 3) float32, written.
        stream: To launch on.
    """
    _move[blocks(len(points)), THREADS, stream](points, rows, which, out)


_POINTS = types.float32[:, ::1]
KERNELS = {"move": (_move, (_POINTS, types.float64[:, :, ::1], types.int64[::1], _POINTS))}
"""Kernels with the types they are compiled for in the table of ops."""
