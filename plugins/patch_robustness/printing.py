"""``perception attack print``: stored patches as pictures of their true size, to print and stick on a surface."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from perception.errors import PerceptionError

from .bundle import export_png, load_bundle
from .signs import SIGN_CLASSES, patch_mask, sign_mask

__all__ = ["print_patches", "printable"]

MOST_DOTS = 150_000_000
"""Of a sheet: what programs open without complaint."""


def print_patches(
    folder: Path, surface: str | tuple[float, float], dpi: float = 300.0, out: Path | None = None
) -> list[Path]:
    """Write every patch of a bundle as it goes on one surface, as large as evaluated: in whole pixels of its canvas.

    Args:
        folder: What ``attack craft`` wrote.
        surface: Name of a sign class, or height and width of a rectangle in metres.
        dpi: Dots per inch.
        out: Folder for ``print_<surface>[_<key>].png``; that of the bundle when None.

    Returns:
        The files.

    Raises:
        InputError: The bundle cannot be read.
        PerceptionError: No such sign, ``dpi`` out of range, or a sheet of more than `MOST_DOTS`.
    """
    if not 1 <= dpi <= 2400:
        raise PerceptionError(f"attack print: expected 1 to 2400 dpi, found {dpi}")
    name, shape, size_m = _surface(surface)
    bundle = load_bundle(folder)
    made = []
    for patch, key in zip(bundle.patch, bundle.patches.keys):
        picture, mask, printed_m = printable(patch, shape, size_m, bundle.config.size)
        if printed_m[0] * printed_m[1] * (dpi / 0.0254) ** 2 > MOST_DOTS:
            found = f"{printed_m[0]:.2f} x {printed_m[1]:.2f} m at {dpi:g} dpi"
            raise PerceptionError(f"attack print: expected at most {MOST_DOTS} dots, found {found}; lower --dpi")
        label = "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in key)
        path = (out or bundle.folder) / f"print_{name}{'_' * bool(label)}{label}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        export_png(path, picture[None], dpi, printed_m, mask)
        made.append(path)
    return made


def printable(
    patch: Tensor, shape: str, size_m: tuple[float, float], sticker: str
) -> tuple[Tensor, Tensor, tuple[float, float]]:
    """What of a canvas is printed.

    Args:
        patch: (3, w, w) in [0, 1] on the canvas of the surface, whose longer side it spans.
        shape: See ``signs.SignClass``.
        size_m: Height and width of the surface.
        sticker: See ``AttackConfig.size``.

    Returns:
        (3, h, v) the part around the patch, (h, v) bool where it is patch, and its height and width in metres.

    Raises:
        PerceptionError: The patch has no pixel of the canvas.
    """
    width = patch.shape[-1]
    mask = sign_mask(shape, size_m[0] / size_m[1], width)[0]
    if sticker:
        mask = mask * patch_mask(sticker, (size_m[0] * 1000, size_m[1] * 1000), width)
    rows, columns = torch.nonzero(mask.any(1))[:, 0], torch.nonzero(mask.any(0))[:, 0]
    if not len(rows):
        raise PerceptionError(f"attack print: {sticker} has no pixel on {shape} of {size_m[0]} x {size_m[1]} m")
    part = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    pixel = max(size_m) / width
    mask = mask[part] > 0
    return patch[:, part[0], part[1]], mask, (mask.shape[0] * pixel, mask.shape[1] * pixel)


def _surface(surface: str | tuple[float, float]) -> tuple[str, str, tuple[float, float]]:
    """Name for files, shape, and height and width in metres."""
    if not isinstance(surface, str):
        return f"{surface[0]:g}x{surface[1]:g}m", "rect", surface
    for sign in SIGN_CLASSES:
        if sign.name == surface:
            return sign.name, sign.shape, (sign.height_mm / 1000, sign.width_mm / 1000)
    names = ", ".join(sign.name for sign in SIGN_CLASSES)
    raise PerceptionError(f"attack print: expected a sign ({names}) or HxW in metres, found {surface!r}")
