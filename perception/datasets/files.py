"""Files that a data set names: pictures, and paths that must stay below its root."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from perception.errors import InputError

__all__ = ["path_below", "read_image"]


def read_image(path: str | Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 RGB.

    Args:
        path: The file.
        size: (width, height) that its annotations state; None takes any.

    Raises:
        InputError: Missing, not an image, or of another size.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        found = "a file that cannot be decoded" if Path(path).is_file() else "no file"
        raise InputError(path, "", "an image", found)
    height, width = image.shape[:2]
    if size is not None and (width, height) != tuple(size):
        raise InputError(path, "", f"{size[0]} x {size[1]} pixels, as annotated", f"{width} x {height}")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def path_below(root: Path, name: str, source: str | Path, record: str = "") -> Path:
    """``root / name`` for a name that a file states.

    Args:
        root: Folder of the data set.
        name: Relative path with forward slashes.
        source: File that states it, for the error.
        record: Where in it.

    Raises:
        InputError: The name is empty, absolute or leads out of the root.
    """
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts or "\0" in name:
        raise InputError(source, record, "a path below the data root", repr(name))
    return root / relative
