"""The op as a numba kernel for CUDA: a thread a cell gathers the lanes of its image, so nothing depends on order."""

# numba-cuda types its intrinsics as their implementations
# mypy: ignore-errors

from __future__ import annotations

import math
from typing import Any

from numba import cuda, types

from perception.ops.cuda_support import THREADS, blocks


@cuda.jit(cache=True)
def _gather(vertices, splits, images, point, start, keypoint_hm, start_hm, cell_offset, start_offset, weights, mask):
    i = cuda.grid(1)
    batch, height, width = keypoint_hm.shape[0], keypoint_hm.shape[2], keypoint_hm.shape[3]
    if i >= batch * height * width:
        return
    b, row, column = i // (height * width), i // width % height, i % width
    near, near_start = point.shape[0] // 2, start.shape[0] // 2
    for lane in range(images.shape[0]):
        begin, end = splits[lane], splits[lane + 1]
        if images[lane] != b or begin == end:
            continue
        x0, y0 = vertices[begin, 0], vertices[begin, 1]
        dx, dy = column - int(x0), row - int(y0)
        if abs(dx) <= near_start and abs(dy) <= near_start:
            start_hm[b, 0, row, column] = max(start_hm[b, 0, row, column], start[dy + near_start, dx + near_start])
        length = 2 * math.floor(abs(y0 - vertices[end - 1, 1]))
        for k in range(begin, end):
            x, y = vertices[k, 0], vertices[k, 1]
            dx, dy = column - int(x), row - int(y)
            if abs(dx) > near or abs(dy) > near:
                continue
            keypoint_hm[b, 0, row, column] = max(keypoint_hm[b, 0, row, column], point[dy + near, dx + near])
            if dx == 0 and dy == 0:
                rise = y0 - y
                weight = 0.2 if rise < 0 else (1.0 if rise < length else 0.4)
                cell_offset[b, 0, row, column], cell_offset[b, 1, row, column] = x - column, y - row
                start_offset[b, 0, row, column], start_offset[b, 1, row, column] = x0 - x, rise
                weights[b, 0, row, column] = weight
                weights[b, 1, row, column] = weight
                mask[b, 0, row, column] = 1


def write_maps(
    vertices: Any, splits: Any, images: Any, point: Any, start: Any, maps: tuple[Any, ...], stream: Any = 0
) -> None:
    """Write the maps of all lanes into device arrays of zeros; arguments as in ``cpu.write_maps``."""
    cells = maps[0].shape[0] * maps[0].shape[2] * maps[0].shape[3]
    _gather[blocks(cells), THREADS, stream](vertices, splits, images, point, start, *maps)


_MAP, _PATCH = types.float32[:, :, :, ::1], types.float32[:, ::1]
KERNELS = {
    "gather": (
        _gather,
        (types.float64[:, ::1], types.int64[::1], types.int64[::1], _PATCH, _PATCH, *6 * (_MAP,)),
    ),
}
"""Kernels with the types they are compiled for in the table of ops."""
