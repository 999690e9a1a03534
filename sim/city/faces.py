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

_COLORS = {
    "red": (190, 20, 24), "yellow": (240, 180, 20), "blue": (20, 70, 170), "white": (235, 235, 230),
    "black": (20, 20, 20),
}  # fmt: skip
_LOOK = {
    "circle": ("red", 0.76, "white", "black"), "triangle": ("red", 0.70, "white", "black"),
    "up-triangle": ("red", 0.64, "white", "white"), "diamond-s": ("white", 0.68, "yellow", "yellow"),
    "diamond-l": ("black", 0.92, "yellow", "black"), "square": ("white", 0.90, "blue", "white"),
    "rect-s": ("yellow", 0.88, "black", "yellow"), "rect-m": ("black", 0.93, "white", "black"),
    "rect-l": ("black", 0.93, "white", "black"), "pentagon": ("black", 0.94, "yellow", "black"),
    "octagon": ("white", 0.92, "red", "white"),
}  # fmt: skip
"""Colour of the rim, size of the inner field, its colour, colour of what is on it."""
_HEAVY = {"triangle": (0.5, 2 / 3), "up-triangle": (0.5, 1 / 3), "pentagon": (0.5, 0.53)}
"""Point about which the inner field shrinks, where it is not the middle."""
PIXELS = 96


def sign_face(shape: str, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 4) uint8 sRGB and alpha of a sign without attribute; what is on it is random.

    Shapes of equal outline differ in their faces, as the real ones do: priority and warning diamonds, chevrons, text
    and speed limits on rectangles.
    """
    rim, share, fill, ink = _LOOK[shape]
    color = _COLORS[ink]
    image = _blank(SHAPES[shape], _COLORS[rim])
    middle = np.array(_HEAVY.get(shape, (0.5, 0.5)))
    _poly(image, middle + (SHAPES[shape].outline - middle) * (share + rng.uniform(-0.03, 0.03)), _COLORS[fill])
    if shape == "octagon":
        _text(image, "STOP", 0.5, 0.8, color)
    elif shape == "circle":
        _text(image, str(int(rng.choice([20, 30, 50, 60, 70]))), 0.5, 0.52, color)
    elif shape == "rect-l":
        _bar(image, 0.2, 0.8, rng.uniform(0.1, 0.16), 0.07, color)
        _text(image, str(int(rng.choice([25, 35, 45, 55, 65]))), 0.58, 0.68, color)
    elif shape == "rect-m":
        for y in np.linspace(0.24, 0.76, 3) + rng.uniform(-0.03, 0.03, 3):
            _bar(image, rng.uniform(0.12, 0.25), rng.uniform(0.7, 0.88), y, 0.1, color)
    elif shape == "rect-s":
        points = np.array([(0.28, 0.18), (0.72, 0.5), (0.28, 0.82)])
        _stroke(image, points if rng.random() < 0.5 else points * (-1, 1) + (1, 0), color)
    elif ink != fill:
        _symbol(image, middle, rng, color)
    return image


def _symbol(image: np.ndarray, middle: np.ndarray, rng: np.random.Generator, color: tuple[int, ...]) -> None:
    """A walker, an arrow or a bar in the middle of a face."""
    kind, size = int(rng.integers(3)), rng.uniform(0.8, 1.1)
    if kind == 0:
        head = np.round((middle + np.array([0, -0.17]) * size) * image.shape[1::-1]).astype(int)
        cv2.circle(image, tuple(head.tolist()), round(5 * size), (*color, 255), -1, cv2.LINE_AA)
        body = np.array([(0.12, 0.22), (0, 0.05), (0, -0.12), (0, 0.05), (-0.12, 0.22)])
        _stroke(image, middle + body * size, color, 5)
    elif kind == 1:
        side = 1 if rng.random() < 0.5 else -1
        path = np.array([(-0.08, 0.2), (-0.08, -0.05), (0.1, -0.05), (0.02, -0.16), (0.1, -0.05), (0.02, 0.06)])
        _stroke(image, middle + path * (side, 1) * size, color, 7)
    else:
        _stroke(image, middle + np.array([(0, -0.2), (0, 0.04)]) * size, color, 10)
        _stroke(image, middle + np.array([(0, 0.17), (0, 0.18)]) * size, color, 10)


def _stroke(image: np.ndarray, points: np.ndarray, color: tuple[int, ...], width: int = 9) -> None:
    pixels = np.round(points * image.shape[1::-1]).astype(np.int32)
    cv2.polylines(image, [pixels], False, (*color, 255), width, cv2.LINE_AA)


def _bar(image: np.ndarray, left: float, right: float, y: float, height: float, color: tuple[int, ...]) -> None:
    _poly(
        image,
        np.array([(left, y - height / 2), (right, y - height / 2), (right, y + height / 2), (left, y + height / 2)]),
        color,
    )


def _text(image: np.ndarray, text: str, y: float, width: float, color: tuple[int, ...]) -> None:
    """Text across a share of a face, its middle at ``y``."""
    (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, 1.0, 2)
    scale = width * image.shape[1] / w
    place = (round((1 - width) / 2 * image.shape[1]), round(y * image.shape[0] + h * scale / 2))
    thick = max(round(3 * scale), 2)
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_DUPLEX, scale, (*color, 255), thick, cv2.LINE_AA)


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
