"""The passes of :func:`perception.sim.sensors.camera.develop` over all pixels, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def scaled(image, cast, factor):  # type: ignore[no-untyped-def]
    """(H, W, 3) float32 ``image`` times the colour ``cast`` (3,) and a ``factor``."""
    out = np.empty(image.shape, np.float32)
    r, g, b = cast[0] * factor, cast[1] * factor, cast[2] * factor
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = image[y, x, 0] * r, image[y, x, 1] * g, image[y, x, 2] * b
    return out


@njit(cache=True, error_model="numpy")
def shoulder(image):  # type: ignore[no-untyped-def]
    """Compress bright parts of (H, W, 3) float32 linear radiance as film does; negative values become 0."""
    out = np.empty(image.shape, np.float32)
    flat, target = image.reshape(-1), out.reshape(-1)
    knee, slope = np.float32(0.15), np.float32(0.55)
    for i in range(flat.shape[0]):
        value = max(flat[i], np.float32(0))
        target[i] = value * (np.float32(1) + value * knee) / (np.float32(1) + value * slope)
    return out


@njit(cache=True)
def curve(image, contrast, saturation):  # type: ignore[no-untyped-def]
    """S-curve and ``saturation`` of (H, W, 3) float32 display values, which end in [0, 1], in place."""
    one, zero, two, three = np.float32(1), np.float32(0), np.float32(2), np.float32(3)
    red, green, blue = np.float32(0.3), np.float32(0.59), np.float32(0.11)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            r, g, b = min(image[y, x, 0], one), min(image[y, x, 1], one), min(image[y, x, 2], one)
            r += contrast * (r * r * (three - two * r) - r)
            g += contrast * (g * g * (three - two * g) - g)
            b += contrast * (b * b * (three - two * b) - b)
            gray = red * r + green * g + blue * b
            image[y, x, 0] = min(max(gray + saturation * (r - gray), zero), one)
            image[y, x, 1] = min(max(gray + saturation * (g - gray), zero), one)
            image[y, x, 2] = min(max(gray + saturation * (b - gray), zero), one)


@njit(cache=True)
def grainy(image, luminance, color, strength):  # type: ignore[no-untyped-def]
    """8-bit picture of (H, W, 3) float32 display values with noise, which is stronger where it is dark.

    Args:
        image: Display values.
        luminance: (H, W) normal noise of all channels.
        color: (H, W, 3) normal noise of single channels, of which 0.4 is added, or an empty array.
        strength: Standard deviation at mid grey, share of white.
    """
    out = np.empty(image.shape, np.uint8)
    most, dark, slope = np.float32(255), np.float32(1.3), np.float32(0.6)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            for c in range(3):
                spread = np.float32(luminance[y, x])
                if color.shape[0]:
                    spread += np.float32(0.4) * np.float32(color[y, x, c])
                value = image[y, x, c]
                value += spread * strength * (dark - slope * value)
                out[y, x, c] = np.uint8(min(max(value * most + np.float32(0.5), np.float32(0)), most))
    return out
