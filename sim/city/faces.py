"""Faces of signs, traffic lights and boards: pictures, outlines, metric sizes (spec patch_robustness section 2)."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np


class Shape(NamedTuple):
    """A kind of sign face.

    Attributes:
        height: Metres.
        width: Metres.
        outline: (N, 2) corners in the unit square, x right, y down.
        keypoints: (K, 2) annotated points in the unit square.
    """

    height: float
    width: float
    outline: np.ndarray
    keypoints: np.ndarray


_CORNERS = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)


def _shape(height: float, width: float, outline: np.ndarray, keypoints: np.ndarray | None = None) -> Shape:
    return Shape(height, width, outline, outline if keypoints is None else keypoints)


_E = (2 - np.sqrt(2)) / 2
_DIAMOND = np.array([(0, 0.5), (0.5, 0), (1, 0.5), (0.5, 1)])
_ANGLE = np.arange(32) * np.pi / 16
_CIRCLE = np.stack([0.5 + 0.5 * np.sin(_ANGLE), 0.5 - 0.5 * np.cos(_ANGLE)], -1)
_OCTAGON = np.array([(_E, 0), (1 - _E, 0), (1, _E), (1, 1 - _E), (1 - _E, 1), (_E, 1), (0, 1 - _E), (0, _E)])
_PENTAGON = np.array([(0, 0.5), (0.5, 0), (1, 0.5), (1, 1), (0, 1)])
SHAPES: dict[str, Shape] = {
    "circle": _shape(0.750, 0.750, _CIRCLE, _CORNERS),
    "triangle": _shape(0.789, 0.900, np.array([(0.5, 0), (1, 1), (0, 1)])),
    "up-triangle": _shape(1.0723, 1.220, np.array([(0, 0), (1, 0), (0.5, 1)])),
    "diamond-s": _shape(0.600, 0.600, _DIAMOND),
    "diamond-l": _shape(0.915, 0.915, _DIAMOND),
    "square": _shape(0.600, 0.600, _CORNERS),
    "rect-s": _shape(0.610, 0.458, _CORNERS),
    "rect-m": _shape(0.915, 0.762, _CORNERS),
    "rect-l": _shape(1.220, 0.915, _CORNERS),
    "pentagon": _shape(0.915, 0.915, _PENTAGON, _PENTAGON[[0, 2, 3, 4]]),
    "octagon": _shape(0.915, 0.915, _OCTAGON, _OCTAGON[[0, 2, 4, 6]]),
}
"""The eleven shapes with the sizes of REAP."""

ATTRIBUTES = (
    *("unknown", "red", "green", "yellow", "go_straight", "turn_left", "turn_right", "no_left_turn", "no_right_turn"),
    *("u_turn", "no_u_turn", "slight_left", "slight_right"),
)
"""Traffic-element attributes of OpenLane-V2 in their order."""

_COLORS = {"red": (190, 20, 24), "yellow": (240, 180, 20), "blue": (20, 70, 170), "white": (235, 235, 230)}
_LOOK = {
    "circle": ("white", "red"), "triangle": ("white", "red"), "up-triangle": ("white", "red"),
    "diamond-s": ("yellow", "white"), "diamond-l": ("yellow", "white"), "square": ("blue", "white"),
    "rect-s": ("white", "white"), "rect-m": ("white", "white"), "rect-l": ("white", "white"),
    "pentagon": ("yellow", "white"), "octagon": ("red", "white"),
}  # fmt: skip
PIXELS = 96


def sign_face(shape: str, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 4) uint8 sRGB and alpha of a sign without attribute; the symbol on it is random."""
    fill, rim = (_COLORS[name] for name in _LOOK[shape])
    image = _blank(SHAPES[shape], rim)
    inner = 0.5 + (SHAPES[shape].outline - 0.5) * 0.82
    _poly(image, inner, fill)
    ink = (20, 20, 20) if sum(fill) > 300 else (240, 240, 240)
    h, w = image.shape[:2]
    if shape == "octagon":
        cv2.putText(image, "STOP", (int(w * 0.1), int(h * 0.6)), cv2.FONT_HERSHEY_DUPLEX, w / 110, (*ink, 255), 2, 16)
    elif shape == "circle":
        text = str(int(rng.choice([20, 30, 50, 60, 70])))
        cv2.putText(image, text, (int(w * 0.2), int(h * 0.64)), cv2.FONT_HERSHEY_DUPLEX, w / 80, (*ink, 255), 2, 16)
    elif rng.random() < 0.7:
        for _ in range(int(rng.integers(1, 4))):
            x, y = rng.uniform(0.35, 0.6, 2)
            _poly(image, np.array([(x, y), (x + 0.14, y), (x + 0.14, y + 0.1), (x, y + 0.1)]), ink)
    return image


