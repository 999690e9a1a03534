"""The op as numba kernels for CUDA: a thread a ray, then a thread a hit."""

# numba-cuda types its intrinsics as their implementations
# mypy: ignore-errors

from __future__ import annotations

from typing import Any

from numba import cuda, types

from perception.ops.cuda_support import THREADS, blocks


@cuda.jit(cache=True)
def _walk(ends, start, out):
    i = cuda.grid(1)
    if i >= ends.shape[0]:
        return
    rows, columns = ends[i, 0] - start[0], ends[i, 1] - start[1]
    n = max(abs(rows), abs(columns))
    for k in range(n):
        row = start[0] + (2 * k * rows + n) // (2 * n)
        column = start[1] + (2 * k * columns + n) // (2 * n)
        if 0 <= row < out.shape[0] and 0 <= column < out.shape[1]:
            out[row, column] = 1


@cuda.jit(cache=True)
def _hit(ends, out):
    i = cuda.grid(1)
    if i < ends.shape[0] and 0 <= ends[i, 0] < out.shape[0] and 0 <= ends[i, 1] < out.shape[1]:
        out[ends[i, 0], ends[i, 1]] = 2


def mark_visible(ends: Any, start: Any, out: Any, stream: Any = 0) -> None:
    """Mark cells that rays cross with 1, those that hold an end with 2.

    Args:
        ends: (N, 2) int64 device array of cells, N > 0.
        start: (2,) int64 cell of the sensor.
        out: (H, W) uint8 zeros, written.
        stream: To launch on.
    """
    _walk[blocks(len(ends)), THREADS, stream](ends, start, out)
    _hit[blocks(len(ends)), THREADS, stream](ends, out)


_ENDS, _MAP = types.int64[:, ::1], types.uint8[:, ::1]
KERNELS = {"walk": (_walk, (_ENDS, types.int64[::1], _MAP)), "hit": (_hit, (_ENDS, _MAP))}
"""Kernels with the types they are compiled for in the table of ops."""
