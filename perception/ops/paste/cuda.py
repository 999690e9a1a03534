"""The op as numba kernels for CUDA: a thread a pixel of a picture's window; the first picture that covers it counts."""

# numba-cuda types its intrinsics as their implementations
# mypy: ignore-errors

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda, float32, types

from perception.ops.cuda_support import THREADS, blocks
from perception.ops.paste import cpu

EDGE = np.float32(1e-6)


_cubic = cuda.jit(device=True, inline="always")(cpu.cubic.py_func)


@cuda.jit(device=True, inline="always")
def _taps(inverse, x, y, mode, across, down):
    """Corner (column, row) and number of taps of a canvas for pixel (x, y); fills the weights across and down."""
    scale = 1.0 / (inverse[2, 0] * x + inverse[2, 1] * y + inverse[2, 2])
    u = (inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]) * scale
    v = (inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]) * scale
    if mode == 0:
        left, top = math.floor(u + 0.5), math.floor(v + 0.5)
        if left - u == 0.5 and left % 2 != 0:  # ties go to the even one
            left -= 1
        if top - v == 0.5 and top % 2 != 0:
            top -= 1
        across[0], down[0] = 1.0, 1.0
        return int(left), int(top), 1
    left, top = math.floor(u), math.floor(v)
    if mode == 1:
        across[1], down[1] = u - left, v - top
        across[0], down[0] = 1.0 - across[1], 1.0 - down[1]
        return int(left), int(top), 2
    _cubic(u - left, across)
    _cubic(v - top, down)
    return int(left) - 1, int(top) - 1, 4


@cuda.jit(device=True, inline="always")
def _add_sample(canvas, inverse, x, y, mode, across, down, raw, total):
    """Write the RGBA of one canvas at a pixel into ``raw`` and add it, clamped, to ``total``."""
    column, row, count = _taps(inverse, x, y, mode, across, down)
    for k in range(4):
        raw[k] = 0.0
    for r in range(max(row, 0), min(row + count, canvas.shape[0])):
        for c in range(max(column, 0), min(column + count, canvas.shape[1])):
            weight = float32(across[c - column] * down[r - row])
            for k in range(4):
                raw[k] += weight * canvas[r, c, k]
    for k in range(4):
        total[k] += min(max(raw[k], float32(0)), float32(1))


@cuda.jit(device=True, inline="always")
def _inside(places, j, x, y):
    return places[j, 0] <= x < places[j, 2] and places[j, 1] <= y < places[j, 3]


@cuda.jit(device=True, inline="always")
def _find(i, splits, neighbours, places, pixel):
    """Column and row of a pixel of window ``i``; the column is -1 when an earlier picture covers it."""
    width = places[i, 2] - places[i, 0]
    if width <= 0 or pixel >= width * (places[i, 3] - places[i, 1]):
        return -1, 0
    x, y = places[i, 0] + pixel % width, places[i, 1] + pixel // width
    for n in range(splits[i], splits[i + 1]):
        if neighbours[n] < i and _inside(places, neighbours[n], x, y):
            return -1, 0
    return x, y


@cuda.jit(cache=True)
def _composite(images, packed, inverse, places, owners, splits, neighbours, starts, mode, premultiplied, kept):
    i, pixel = cuda.blockIdx.y, cuda.grid(1)
    x, y = _find(i, splits, neighbours, places, pixel)
    if x < 0:
        return
    across, down = cuda.local.array(4, types.float64), cuda.local.array(4, types.float64)
    raw, total = cuda.local.array(4, types.float32), cuda.local.array(4, types.float32)
    for k in range(4):
        total[k] = 0.0
    for n in range(splits[i] - 1, splits[i + 1]):  # the picture itself, then the others
        j = i if n < splits[i] else neighbours[n]
        if _inside(places, j, x, y):
            _add_sample(packed[j], inverse[j], x, y, mode, across, down, raw, total)
    alpha = min(total[3], float32(1))
    weight = float32(1) if premultiplied else alpha
    for k in range(3):
        photo = images[owners[i], k, y, x]
        kept[starts[i] + pixel, k] = photo
        photo = min(max(photo, EDGE), float32(1) - EDGE)
        images[owners[i], k, y, x] = (float32(1) - alpha) * photo + weight * min(total[k], float32(1))


