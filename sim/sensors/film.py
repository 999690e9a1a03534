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


@njit(cache=True)
def bright(image):  # type: ignore[no-untyped-def]
    """What of (H, W, 3) float32 radiance spreads in the lens: above 0.9, at most 6; and whether there is any."""
    out, some = np.empty(image.shape, np.float32), False
    flat, target = image.reshape(-1), out.reshape(-1)
    for i in range(flat.shape[0]):
        value = min(max(flat[i] - np.float32(0.9), np.float32(0)), np.float32(6))
        target[i] = value
        some |= value > 0
    return out, some


@njit(cache=True, error_model="numpy")
def light_errors(image, top, vignette, glare, veil, pattern):  # type: ignore[no-untyped-def]
    """Vignette, glare and veil on (H, W, 3) float32 radiance in place.

    Args:
        image: The picture from share ``top`` of its height down.
        top: 0 to 1.
        vignette: Darkening of the corners.
        glare: x, y, radius, strength of a bright spot.
        veil: Strength of scattered light.
        pattern: (H, W) float32 variation of the veil, or an empty array.
    """
    height, width = image.shape[:2]
    for row in range(height):
        y = np.float32(top + (1 - top) * (row + 0.5) / height)
        for column in range(width):
            x = np.float32((column + 0.5) / width)
            factor = 1 - np.float32(vignette) * ((x - 0.5) ** 2 + (y - 0.5) ** 2) * 2
            more = np.float32(0)
            if glare[3] > 0:
                more += glare[3] * np.exp(-((x - glare[0]) ** 2 + (y - glare[1]) ** 2 * 0.4) / (2 * glare[2] ** 2))
            if veil > 0:
                more += veil * (0.6 + 0.1 * pattern[row, column]) * 0.5
            for c in range(3):
                image[row, column, c] = image[row, column, c] * factor + more


def gamma_table(gamma: float) -> np.ndarray:
    """(2048,) float32 display values of the roots of linear values, even steps from 0 to 1: nearly a straight line."""
    return np.append(np.linspace(0, 1, 2047) ** (2 / gamma), 1.0).astype(np.float32)


@njit(cache=True, error_model="numpy")
def toned(image, table, contrast, saturation):  # type: ignore[no-untyped-def]
    """Linear radiance to display values in [0, 1], in place.

    Bright parts are compressed as film does, then follow gamma, an S-curve and saturation; negative values become 0.

    Args:
        image: (H, W, 3) float32.
        table: What :func:`gamma_table` made.
        contrast: Strength of the S-curve.
        saturation: 1 keeps colours.
    """
    one, zero, two, three = np.float32(1), np.float32(0), np.float32(2), np.float32(3)
    red, green, blue = np.float32(0.3), np.float32(0.59), np.float32(0.11)
    knee, slope, steps = np.float32(0.15), np.float32(0.55), np.float32(table.shape[0] - 2)
    rgb = np.empty(3, np.float32)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            for c in range(3):
                value = max(image[y, x, c], zero)
                value *= (one + value * knee) / (one + value * slope)
                place = np.sqrt(min(value, one)) * steps
                cell = int(place)
                value = table[cell] + (table[cell + 1] - table[cell]) * (place - np.float32(cell))
                rgb[c] = value + contrast * (value * value * (three - two * value) - value)
            gray = red * rgb[0] + green * rgb[1] + blue * rgb[2]
            for c in range(3):
                image[y, x, c] = min(max(gray + saturation * (rgb[c] - gray), zero), one)


@njit(cache=True)
def grainy(image, normal, color, strength):  # type: ignore[no-untyped-def]
    """8-bit BGR picture of (H, W, 3) float32 RGB display values with noise, which is stronger where it is dark.

    Args:
        image: Display values.
        normal: (H, W) float32 normal noise, or an empty array for none.
        color: Share of noise of single channels on top: the same numbers, from places far off in the picture.
        strength: Standard deviation at mid grey, share of white.
    """
    height, width = image.shape[:2]
    out = np.empty(image.shape, np.uint8)
    most, dark, slope = np.float32(255), np.float32(1.3), np.float32(0.6)
    for y in range(height):
        for x in range(width):
            for c in range(3):
                spread = np.float32(0)
                if normal.shape[0]:
                    spread = normal[y, x]
                    if color > 0:
                        spread += color * normal[(y + 7 + 5 * c) % height, (x + (c + 1) * width // 4) % width]
                value = image[y, x, c]
                value += spread * strength * (dark - slope * value)
                out[y, x, 2 - c] = np.uint8(min(max(value * most + np.float32(0.5), np.float32(0)), most))
    return out
