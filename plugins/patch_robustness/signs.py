"""The sign classes of REAP: sizes, canonical masks and keypoints, and masks of stickers (spec sections 1.1 and 2)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from perception.errors import PerceptionError, UnknownNameError

__all__ = [
    "BACKGROUND",
    "SIGN_CLASSES",
    "PatchSize",
    "SignClass",
    "letterbox",
    "parse_patch_size",
    "patch_mask",
    "raw_patch_mask",
    "shape_outline",
    "sign_class",
    "sign_mask",
]

INCH_MM = 25.4
BACKGROUND = "other"
"""Name of the last class: signs that belong to no attacked class."""


@dataclass(frozen=True)
class SignClass:
    """A class of signs.

    Attributes:
        name: Class name.
        height_mm: Height of the sign's bounding rectangle.
        width_mm: Its width.
        shape: ``circle``, ``triangle``, ``triangle_inverted``, ``diamond``, ``square``, ``rect``, ``pentagon`` or
            ``octagon``.
    """

    name: str
    height_mm: float
    width_mm: float
    shape: str

    @property
    def ratio(self) -> float:
        """Height divided by width."""
        return self.height_mm / self.width_mm


SIGN_CLASSES: tuple[SignClass, ...] = (
    SignClass("circle", 750, 750, "circle"),
    SignClass("triangle", 789, 900, "triangle"),
    SignClass("up-triangle", 1072.3, 1220, "triangle_inverted"),
    SignClass("diamond-s", 600, 600, "diamond"),
    SignClass("diamond-l", 915, 915, "diamond"),
    SignClass("square", 600, 600, "square"),
    SignClass("rect-s", 610, 458, "rect"),
    SignClass("rect-m", 915, 762, "rect"),
    SignClass("rect-l", 1220, 915, "rect"),
    SignClass("pentagon", 915, 915, "pentagon"),
    SignClass("octagon", 915, 915, "octagon"),
)
"""The eleven classes of the "shape" configuration; the index is the class id, id 11 is ``BACKGROUND``."""


def sign_class(name: str | int) -> SignClass:
    """Return a class by name or id.

    Raises:
        UnknownNameError: No such class.
    """
    if isinstance(name, int) and 0 <= name < len(SIGN_CLASSES):
        return SIGN_CLASSES[name]
    for found in SIGN_CLASSES:
        if found.name == name:
            return found
    raise UnknownNameError("sign class", str(name), [found.name for found in SIGN_CLASSES])


def shape_outline(shape: str, ratio: float, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Mask and keypoints of a shape on its own canvas of round(ratio * width) x width pixels.

    Args:
        shape: See ``SignClass.shape``.
        ratio: Height divided by width.
        width: Width in pixels.

    Returns:
        (h, width) bool and (3 or 4, 2) float64 xy, pixel centres at integers.

    Raises:
        UnknownNameError: No such shape.
    """
    s, h = width, round(ratio * width)
    y, x = np.mgrid[:h, :s]
    mid, last = round(s / 2), float(s - 1)
    square = np.array([[0, 0], [last, 0], [last, h - 1], [0, h - 1]], np.float64)
    upper = (y + x >= mid) & (y - x >= -mid)
    if shape in ("rect", "square"):
        return np.ones((h, s), bool), square
    if shape == "circle":
        return (x - mid) ** 2 + (y - mid) ** 2 <= mid**2, square
    if shape == "diamond":
        mask = upper & (y + x <= s + mid) & (y - x <= mid)
        return mask, np.array([[0, mid], [mid, 0], [last, mid], [mid, last]], np.float64)
    if shape == "triangle":
        mask = (y / h + 2 * x / s >= 1) & (y / h - 2 * x / s >= -1)
        return mask, np.array([[mid, 0], [last, h - 1], [0, h - 1]], np.float64)
    if shape == "triangle_inverted":
        mask = (y / h - 2 * x / s <= 0) & (y / h + 2 * x / s <= 2)
        return mask, np.array([[0, 0], [last, 0], [mid, h - 1]], np.float64)
    if shape == "pentagon":
        return upper, np.array([[0, mid], [last, mid], [last, last], [0, last]], np.float64)
    if shape == "octagon":
        e = round((2 - math.sqrt(2)) / 2 * s)
        mask = (y + x >= e) & (y - x >= e - s) & (y + x <= 2 * s - e) & (y - x <= s - e)
        return mask, np.array([[e, 0], [last, e], [s - e, last], [0, s - e]], np.float64)
    raise UnknownNameError("sign shape", shape, {found.shape for found in SIGN_CLASSES})


