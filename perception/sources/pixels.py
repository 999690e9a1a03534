"""Encoded and raw images of all kinds -> uint8 RGB.

Conversions are fixed: 16-bit samples keep their high byte, alpha is dropped, grey is repeated three times.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from perception.sources.wire import MessageError

__all__ = ["decode_compressed", "decode_raw", "picture_size"]

_CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "rgb16": 3, "bgr16": 3, "8uc3": 3, "8uc4": 4}
_GREY = {"mono8", "mono16", "8uc1", "16uc1"}
_SWAPPED = {"bgr8", "bgra8", "bgr16", "8uc3", "8uc4"}
_BAYER = {
    "rggb": cv2.COLOR_BayerRGGB2RGB,
    "bggr": cv2.COLOR_BayerBGGR2RGB,
    "gbrg": cv2.COLOR_BayerGBRG2RGB,
    "grbg": cv2.COLOR_BayerGRBG2RGB,
}
_YUV = {
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
}


def decode_compressed(data: bytes | memoryview | np.ndarray, orient: bool = False) -> np.ndarray:
    """Decode a JPEG, PNG, WebP, BMP or TIFF file.

    Args:
        data: The file's bytes.
        orient: Turn the image as its EXIF orientation says; for photographs, not for calibrated cameras.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        MessageError: The bytes are no image, or end before the image does.
    """
    raw = bytes(data)
    _check_complete(raw)
    flags = cv2.IMREAD_COLOR if orient else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(raw, np.uint8), flags) if raw else None
    except cv2.error as error:
        raise MessageError(f"expected an image, found one that OpenCV refuses: {error.err}") from error
    if image is None:
        raise MessageError(f"expected a JPEG or PNG image, found {len(raw)} bytes beginning with {raw[:4].hex()!r}")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, image)  # in place: half the memory to fetch from the system


def _check_complete(raw: bytes) -> None:
    """Refuse cut-off JPEG and PNG files, which decoders fill with grey without saying so."""
    if raw.endswith(b"\xff\xd9"):
        return
    if raw[:2] == b"\xff\xd8" and raw.rfind(b"\xff\xd9") < raw.rfind(b"\xff\xda"):
        raise MessageError(f"expected a complete JPEG, found {len(raw)} bytes without its end marker")
    if raw[:4] == b"\x89PNG" and raw.rfind(b"IEND") < 0:
        raise MessageError(f"expected a complete PNG, found {len(raw)} bytes without its end marker")


def decode_raw(
    data: bytes | memoryview | np.ndarray,
    width: int,
    height: int,
    encoding: str,
    step: int = 0,
    big_endian: bool = False,
) -> np.ndarray:
    """Decode an uncompressed image.

    Args:
        data: Pixel rows, each ``step`` bytes long.
        width: Pixels in a row.
        height: Rows.
        encoding: ``rgb8 bgr8 rgba8 bgra8 rgb16 bgr16 mono8 mono16 16UC1 8UC1 8UC3 8UC4 bayer_* yuv422 yuyv``.
        step: Bytes from row to row, 0 for rows without padding.
        big_endian: Byte order of 16-bit samples.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        MessageError: Unknown encoding, or too few bytes.
    """
    name = encoding.lower()
    layout = "mono8" if name in _YUV else name
    wide = layout.endswith("16") or layout.startswith("16uc")
    channels = 2 if name in _YUV else _CHANNELS.get(layout, 1)
    pattern = _BAYER.get(layout.removeprefix("bayer_")[:4]) if layout.startswith("bayer_") else None
    if name not in _YUV and layout not in _CHANNELS and layout not in _GREY and pattern is None:
        raise MessageError(f"expected an image encoding such as rgb8, bgr8, mono8 or bayer_rggb8, found {encoding!r}")
    rows = _rows(data, height, width * channels * (2 if wide else 1), step)
    if wide:
        rows = rows.view(">u2" if big_endian else "<u2") >> 8
    image = np.ascontiguousarray(rows, dtype=np.uint8).reshape(height, width, channels)
    if name in _YUV:
        if width % 2:
            raise MessageError(f"expected an even width for {encoding}, found {width}")
        return cv2.cvtColor(image, _YUV[name])
    if pattern is not None:
        return cv2.cvtColor(image[..., 0], pattern)
    if channels == 1:
        return np.repeat(image, 3, axis=2)
    order = [2, 1, 0] if layout in _SWAPPED else [0, 1, 2]
    return np.ascontiguousarray(image[..., order])


def _rows(data: bytes | memoryview | np.ndarray, height: int, row: int, step: int) -> np.ndarray:
    step = step or row
    have = len(data)
    if height <= 0 or row <= 0 or step < row:
        raise MessageError(f"expected rows of at least {row} bytes, found {height} rows of {step}")
    if have < step * (height - 1) + row:
        raise MessageError(f"expected {step * height} bytes of pixels ({height} rows of {step}), found {have}")
    buffer = np.frombuffer(data, np.uint8)
    rows = np.lib.stride_tricks.as_strided(buffer, (height, row), (step, 1), writeable=False)
    return np.ascontiguousarray(rows)


def picture_size(file: Path) -> tuple[int, int]:
    """(width, height) of a picture file; of a PNG from its first bytes, of others after decoding.

    Raises:
        MessageError: It is no picture.
    """
    with file.open("rb") as stream:
        head = stream.read(24)
        if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) == 24:
            width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
            if not width or not height:
                raise MessageError(f"expected a picture with pixels, found one of {width}x{height}")
            return width, height
        height, width = decode_compressed(head + stream.read()).shape[:2]
    return width, height
