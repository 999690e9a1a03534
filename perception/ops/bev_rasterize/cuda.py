"""The op as numba kernels for CUDA: a thread a point."""

# numba-cuda types its intrinsics as their implementations
# mypy: ignore-errors

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda, types

from perception.ops.bev_rasterize.layout import SCALE, SHIFT
from perception.ops.cuda_support import THREADS, blocks, product32


@cuda.jit(device=True, inline="always")
def _dot(r, x, y, z):
    return ((product32(r[0], x) + product32(r[1], y)) + product32(r[2], z)) + r[3]


@cuda.jit(device=True, inline="always")
def _cell(points, i, splits, rows, numbers, height, width):
    """Sweep, row, column and height of a point; the sweep is -1 for one that is left out."""
    t = 0
    while splits[t + 1] <= i:
        t += 1
    x, y, z = points[i, 0], points[i, 1], points[i, 2]
    row = _dot(rows[t, 0], x, y, z) / numbers[0] + numbers[1]
    column = _dot(rows[t, 1], x, y, z) / numbers[0] + numbers[2]
    z = _dot(rows[t, 2], x, y, z)
    if z > numbers[3] and z < numbers[4] and z < math.inf and 0 <= row < height and 0 <= column < width:
        return t, types.int64(row), types.int64(column), z  # not negative, so that this is the floor
    return types.int64(-1), types.int64(0), types.int64(0), z


@cuda.jit(cache=True)
def _mark(points, splits, rows, numbers, out):
    i = cuda.grid(1)
    if i < points.shape[0]:
        t, row, column, _ = _cell(points, i, splits, rows, numbers, out.shape[1], out.shape[2])
        if t >= 0:
            out[t, row, column] = 1


@cuda.jit(cache=True)
def _gather(points, splits, rows, numbers, count, high, low, sums):
    i = cuda.grid(1)
    if i < points.shape[0]:
        t, row, column, z = _cell(points, i, splits, rows, numbers, count.shape[1], count.shape[2])
        if t >= 0:
            place = (t, row, column)
            cuda.atomic.add(count, place, types.int32(1))
            cuda.atomic.max(high, place, z)
            cuda.atomic.min(low, place, z)
            whole = types.uint64(math.floor((types.float64(z) + SHIFT) * SCALE + 0.5))
            cuda.atomic.add(sums, place, whole)


def mark_occupied(points: Any, splits: Any, rows: Any, numbers: Any, out: Any, stream: Any = 0) -> None:
    """Mark occupied cells.

    Args:
        points: (N, C) float32 device array, N > 0.
        splits: (T + 1,) int64.
        rows: (T, 3, 4) float32 transforms.
        numbers: (5,) float32 resolution, row and column offset, lower and upper height.
        out: (T, H, W) uint8, written.
        stream: To launch on.
    """
    _mark[blocks(len(points)), THREADS, stream](points, splits, rows, numbers, out)


def gather(
    points: Any, splits: Any, rows: Any, numbers: Any, count: Any, high: Any, low: Any, sums: Any, stream: Any = 0
) -> None:
    """Gather into arrays made by ``layout.statistics_arrays``; the other arguments are those of `mark_occupied`."""
    whole = cuda.as_cuda_array(sums) if hasattr(sums, "__cuda_array_interface__") else sums
    if hasattr(whole, "view"):
        whole = whole.view(np.uint64)
    _gather[blocks(len(points)), THREADS, stream](points, splits, rows, numbers, count, high, low, whole)


def finish(count: Any, high: Any, low: Any, mean: Any, sums: Any) -> None:
    """Write the mean and put 0 where no point fell; torch tensors, changed in place."""
    mean.copy_(sums.double() / count.clamp(min=1) / SCALE - SHIFT)
    for tensor in (high, low, mean):
        tensor.masked_fill_(count == 0, 0.0)


_CELLS = (types.float32[:, ::1], types.int64[::1], types.float32[:, :, ::1], types.float32[::1])
_MAP = types.float32[:, :, ::1]
KERNELS = {
    "mark": (_mark, (*_CELLS, types.uint8[:, :, ::1])),
    "gather": (_gather, (*_CELLS, types.int32[:, :, ::1], _MAP, _MAP, types.uint64[:, :, ::1])),
}
"""Kernels with the types they are compiled for in the table of ops."""
