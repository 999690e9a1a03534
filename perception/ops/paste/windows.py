"""Which pixels of an image a canvas can reach."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor

MODES = {"nearest": 0, "bilinear": 1, "bicubic": 2}
REACH = {"nearest": 0.5, "bilinear": 1.0, "bicubic": 2.0}
"""How far, in canvas pixels, a canvas pixel contributes."""


def windows(packed: Tensor, matrices: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Rectangles of image pixels that the non-empty part of each canvas can touch.

    Args:
        packed: (N, h, w, 4).
        matrices: (N, 3, 3) canvas -> image.
        size: (H, W) of the images.
        mode: Interpolation.

    Returns:
        (N, 4) int64 x0, y0, x1, y1, upper ends excluded, within the image; empty ones are 0, 0, 0, 0.

    Raises:
        ValueError: A non-empty canvas crosses the horizon of its map (it reaches behind the camera), or the matrix
            is not finite.
    """
    places = np.zeros((len(packed), 4), np.int64)
    bad = _windows(packed.numpy(), matrices.detach().double().numpy(), size[0], size[1], REACH[mode], places)
    if bad >= 0:
        raise ValueError(f"paste: canvas {bad} reaches the horizon of its map or behind the camera")
    return torch.from_numpy(places)


@njit(cache=True)
def _used(canvas):
    """First and last column and row that are not all zero; the first column is -1 for an empty canvas."""
    height, width = canvas.shape[0], canvas.shape[1]
    x0, y0, x1, y1 = width, -1, -1, -1
    for y in range(height):
        for x in range(width):
            tap = canvas[y, x]
            if tap[0] != 0 or tap[1] != 0 or tap[2] != 0 or tap[3] != 0:
                if y0 < 0:
                    y0 = y
                y1, x0, x1 = y, min(x0, x), max(x1, x)
    return (-1 if y0 < 0 else x0), y0, x1, y1


@njit(cache=True)
def _windows(packed, matrices, height, width, reach, places):
    for i in range(len(packed)):
        x0, y0, x1, y1 = _used(packed[i])
        if x0 < 0:
            continue
        m = matrices[i]
        left, top, right, bottom, sign = np.inf, np.inf, -np.inf, -np.inf, 0.0
        for x in (x0 - reach, x1 + reach):
            for y in (y0 - reach, y1 + reach):
                scale = m[2, 0] * x + m[2, 1] * y + m[2, 2]
                u, v = m[0, 0] * x + m[0, 1] * y + m[0, 2], m[1, 0] * x + m[1, 1] * y + m[1, 2]
                sign = scale if sign == 0 else sign
                if not (np.isfinite(u) and np.isfinite(v) and scale * sign > 0):
                    return i
                left, right = min(left, u / scale), max(right, u / scale)
                top, bottom = min(top, v / scale), max(bottom, v / scale)
        x_low, x_high = max(np.floor(left), 0.0), min(np.ceil(right) + 1, width)
        y_low, y_high = max(np.floor(top), 0.0), min(np.ceil(bottom) + 1, height)
        if x_high > x_low and y_high > y_low:
            places[i, 0], places[i, 1], places[i, 2], places[i, 3] = x_low, y_low, x_high, y_high
    return -1
