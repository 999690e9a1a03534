"""Writing to disk: errors that say what to do, whole files by rename, json that every reader accepts."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import PerceptionError

__all__ = ["dump_json", "storage_errors", "write_file", "write_picture", "write_png"]

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space or choose another output folder, then run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another output folder, then run again",
    errno.EACCES: "no permission to write; change the permissions or choose another output folder",
    errno.EPERM: "no permission to write; change the permissions or choose another output folder",
    errno.EROFS: "the file system is read-only; choose another output folder",
}


@contextmanager
def storage_errors(path: str | Path) -> Iterator[None]:
    """Turn an :class:`OSError` inside the block into a :class:`PerceptionError` that names ``path`` and a way out."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, f"{error.strerror or error}; check the output folder, then run again")
        raise PerceptionError(f"cannot write {path}: {advice}") from error


def write_file(path: Path, data: bytes) -> None:
    """Write a whole file under a temporary name and rename it, so that a reader sees all of it or the old one.

    Raises:
        PerceptionError: The disk is full or not writable.
    """
    temporary = path.with_name(path.name + ".tmp")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(data)
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 RGB picture as PNG, whole or not at all."""
    write_picture(path.with_suffix(".png"), picture)


def write_picture(path: Path, picture: np.ndarray, quality: int = 75) -> None:
    """Write an (H, W, 3) uint8 RGB picture as what its suffix says, ``.jpg`` or ``.png``, whole or not at all.

    Raises:
        PerceptionError: Another suffix, or the disk is full or not writable.
    """
    import cv2

    if path.suffix not in (".jpg", ".png"):
        raise PerceptionError(f"{path}: expected a name that ends in .jpg or .png")
    _, data = cv2.imencode(path.suffix, picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    write_file(path, data.tobytes())


def dump_json(value: Any) -> str:
    """Compact json on one line; numpy values become plain ones and non-finite numbers become null.

    Null reads back as NaN in the arrays of results, and unlike the bare word NaN it is valid in every json reader.
    """
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (ValueError, TypeError):
        return json.dumps(_plain(value), separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
