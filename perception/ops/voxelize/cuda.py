"""The op as a numba kernel for CUDA: a thread a point."""

# numba-cuda types its intrinsics as their implementations
# mypy: ignore-errors

from __future__ import annotations

from typing import Any

from numba import cuda, types

from perception.ops.cuda_support import THREADS, blocks


@cuda.jit(cache=True)
def _index(points, numbers, shape, out):
    i = cuda.grid(1)
    if i >= points.shape[0]:
        return
    x = (points[i, 0] - numbers[0]) / numbers[3]
    y = (points[i, 1] - numbers[1]) / numbers[4]
    z = (points[i, 2] - numbers[2]) / numbers[5]
    if 0 <= x < shape[0] and 0 <= y < shape[1] and 0 <= z < shape[2]:
        out[i] = (types.int64(x) * shape[1] + types.int64(y)) * shape[2] + types.int64(z)
    else:
        out[i] = -1


def write_index(points: Any, numbers: Any, shape: Any, out: Any, stream: Any = 0) -> None:
    """Write the voxel of every point.

    Args:
        points: (N, C) float32 device array, N > 0.
        numbers: (6,) float32 lower corner and edges.
        shape: (3,) int64.
        out: (N,) int64, written.
        stream: To launch on.
    """
    _index[blocks(len(points)), THREADS, stream](points, numbers, shape, out)


KERNELS = {"index": (_index, (types.float32[:, ::1], types.float32[::1], types.int64[::1], types.int64[::1]))}
"""Kernels with the types they are compiled for in the table of ops."""
