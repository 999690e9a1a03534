"""The op as a numba kernel for CUDA: a thread a cell marks the peaks."""

# numba-cuda types its intrinsics as their implementations
# mypy: ignore-errors

from __future__ import annotations

import math
from typing import Any

from numba import cuda, types

from perception.ops.cuda_support import THREADS, blocks


@cuda.jit(cache=True)
def _mark(heat, threshold, out):
    i = cuda.grid(1)
    images, height, width = heat.shape
    if i >= images * height * width:
        return
    b, y, x = i // (height * width), i // width % height, i % width
    value = heat[b, y, x]
    peak = value > threshold[0] and value < math.inf
    for side in (x - 1, x + 1):
        if 0 <= side < width and heat[b, y, side] > value and heat[b, y, side] < math.inf:
            peak = False
    out[b, y, x] = peak


def mark_peaks(heat: Any, threshold: Any, out: Any, stream: Any = 0) -> None:
    """Tell for every cell whether it is a peak.

    Args:
        heat: (B, h, w) device array, float32 or float64, not empty.
        threshold: (1,) device array of the same type.
        out: (B, h, w) bool device array, written.
        stream: To launch on.
    """
    _mark[blocks(math.prod(heat.shape)), THREADS, stream](heat, threshold, out)


KERNELS = {
    "mark": (_mark, (types.float32[:, :, ::1], types.float32[::1], types.boolean[:, :, ::1])),
}
"""Kernels with the types they are compiled for in the table of ops."""
