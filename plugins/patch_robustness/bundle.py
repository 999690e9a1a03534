"""A patch on disk: the printable picture and a JSON header; evaluated is the 8-bit picture, never the floats."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perception.errors import InputError, PerceptionError
from perception.sinks.storage import write_file
from perception.version import __version__

from .attacks import AttackConfig, Crafted, PatchSet

__all__ = ["Bundle", "export_png", "load_bundle", "save_bundle"]

PICTURE, HEADER, SCHEMA = "patch.png", "patch.json", 1


@dataclass(frozen=True, eq=False)
class Bundle:
    """Stored patches.

    Attributes:
        patch: (P, 3, w, w) float32, exact multiples of 1 / 255; below each other in the picture.
        header: What ``patch.json`` says.
        folder: Where it is.
    """

    patch: Tensor
    header: Mapping[str, Any]
    folder: Path

    @property
    def config(self) -> AttackConfig:
        """The attack that made it."""
        return AttackConfig(**self.header["attack"])

    @property
    def patches(self) -> PatchSet:
        """What ``evaluate`` takes."""
        return PatchSet(self.patch, tuple(self.header.get("keys", ("",))))


def export_png(
    path: str | Path,
    patch: Tensor,
    dpi: float = 300.0,
    size_m: tuple[float, float] | None = None,
    mask: Tensor | None = None,
) -> None:
    """Write a patch for printing.

    Args:
        path: The file.
        patch: (1, 3, h, w) in [0, 1].
        dpi: Dots per inch stored in the file.
        size_m: Printed height and width in metres: pixels are repeated until the picture has that size at ``dpi``;
            None keeps one dot a pixel.
        mask: (h, w) bool where the picture is patch; the rest is transparent.
    """
    import io

    from PIL import Image

    array = _quantised(patch)
    if mask is not None:
        array = np.dstack([array, mask.numpy().astype(np.uint8) * 255])
    if size_m is not None:
        rows, columns = (max(round(size / 0.0254 * dpi), 1) for size in size_m)
        y = np.arange(rows) * array.shape[0] // rows
        x = np.arange(columns) * array.shape[1] // columns
        array = array[y][:, x]
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", dpi=(dpi, dpi))
    write_file(Path(path), buffer.getvalue())


def _quantised(patch: Tensor) -> np.ndarray:
    return (patch[0].detach().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def save_bundle(
    folder: str | Path, crafted: Crafted, config: AttackConfig, about: Mapping[str, Any], dpi: float = 300.0
) -> Bundle:
    """Write ``patch.png`` and ``patch.json``; ``about`` is plain data on victim, data and threat model."""
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    export_png(root / PICTURE, torch.cat(list(crafted.patch), 1)[None], dpi)
    attack = dataclasses.asdict(config)
    header = {
        "schema": SCHEMA,
        "version": __version__,
        "torch": torch.__version__,
        "attack": attack,
        "attack_sha256": hashlib.sha256(json.dumps(attack, sort_keys=True).encode()).hexdigest(),
        "picture_sha256": hashlib.sha256((root / PICTURE).read_bytes()).hexdigest(),
        "dpi": dpi,
        "seconds": round(crafted.seconds, 3),
        "queries": crafted.queries,
        "stopped": crafted.stopped,
        "keys": list(crafted.keys),
        "losses": [float(f"{loss:.6g}") for loss in crafted.losses],
        **about,
    }
    write_file(root / HEADER, json.dumps(header, indent=1).encode())
    return load_bundle(root)


def load_bundle(folder: str | Path) -> Bundle:
    """Read a bundle, or a PNG of its own folder.

    Raises:
        InputError: A file is missing, is not what it should be, or the picture is not the one of the header.
    """
    root = Path(folder)
    root = root.parent if root.name == PICTURE else root
    try:
        header = json.loads((root / HEADER).read_text(encoding="utf-8"))
        AttackConfig(**header["attack"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, PerceptionError) as error:
        raise InputError(root / HEADER, "", "the header of a patch", f"{type(error).__name__}: {error}") from error
    try:
        content = (root / PICTURE).read_bytes()
    except OSError as error:
        raise InputError(root / PICTURE, "", "the picture of the patch", str(error.strerror)) from error
    if hashlib.sha256(content).hexdigest() != header.get("picture_sha256"):
        raise InputError(root / PICTURE, "", "the picture its header was written for", "another one")
    keys = header.get("keys", [""])
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
        raise InputError(root / HEADER, "keys", "names of patches", repr(keys)[:80])
    return Bundle(_read(root / PICTURE, content, AttackConfig(**header["attack"]).width, len(keys)), header, root)


def _read(path: Path, content: bytes, width: int, count: int) -> Tensor:
    import cv2

    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None or image.shape[:2] != (count * width, width):
        found = "no picture" if image is None else str(image.shape)
        raise InputError(path, "", f"a picture of {width} x {count * width}", found)
    array = np.ascontiguousarray(image[..., ::-1].reshape(count, width, width, 3).transpose(0, 3, 1, 2))
    return torch.from_numpy(array).float() / 255