def attribute_face(attribute: int) -> np.ndarray:
    """(H, W, 4) uint8 of a round sign with the arrow of an attribute from 4 to 12; forbidden ones have a red bar."""
    name = ATTRIBUTES[attribute]
    forbidden = name.startswith("no_")
    image = _blank(SHAPES["circle"], _COLORS["red"] if forbidden else _COLORS["white"])
    _poly(image, 0.5 + (_CIRCLE - 0.5) * 0.84, _COLORS["white"] if forbidden else _COLORS["blue"])
    ink = (20, 20, 20, 255) if forbidden else (240, 240, 240, 255)
    path = np.array(_PATHS[name.removeprefix("no_")], float) * PIXELS
    points = np.round(path).astype(np.int32)
    cv2.polylines(image, [points[:-1]], False, ink, 7, cv2.LINE_AA)
    cv2.arrowedLine(image, tuple(points[-2].tolist()), tuple(points[-1].tolist()), ink, 7, cv2.LINE_AA, 0, 0.6)
    if forbidden:
        cv2.line(image, (22, 22), (PIXELS - 22, PIXELS - 22), (*_COLORS["red"], 255), 7, cv2.LINE_AA)
    return image


_PATHS = {
    "go_straight": [(0.5, 0.8), (0.5, 0.5), (0.5, 0.22)],
    "turn_left": [(0.62, 0.8), (0.62, 0.45), (0.25, 0.45)],
    "turn_right": [(0.38, 0.8), (0.38, 0.45), (0.75, 0.45)],
    "left_turn": [(0.62, 0.8), (0.62, 0.45), (0.25, 0.45)],
    "right_turn": [(0.38, 0.8), (0.38, 0.45), (0.75, 0.45)],
    "u_turn": [(0.66, 0.8), (0.66, 0.32), (0.36, 0.32), (0.36, 0.72)],
    "slight_left": [(0.58, 0.8), (0.58, 0.55), (0.33, 0.27)],
    "slight_right": [(0.42, 0.8), (0.42, 0.55), (0.67, 0.27)],
}

LIGHT_SIZE = (0.95, 0.34)
"""Height and width of a signal head, metres."""


def light_face(attribute: int) -> np.ndarray:
    """(H, W, 4) uint8 of a signal head showing red (1), green (2), yellow (3) or nothing."""
    image = np.zeros((132, 48, 4), np.uint8)
    image[..., :3], image[..., 3] = 16, 255
    for index, (name, color) in enumerate(
        (("red", (255, 40, 30)), ("yellow", (255, 190, 30)), ("green", (40, 255, 130)))
    ):
        on = ATTRIBUTES[attribute] == name
        cv2.circle(image, (24, 24 + 42 * index), 16, (*(color if on else tuple(c // 9 for c in color)), 255), -1, 16)
    return image


def board_face(rng: np.random.Generator) -> np.ndarray:
    """(H, W, 4) uint8 of an advertisement."""
    small = rng.integers(30, 230, (3, 5, 3)).astype(np.uint8)
    image = cv2.resize(small, (320, 160), interpolation=cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_NEAREST)
    for _ in range(3):
        text = "".join(rng.choice(list("AEIORSTLN"), int(rng.integers(3, 8))))
        place = (int(rng.uniform(5, 150)), int(rng.uniform(40, 150)))
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_TRIPLEX, rng.uniform(0.8, 2), (20, 20, 20), 2, 16)
    return np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])


def _blank(shape: Shape, color: tuple[int, int, int]) -> np.ndarray:
    image = np.zeros((round(PIXELS * shape.height / shape.width), PIXELS, 4), np.uint8)
    _poly(image, shape.outline, color)
    return image


def _poly(image: np.ndarray, outline: np.ndarray, color: tuple[int, ...]) -> None:
    h, w = image.shape[:2]
    points = np.round((outline * (w, h) - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(image, [points], (*color[:3], 255), cv2.LINE_AA, 4)
