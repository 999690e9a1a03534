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
def cubic(t, weights):
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
def _taps(u, v, mode, across, down):
    """Corner (column, row) and number of taps at canvas point (u, v); fills the weights across and down."""
    if mode == 0:
        across[0], down[0] = 1.0, 1.0
        return int(np.rint(u)), int(np.rint(v)), 1
    left, top = int(np.floor(u)), int(np.floor(v))
    if mode == 1:
        across[1], down[1] = u - left, v - top
        across[0], down[0] = 1.0 - across[1], 1.0 - down[1]
        return left, top, 2
    cubic(u - left, across)
    cubic(v - top, down)
    return left - 1, top - 1, 4


@njit(cache=True, error_model="numpy")
def _warp_row(canvas, inverse, y, x0, x1, mode, row):
    """Write the RGBA of pixels x0 <= x < x1 of image row ``y`` into ``row`` (x1 - x0, 4): zeros outside the canvas."""
    height, width = canvas.shape[0], canvas.shape[1]
    across, down = np.zeros(4), np.zeros(4)
    u0 = inverse[0, 1] * y + inverse[0, 2]
    v0 = inverse[1, 1] * y + inverse[1, 2]
    w0 = inverse[2, 1] * y + inverse[2, 2]
    for x in range(x0, x1):
        scale = 1.0 / (inverse[2, 0] * x + w0)
        u, v = (inverse[0, 0] * x + u0) * scale, (inverse[1, 0] * x + v0) * scale
        left, top, count = _taps(u, v, mode, across, down)
        red = green = blue = alpha = np.float32(0)
        for r in range(max(top, 0), min(top + count, height)):
            for c in range(max(left, 0), min(left + count, width)):
                weight = np.float32(across[c - left] * down[r - top])
                red += weight * canvas[r, c, 0]
                green += weight * canvas[r, c, 1]
                blue += weight * canvas[r, c, 2]
                alpha += weight * canvas[r, c, 3]
        row[x - x0, 0], row[x - x0, 1], row[x - x0, 2], row[x - x0, 3] = red, green, blue, alpha


@njit(cache=True, error_model="numpy")
def _clamped(value):
    return min(max(value, np.float32(0)), np.float32(1))


@njit(cache=True, error_model="numpy")
def _common(places, i, j, y):
    """Columns of row ``y`` that the windows of pictures ``i`` and ``j`` share; empty where the first is the last."""
    if not places[j, 1] <= y < places[j, 3]:
        return 0, 0
    first, last = max(places[i, 0], places[j, 0]), min(places[i, 2], places[j, 2])
    return first, max(first, last)


@njit(cache=True, error_model="numpy")
def _total_row(i, near, packed, inverse, places, y, mode, raw, other, total, mine):
    """One row of picture ``i`` with all others that lie on it.

    Fills ``raw`` (w, 4) with the RGBA of picture ``i``, ``total`` (w, 4) with the sum of the clamped RGBA of all
    pictures, not yet clipped at 1, and ``mine`` (w,) with whether no earlier picture covers the pixel; ``other`` (w, 4)
    is work space.
    """
    left, right = places[i, 0], places[i, 2]
    _warp_row(packed[i], inverse[i], y, left, right, mode, raw)
    for k in range(right - left):
        mine[k] = True
        for c in range(4):
            total[k, c] = _clamped(raw[k, c])
    for j in near:
        first, last = _common(places, i, j, y)
        if first == last:
            continue
        _warp_row(packed[j], inverse[j], y, first, last, mode, other)
        for k in range(first - left, last - left):
            mine[k] = mine[k] and j > i
            for c in range(4):
                total[k, c] += _clamped(other[k - first + left, c])


@njit(cache=True, error_model="numpy")
def _blend(photo, colour, alpha, premultiplied):
    unit = np.float32(1)
    weight = unit if premultiplied else alpha
    return (unit - alpha) * min(max(photo, EDGE), unit - EDGE) + weight * min(colour, unit)


@njit(cache=True, error_model="numpy")
def _composite(images, packed, inverse, places, owners, splits, neighbours, mode, premultiplied):
    widest = 0
    for i in range(len(places)):
        widest = max(widest, places[i, 2] - places[i, 0])
    shape = (widest, 4)
    raw, other, total = np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    mine = np.zeros(widest, np.bool_)
    for i in range(len(places)):
        near = neighbours[splits[i] : splits[i + 1]]
        image, left, right = images[owners[i]], places[i, 0], places[i, 2]
        for y in range(places[i, 1], places[i, 3]):
            _total_row(i, near, packed, inverse, places, y, mode, raw, other, total, mine)
            for x in range(left, right):
                if mine[x - left]:
                    alpha = min(total[x - left, 3], np.float32(1))
                    for c in range(3):
                        image[c, y, x] = _blend(image[c, y, x], total[x - left, c], alpha, premultiplied)


def composite(images, packed, inverse, places, owners, order, mode, premultiplied) -> None:
    """Write the pictures into ``images`` (B, 3, H, W), see ``paste``; canvases ``packed`` are (N, h, w, 4)."""
    arrays = [tensor.detach().numpy() for tensor in (images, packed, inverse, places, owners)]
    _composite(*arrays, *order, mode, premultiplied)  # type: ignore[call-arg]


