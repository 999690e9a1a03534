"""Texture of house fronts and of leaves, evaluated per pixel and filtered with its footprint."""

from __future__ import annotations

import numpy as np
from numba import njit

from perception.sim.sensors.noise import sample, smoothstep


@njit(cache=True, fastmath=True)
def _chance(column: float, floor: float, salt: float) -> float:
    """A number from 0 to 1 that belongs to a window."""
    value = np.sin(column * 12.9898 + floor * 78.233 + salt * 37.719) * 43758.5453
    return value - np.floor(value)


@njit(cache=True, fastmath=True)
def _within(value, low, high, soft):  # type: ignore[no-untyped-def]
    """1 inside of an interval, 0 outside, with edges ``soft`` wide."""
    rise = smoothstep(low - soft, low + soft, value)
    return rise * (1 - smoothstep(high - soft, high + soft, value))


@njit(cache=True, fastmath=True)
def _blend(rgb, red, green, blue, share):  # type: ignore[no-untyped-def]
    """Move a colour towards another, in place."""
    rgb[0] += (red - rgb[0]) * share
    rgb[1] += (green - rgb[1]) * share
    rgb[2] += (blue - rgb[2]) * share


@njit(cache=True, fastmath=True)
def house(tex, u, v, foot, rgb, night):  # type: ignore[no-untyped-def]
    """Give a wall its texture and windows, in place.

    Args:
        tex: Noise texture.
        u: Window columns, plus 64 times the style.
        v: Floors.
        foot: Metres a pixel covers.
        rgb: (3,) colour of the wall.
        night: Above 0 some windows are lit.

    Returns:
        How much it mirrors, and how much it shines.
    """
    style = np.floor(u / 64.0)
    column, floor = np.floor(u), np.floor(v)
    x, y, soft = u - column, v - floor, 0.012 + foot / 5.0
    wide = 0.30 + 0.28 * _chance(style, 1.0, 0.0)
    low, high = 0.18 + 0.16 * _chance(style, 2.0, 0.0), 0.80 + 0.10 * _chance(style, 3.0, 0.0)
    fade = min(1.0, 0.1 / foot)
    if rgb[0] > 1.8 * rgb[2]:  # bricks
        row = np.floor(v * 42.0)
        grain = _chance(np.floor(u * 11.0 + 0.5 * (row % 2)), row, style) - 0.5
        for c in range(3):
            rgb[c] *= 1 + 0.35 * grain * min(1.0, 0.03 / foot)
    stain = 1 + 0.10 * sample(tex, u * 5.0, v * 7.0, 2) + 0.08 * fade * sample(tex, u * 31.0, v * 37.0, 0)
    for c in range(3):
        rgb[c] *= stain
    if _chance(style, 4.0, 0.0) < 0.5:  # a ledge at every floor
        _blend(rgb, rgb[0] * 1.35, rgb[1] * 1.35, rgb[2] * 1.35, _within(y, 0.0, 0.05, soft))
    left, right = 0.5 - wide / 2, 0.5 + wide / 2
    inside = _within(x, left, right, soft) * _within(y, low, high, soft)
    if inside < 0.01:
        sill = _within(x, left - 0.03, right + 0.03, soft) * _within(y, low - 0.05, low - 0.015, soft)
        _blend(rgb, rgb[0] * 1.4, rgb[1] * 1.4, rgb[2] * 1.4, sill)
        return 0.0, 0.0
    white = _chance(style, 5.0, 0.0) < 0.6
    tone = 0.55 if white else 0.05
    _blend(rgb, tone, tone, tone, inside)
    frame = 0.022 + 0.25 * soft
    pane = _within(x, left + frame, right - frame, soft * 0.6) * _within(y, low + frame, high - frame, soft * 0.6)
    bars = 1.0 + np.floor(2.5 * _chance(style, 6.0, 0.0))
    part = (x - left) / wide * bars
    part -= np.floor(part)
    pane *= _within(part, 0.02 * bars, 1 - 0.02 * bars, soft * bars / wide * 0.6)
    dark = 0.015 + 0.03 * _chance(column, floor, 1.0)
    curtain = _chance(column, floor, 2.0)
    if curtain < 0.35 and y > high - (high - low) * (0.3 + curtain * 2):
        dark = 0.18 + 0.3 * _chance(column, floor, 3.0)
    _blend(rgb, dark, dark, dark * 1.1, pane)
    lit = _chance(column, floor, 4.0) < 0.3
    glow = (0.10 + 0.22 * _chance(column, floor, 5.0)) * pane if night > 0 and lit else 0.0
    return 0.32 * pane, glow


@njit(cache=True, fastmath=True)
def shop(tex, u, v, foot, rgb, night):  # type: ignore[no-untyped-def]
    """Give the ground floor large panes, doors and a signboard; arguments and returns as :func:`house`."""
    column = np.floor(u)
    x, soft = u - column, 0.01 + foot / 6.0
    kind = _chance(column, 7.0, np.floor(u / 64.0))
    board = _within(v, 0.80, 0.95, soft)
    red, green, blue = _chance(column // 2, 1.0, 9.0), _chance(column // 2, 2.0, 9.0), _chance(column // 2, 3.0, 9.0)
    if kind < 0.8:
        _blend(rgb, red * red * 0.6, green * green * 0.5, blue * blue * 0.6, board)
        ink = _within(v, 0.84, 0.91, soft) * _within(x, 0.15, 0.85, soft)
        letters = smoothstep(0.0, 0.4, sample(tex, u * 24.0, 3.0, 0)) * min(1.0, 0.12 / foot)
        _blend(rgb, 0.7, 0.7, 0.66, ink * letters)
    low = 0.02 if kind > 0.6 else 0.14
    left, right = (0.3, 0.7) if kind > 0.6 else (0.06, 0.94)
    pane = _within(x, left, right, soft) * _within(v, low, 0.74, soft)
    dark = 0.02 + 0.05 * max(sample(tex, u * 9.0, v * 9.0, 1) * min(1.0, 0.3 / foot), 0.0)
    _blend(rgb, dark, dark, dark, pane)
    return 0.28 * pane, 0.35 * pane if night > 0 and kind < 0.5 else 0.0


@njit(cache=True, fastmath=True)
def leaves(tex, position, foot, rgb):  # type: ignore[no-untyped-def]
    """Break a crown into leaves and gaps, in place; returns 0, for it mirrors nothing."""
    x, y, z = position[0], position[1], position[2]
    fine = sample(tex, (x + 0.6 * z) * 9.0, (y - 0.7 * z) * 9.0, 0) * min(1.0, 0.07 / foot)
    middle = sample(tex, (x - 0.5 * z) * 3.1, (y + 0.6 * z) * 3.1, 0) * min(1.0, 0.25 / foot)
    coarse = sample(tex, (x + z) * 1.3, (y - z) * 1.3, 2)
    tone = max(1 + 0.42 * fine + 0.34 * middle + 0.18 * coarse, 0.12)
    for c in range(3):
        rgb[c] *= tone
    rgb[0] *= 1 + 0.15 * middle
    return 0.0
