"""Reading pictures as a camera user means them: upright, 8 bit, three channels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from perception.errors import InputError, PerceptionError


def read_image(path: Path) -> np.ndarray:
    """Read a picture as (H, W, 3) uint8 RGB; EXIF rotation is applied, grey is repeated, 16 bit scaled, alpha dropped.

    Raises:
        InputError: Missing, or not a picture.
    """
    try:
        code = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise InputError(path, "", "an image", "no file" if not path.exists() else str(error)) from error
    image = cv2.imdecode(code, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH) if len(code) else None
    if image is None:
        raise InputError(path, "", "an image", "a file that cannot be decoded")
    try:
        image = to_rgb8(image)
    except PerceptionError as error:
        raise InputError(path, "", "an image of 8 or 16 bits", str(error)) from error
    return np.ascontiguousarray(image[..., ::-1])


def to_rgb8(image: np.ndarray) -> np.ndarray:
    """An array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16 or float in [0, 1] as (H, W, 3) uint8.

    16-bit pictures use their full range: 65535 is white. The order of colour channels is kept.

    Raises:
        PerceptionError: Another shape or type, an empty picture or values that are not finite.
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or 0 in image.shape:
        raise PerceptionError(f"image: expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), found {image.shape}")
    image = image[..., : 3 if image.shape[2] == 4 else None]
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif image.dtype.kind == "f":
        if not np.isfinite(image).all() or image.min() < 0 or image.max() > 1:
            raise PerceptionError("image: expected floats within [0, 1], found others")
        image = (image * 255 + 0.5).astype(np.uint8)
    elif image.dtype != np.uint8:
        raise PerceptionError(f"image: expected uint8, uint16 or float, found {image.dtype}")
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