@njit(cache=True, error_model="numpy")
def _open(raw, upstream, k):
    """The gradient of one RGBA where it was not clamped; zero elsewhere."""
    zero = np.float32(0)
    red = upstream[k, 0] if 0 < raw[k, 0] < 1 else zero
    green = upstream[k, 1] if 0 < raw[k, 1] < 1 else zero
    blue = upstream[k, 2] if 0 < raw[k, 2] < 1 else zero
    alpha = upstream[k, 3] if 0 < raw[k, 3] < 1 else zero
    return red, green, blue, alpha


@njit(cache=True, error_model="numpy")
def _scatter_row(grads, inverse, y, x0, x1, mode, raw, upstream):
    """Give the gradient (x1 - x0, 4) of one row's RGBA back to the taps of a canvas; none where ``raw`` was clamped."""
    height, width = grads.shape[0], grads.shape[1]
    across, down = np.zeros(4), np.zeros(4)
    u0 = inverse[0, 1] * y + inverse[0, 2]
    v0 = inverse[1, 1] * y + inverse[1, 2]
    w0 = inverse[2, 1] * y + inverse[2, 2]
    for x in range(x0, x1):
        red, green, blue, alpha = _open(raw, upstream, x - x0)
        if red == 0 and green == 0 and blue == 0 and alpha == 0:
            continue
        scale = 1.0 / (inverse[2, 0] * x + w0)
        u, v = (inverse[0, 0] * x + u0) * scale, (inverse[1, 0] * x + v0) * scale
        left, top, count = _taps(u, v, mode, across, down)
        for r in range(max(top, 0), min(top + count, height)):
            for c in range(max(left, 0), min(left + count, width)):
                weight = np.float32(across[c - left] * down[r - top])
                grads[r, c, 0] += weight * red
                grads[r, c, 1] += weight * green
                grads[r, c, 2] += weight * blue
                grads[r, c, 3] += weight * alpha


@njit(cache=True, error_model="numpy")
def _upstream_row(grad, photo, total, mine, premultiplied, upstream, for_image, with_image):
    """Gradient (w, 4) of the sum of RGBA of one row from that of its pixels (3, w); also that of the image below."""
    zero, unit = np.float32(0), np.float32(1)
    for k in range(len(mine)):
        upstream[k] = zero
        if not mine[k]:
            continue
        alpha = min(total[k, 3], unit)
        for c in range(3):
            g, below, colour = grad[c, k], photo[c, k], total[k, c]
            upstream[k, c] = (g if premultiplied else g * alpha) if colour < unit else zero
            seen = zero if premultiplied else min(colour, unit)
            upstream[k, 3] += g * (seen - min(max(below, EDGE), unit - EDGE))
            if with_image:
                for_image[c, k] = g * (unit - alpha) if EDGE < below < unit - EDGE else zero
        if total[k, 3] >= unit:
            upstream[k, 3] = zero


@njit(cache=True, error_model="numpy")
def _gradient(i, grad, kept, packed, inverse, places, near, mode, premultiplied, grads, for_image, with_image):
    left, top, right, bottom = places[i]
    shape = (right - left, 4)
    raw, total, upstream = np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    other, mine = np.zeros(shape, np.float32), np.zeros(right - left, np.bool_)
    for y in range(top, bottom):
        _total_row(i, near, packed, inverse, places, y, mode, raw, other, total, mine)
        row = y - top
        _upstream_row(grad[:, row], kept[:, row], total, mine, premultiplied, upstream, for_image[:, row], with_image)
        _scatter_row(grads[i], inverse[i], y, left, right, mode, raw, upstream)
        for j in near:
            first, last = _common(places, i, j, y)
            if first < last:
                _warp_row(packed[j], inverse[j], y, first, last, mode, other)
                _scatter_row(grads[j], inverse[j], y, first, last, mode, other, upstream[first - left : last - left])


def gradient(grad, kept, packed, inverse, places, owners, order, mode, premultiplied, for_canvases, for_images) -> None:
    """Backward of ``composite``: adds to ``for_canvases`` (N, h, w, 4), scales ``for_images`` where not None.

    Of ``grad`` (B, 3, H, W), of any strides, only the pixels below the windows are read.
    """
    splits, neighbours = order
    arrays = [tensor.detach().numpy() for tensor in (packed, inverse, places)]
    grads = for_canvases.numpy()
    for i, (owner, (x0, y0, x1, y1)) in enumerate(zip(owners.tolist(), places.tolist())):
        part = grad[owner, :, y0:y1, x0:x1].contiguous().numpy()
        target = part if for_images is None else for_images[owner, :, y0:y1, x0:x1].numpy()
        near = neighbours[splits[i] : splits[i + 1]]
        head = (i, part, kept[i], *arrays, near)
        _gradient(*head, mode, premultiplied, grads, target, for_images is not None)  # type: ignore[call-arg]
