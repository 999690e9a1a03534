"""Colours as (red, green, blue), 0..255, chosen to stay apart on asphalt."""

from __future__ import annotations

import cv2
import numpy as np

__all__ = ["AREA", "FAULT", "PALETTE", "TEXT", "Color", "color_of", "heat_colors", "text_on"]

Color = tuple[int, int, int]

PALETTE: tuple[Color, ...] = (
    (0, 190, 255),
    (255, 140, 0),
    (50, 220, 90),
    (255, 70, 150),
    (250, 225, 60),
    (150, 110, 255),
    (0, 235, 205),
    (255, 95, 70),
    (170, 225, 120),
    (240, 160, 255),
)
"""Colours for lanes, classes and curves, by index."""

TEXT: Color = (245, 245, 245)
FAULT: Color = (255, 110, 90)
AREA: Color = (190, 120, 255)


def color_of(index: int) -> Color:
    """Colour of lane, class or curve number ``index``; they repeat after :data:`PALETTE`."""
    return PALETTE[int(index) % len(PALETTE)]


def text_on(background: Color) -> Color:
    """Black or white, whichever reads better on ``background``."""
    luma = 0.299 * background[0] + 0.587 * background[1] + 0.114 * background[2]
    return (0, 0, 0) if luma > 140 else (255, 255, 255)


def heat_colors(values: np.ndarray, maximum: float | None = None) -> np.ndarray:
    """Colour-map an array.

    Args:
        values: (h, w) numbers >= 0; non-finite ones count as 0.
        maximum: Value of the hottest colour; None takes the largest value.

    Returns:
        (h, w, 3) uint8 RGB, dark blue for 0 to red for ``maximum``.
    """
    finite = np.nan_to_num(np.asarray(values, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(finite.max(initial=0.0)) if maximum is None else float(maximum)
    scaled = np.clip(finite / top if top > 0 else finite * 0, 0, 1)
    colored = cv2.applyColorMap((scaled * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    return np.ascontiguousarray(colored[:, :, ::-1])