@cuda.jit(device=True, inline="always")
def _scatter(grads, j, canvas, inverse, x, y, mode, across, down, raw, total, upstream):
    """Give the gradient of one pixel's RGBA back to the taps of canvas ``j``; none where its sample was clamped."""
    _add_sample(canvas, inverse, x, y, mode, across, down, raw, total)
    column, row, count = _taps(inverse, x, y, mode, across, down)
    for r in range(max(row, 0), min(row + count, canvas.shape[0])):
        for c in range(max(column, 0), min(column + count, canvas.shape[1])):
            weight = float32(across[c - column] * down[r - row])
            for k in range(4):
                if 0 < raw[k] < 1 and upstream[k] != 0:
                    cuda.atomic.add(grads, (j, r, c, k), weight * upstream[k])


@cuda.jit(cache=True)
def _gradient(
    grad,
    kept,
    packed,
    inverse,
    places,
    owners,
    splits,
    neighbours,
    starts,
    mode,
    premultiplied,
    grads,
    for_images,
    image,
):
    i, pixel = cuda.blockIdx.y, cuda.grid(1)
    x, y = _find(i, splits, neighbours, places, pixel)
    if x < 0:
        return
    across, down = cuda.local.array(4, types.float64), cuda.local.array(4, types.float64)
    raw, total = cuda.local.array(4, types.float32), cuda.local.array(4, types.float32)
    upstream = cuda.local.array(4, types.float32)
    for k in range(4):
        total[k] = 0.0
        upstream[k] = 0.0
    for n in range(splits[i] - 1, splits[i + 1]):  # the picture itself, then the others
        j = i if n < splits[i] else neighbours[n]
        if _inside(places, j, x, y):
            _add_sample(packed[j], inverse[j], x, y, mode, across, down, raw, total)
    alpha, one = min(total[3], float32(1)), float32(1)
    for k in range(3):
        g, below = grad[owners[i], k, y, x], kept[starts[i] + pixel, k]
        if total[k] < one:
            upstream[k] = g if premultiplied else g * alpha
        seen = float32(0) if premultiplied else min(total[k], one)
        upstream[3] += g * (seen - min(max(below, EDGE), one - EDGE))
        if image:
            for_images[owners[i], k, y, x] = g * (one - alpha) if EDGE < below < one - EDGE else float32(0)
    if total[3] >= one:
        upstream[3] = 0.0
    for n in range(splits[i] - 1, splits[i + 1]):
        j = i if n < splits[i] else neighbours[n]
        if _inside(places, j, x, y):
            _scatter(grads, j, packed[j], inverse[j], x, y, mode, across, down, raw, total, upstream)


def _grid(places: np.ndarray) -> tuple[int, int]:
    areas = (places[:, 2] - places[:, 0]) * (places[:, 3] - places[:, 1])
    return blocks(max(int(areas.max()), 1)), len(places)


def composite(images: Any, state: tuple, places: np.ndarray, kept: Any, stream: Any = 0) -> None:
    """Write pictures into ``images``.

    Args:
        images: (B, 3, H, W) float32 device array, written.
        state: Device arrays ``packed`` (N, h, w, 4) float32, ``inverse`` (N, 3, 3) float64, ``places`` (N, 4),
            ``owners`` (N,), ``splits`` (N + 1,), ``neighbours`` and ``starts`` (N,) int64, then mode and premultiplied.
        places: The windows on the host, N > 0.
        kept: (P, 3) float32 device array, receives what lay below, from ``starts`` of each window on.
        stream: To launch on.
    """
    _composite[_grid(places), THREADS, stream](images, *state, kept)


def gradient(
    grad: Any, kept: Any, state: tuple, places: np.ndarray, grads: Any, for_images: Any, stream: Any = 0
) -> None:
    """Backward of ``composite``: adds to ``grads`` (N, h, w, 4), writes ``for_images`` unless it is None."""
    image = for_images is not None
    target = for_images if image else grad
    _gradient[_grid(places), THREADS, stream](grad, kept, *state, grads, target, image)


_F3, _F4, _I1 = types.float32[:, ::1], types.float32[:, :, :, ::1], types.int64[::1]
_STATE = (_F4, types.float64[:, :, ::1], types.int64[:, ::1], _I1, _I1, _I1, _I1, types.int64, types.boolean)
KERNELS = {
    "composite": (_composite, (_F4, *_STATE, _F3)),
    "gradient": (_gradient, (_F4, _F3, *_STATE, _F4, _F4, types.boolean)),
}
"""Kernels with the types they are compiled for in the table of ops."""
