"""Kernels that visit only the pixels under a picture; the first picture that covers a pixel handles all of them."""

from __future__ import annotations

import numpy as np
from numba import njit
from torch import Tensor

EDGE = np.float32(1e-6)


def arrange(places: Tensor, owners: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """For each canvas the others of its image whose windows meet its own.

    Args:
        places: (N, 4) windows.
        owners: (N,) image of each.

    Returns:
        (N + 1,) int64 splits and (M,) int64 indices; each list is ascending.
    """
    return _arrange(places.numpy(), owners.numpy())


@njit(cache=True, error_model="numpy")
def _arrange(places, owners):
    count = len(places)
    splits, found = np.zeros(count + 1, np.int64), np.empty(count * count, np.int64)
    total = 0
    for i in range(count):
        for j in range(count):
            meet = (
                places[i, 0] < places[j, 2]
                and places[j, 0] < places[i, 2]
                and places[i, 1] < places[j, 3]
                and places[j, 1] < places[i, 3]
            )
            if i != j and owners[i] == owners[j] and meet:
                found[total] = j
                total += 1
        splits[i + 1] = total
    return splits, found[:total].copy()


def keep(images: Tensor, places: Tensor, owners: Tensor) -> list[np.ndarray]:
    """Copies (3, h, w) of the pixels below each window."""
    return [
        images[owner, :, y0:y1, x0:x1].detach().numpy().copy()
        for owner, (x0, y0, x1, y1) in zip(owners.tolist(), places.tolist())
    ]


@njit(cache=True, error_model="numpy")
def _cubic(t, weights):
    """The four weights of bicubic interpolation, a = -0.75."""
    a = -0.75
    d = t + 1.0
    weights[0] = ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    weights[1] = ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0
    d = 1.0 - t
    weights[2] = ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    d = 2.0 - t
    weights[3] = ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a


@njit(cache=True, error_model="numpy")
def _taps(inverse, j, x, y, mode, across, down):
    """Corner (column, row) and number of taps of canvas ``j`` for pixel (x, y); fills the weights across and down."""
    scale = 1.0 / (inverse[j, 2, 0] * x + inverse[j, 2, 1] * y + inverse[j, 2, 2])
    u = (inverse[j, 0, 0] * x + inverse[j, 0, 1] * y + inverse[j, 0, 2]) * scale
    v = (inverse[j, 1, 0] * x + inverse[j, 1, 1] * y + inverse[j, 1, 2]) * scale
    if mode == 0:
        across[0], down[0] = 1.0, 1.0
        return int(np.rint(u)), int(np.rint(v)), 1
    left, top = int(np.floor(u)), int(np.floor(v))
    if mode == 1:
        across[1], down[1] = u - left, v - top
        across[0], down[0] = 1.0 - across[1], 1.0 - down[1]
        return left, top, 2
    _cubic(u - left, across)
    _cubic(v - top, down)
    return left - 1, top - 1, 4


@njit(cache=True, error_model="numpy")
def _sample(packed, j, column, row, count, across, down):
    """Weighted sum of the taps of one canvas, zeros outside, each channel clamped to [0, 1]."""
    height, width = packed.shape[1], packed.shape[2]
    red = green = blue = alpha = np.float32(0)
    for r in range(count):
        if 0 <= row + r < height:
            for c in range(count):
                if 0 <= column + c < width:
                    weight = np.float32(across[c] * down[r])
                    red += weight * packed[j, row + r, column + c, 0]
                    green += weight * packed[j, row + r, column + c, 1]
                    blue += weight * packed[j, row + r, column + c, 2]
                    alpha += weight * packed[j, row + r, column + c, 3]
    return red, green, blue, alpha


@njit(cache=True, error_model="numpy")
def _clamped(value):
    return min(max(value, np.float32(0)), np.float32(1))


@njit(cache=True, error_model="numpy")
def _inside(places, j, x, y):
    return places[j, 0] <= x < places[j, 2] and places[j, 1] <= y < places[j, 3]


@njit(cache=True, error_model="numpy")
def _first(i, near, places, x, y):
    """Whether no earlier picture covers this pixel."""
    for j in near:
        if j >= i:
            return True
        if _inside(places, j, x, y):
            return False
    return True


@njit(cache=True, error_model="numpy")
def _total(i, near, packed, inverse, places, x, y, mode, across, down):
    """Sum of the clamped RGBA of every picture over a pixel, not yet clipped at 1."""
    column, row, count = _taps(inverse, i, x, y, mode, across, down)
    r, g, b, a = _sample(packed, i, column, row, count, across, down)
    red, green, blue, alpha = _clamped(r), _clamped(g), _clamped(b), _clamped(a)
    for j in near:
        if _inside(places, j, x, y):
            column, row, count = _taps(inverse, j, x, y, mode, across, down)
            r, g, b, a = _sample(packed, j, column, row, count, across, down)
            red, green = red + _clamped(r), green + _clamped(g)
            blue, alpha = blue + _clamped(b), alpha + _clamped(a)
    return red, green, blue, alpha


@njit(cache=True, error_model="numpy")
def _blend(photo, colour, alpha, premultiplied):
    unit = np.float32(1)
    weight = unit if premultiplied else alpha
    return (unit - alpha) * min(max(photo, EDGE), unit - EDGE) + weight * min(colour, unit)


@njit(cache=True, error_model="numpy")
def _composite(images, packed, inverse, places, owners, splits, neighbours, mode, premultiplied):
    across, down = np.zeros(4), np.zeros(4)
    for i in range(len(places)):
        near = neighbours[splits[i] : splits[i + 1]]
        image = images[owners[i]]
        for y in range(places[i, 1], places[i, 3]):
            for x in range(places[i, 0], places[i, 2]):
                if not _first(i, near, places, x, y):
                    continue
                red, green, blue, alpha = _total(i, near, packed, inverse, places, x, y, mode, across, down)
                alpha = min(alpha, np.float32(1))
                image[0, y, x] = _blend(image[0, y, x], red, alpha, premultiplied)
                image[1, y, x] = _blend(image[1, y, x], green, alpha, premultiplied)
                image[2, y, x] = _blend(image[2, y, x], blue, alpha, premultiplied)


def composite(images, packed, inverse, places, owners, order, mode, premultiplied) -> None:
    """Write the pictures into ``images`` (B, 3, H, W), see ``paste``; canvases ``packed`` are (N, h, w, 4)."""
    arrays = [tensor.detach().numpy() for tensor in (images, packed, inverse, places, owners)]
    _composite(*arrays, *order, mode, premultiplied)  # type: ignore[call-arg]


@njit(cache=True, error_model="numpy")
def _scatter(j, packed, inverse, x, y, mode, across, down, upstream, grads):
    """Give the gradient of one pixel's RGBA back to the taps of canvas ``j``."""
    column, row, count = _taps(inverse, j, x, y, mode, across, down)
    r, g, b, a = _sample(packed, j, column, row, count, across, down)
    red = upstream[0] if 0 < r < 1 else np.float32(0)
    green = upstream[1] if 0 < g < 1 else np.float32(0)
    blue = upstream[2] if 0 < b < 1 else np.float32(0)
    alpha = upstream[3] if 0 < a < 1 else np.float32(0)
    height, width = packed.shape[1], packed.shape[2]
    for r in range(count):
        if 0 <= row + r < height:
            for c in range(count):
                if 0 <= column + c < width:
                    weight = np.float32(across[c] * down[r])
                    grads[j, row + r, column + c, 0] += weight * red
                    grads[j, row + r, column + c, 1] += weight * green
                    grads[j, row + r, column + c, 2] += weight * blue
                    grads[j, row + r, column + c, 3] += weight * alpha


@njit(cache=True, error_model="numpy")
def _gradient(i, grad, kept, packed, inverse, places, near, mode, premultiplied, grads, for_image, with_image):
    across, down, upstream = np.zeros(4), np.zeros(4), np.zeros(4, np.float32)
    zero, unit = np.float32(0), np.float32(1)
    left, top = places[i, 0], places[i, 1]
    for y in range(top, places[i, 3]):
        for x in range(left, places[i, 2]):
            if not _first(i, near, places, x, y):
                continue
            total = _total(i, near, packed, inverse, places, x, y, mode, across, down)
            alpha = min(total[3], unit)
            upstream[3] = zero
            for c, colour in enumerate(total[:3]):
                g, raw = grad[c, y, x], kept[c, y - top, x - left]
                photo = min(max(raw, EDGE), unit - EDGE)
                upstream[c] = (g if premultiplied else g * alpha) if colour < unit else zero
                upstream[3] += g * ((zero if premultiplied else min(colour, unit)) - photo)
                if with_image:
                    for_image[c, y, x] = g * (unit - alpha) if EDGE < raw < unit - EDGE else zero
            if total[3] >= unit:
                upstream[3] = zero
            _scatter(i, packed, inverse, x, y, mode, across, down, upstream, grads)
            for j in near:
                if _inside(places, j, x, y):
                    _scatter(j, packed, inverse, x, y, mode, across, down, upstream, grads)


def gradient(grad, kept, packed, inverse, places, owners, order, mode, premultiplied, for_canvases, for_images) -> None:
    """Backward of ``composite``: adds to ``for_canvases`` (N, h, w, 4), scales ``for_images`` where not None."""
    splits, neighbours = order
    arrays = [tensor.detach().numpy() for tensor in (packed, inverse, places)]
    grads = for_canvases.numpy()
    for i, owner in enumerate(owners.tolist()):
        target = (grad if for_images is None else for_images)[owner].numpy()
        near = neighbours[splits[i] : splits[i + 1]]
        head = (i, grad[owner].numpy(), kept[i], *arrays, near)
        _gradient(*head, mode, premultiplied, grads, target, for_images is not None)  # type: ignore[call-arg]