def letterbox(image: Tensor, size: int, *, pad: bool = True) -> tuple[Tensor, tuple[float, float], tuple[int, int]]:
    """Fit (C, h, w) into a square of ``size`` pixels: nearest resize, centred, zeros around.

    Returns:
        (C, size, size), or the resized image where ``pad`` is off; the (x, y) scales, and the (x, y) of its corner.
    """
    h, w = image.shape[-2:]
    scale = min(size / h, size / w)
    new = round(scale * h), round(scale * w)
    if new != (h, w):
        image = torch.nn.functional.interpolate(image[None], new, mode="nearest")[0]
    scales = (new[1] / w, new[0] / h)
    if not pad:
        return image, scales, (0, 0)
    top, left = (size - new[0]) // 2, (size - new[1]) // 2
    out = image.new_zeros(image.shape[0], size, size)
    out[:, top : top + new[0], left : left + new[1]] = image
    return out, scales, (left, top)


@lru_cache(maxsize=256)
def sign_mask(
    shape: str, ratio: float, width: int = 64, *, square: bool = True, box: bool = False
) -> tuple[Tensor, Tensor]:
    """Mask and keypoints of a sign on the canvas that patches live on; computed once, do not change them.

    Args:
        shape: See ``SignClass.shape``.
        ratio: Height divided by width.
        width: Side of the canvas in pixels.
        square: Pad the sign to ``width`` x ``width``.
        box: Give the corners of the bounding rectangle as keypoints, for data where only boxes are known.

    Returns:
        (h, w) float32 of 0 and 1, and (3 or 4, 2) float64 xy.
    """
    mask, points = shape_outline(shape, ratio, width)
    if box:
        points = shape_outline("rect", ratio, width)[1]
    canvas, keypoints = torch.from_numpy(mask.astype(np.float32)), torch.from_numpy(points)
    boxed, scales, corner = letterbox(canvas[None], width, pad=square)
    return boxed[0], keypoints * torch.tensor(scales, dtype=torch.float64) + torch.tensor(corner, dtype=torch.float64)


@dataclass(frozen=True)
class PatchSize:
    """A sticker in inches, ``<count>_<height>x<width>_<place>``.

    Attributes:
        count: One, or two mirrored ones.
        height_in: Height in inches.
        width_in: Width in inches.
        place: ``bottom``, ``middle`` or ``top``.
    """

    count: int
    height_in: int
    width_in: int
    place: str


def parse_patch_size(text: str) -> PatchSize:
    """Read ``"1_10x20_bottom"``; anything but bottom, middle and top is taken as bottom.

    Raises:
        PerceptionError: Another form, or a count other than 1 and 2.
    """
    found = re.fullmatch(r"([12])_([1-9]\d*)x([1-9]\d*)_(\w+)", text)
    if found is None:
        raise PerceptionError(f"patch size: expected '<1|2>_<H>x<W>_<bottom|middle|top>' in inches, found {text!r}")
    place = found[4] if found[4] in ("bottom", "middle", "top") else "bottom"
    return PatchSize(int(found[1]), int(found[2]), int(found[3]), place)


def raw_patch_mask(size: PatchSize | str, size_mm: tuple[float, float], width: int = 64) -> Tensor:
    """Where stickers lie on a sign.

    Args:
        size: Of the stickers.
        size_mm: (height, width) of the sign.
        width: Width of the sign in pixels.

    Returns:
        (round(ratio * width), width) float32 of 0 and 1.
    """
    size = parse_patch_size(size) if isinstance(size, str) else size
    height = round(size_mm[0] / size_mm[1] * width)
    patch_h = round(size.height_in * INCH_MM / size_mm[0] * height)
    patch_w = round(size.width_in * INCH_MM / size_mm[1] * width)
    half_h, half_w = patch_h // 2, patch_w // 2
    shift = (height - patch_h) / 2
    centres = {"bottom": height / 2 + shift, "middle": height / 2, "top": height / 2 - shift}
    first = int(centres[size.place])
    mask, left = torch.zeros(height, width), width // 2 - half_w
    for y in [first] + [height // 2 * 2 - first] * (size.count - 1):
        mask[max(y - half_h, 0) : y + half_h, max(left, 0) : left + 2 * half_w] = 1
    return mask


def patch_mask(size: PatchSize | str, size_mm: tuple[float, float], width: int = 64) -> Tensor:
    """``raw_patch_mask`` letter-boxed into (width, width), the canvas of ``sign_mask``."""
    return letterbox(raw_patch_mask(size, size_mm, width)[None], width)[0][0]
