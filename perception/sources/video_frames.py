"""Frames of a video by number, for data sets that keep the pictures of a camera in one file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from perception.sources.base import DriveOptions
from perception.sources.video import VideoSource
from perception.sources.wire import MessageError
from perception.structures import Frame

__all__ = ["VideoFrames"]


class VideoFrames:
    """Reads forward; asking for an earlier frame, or one far ahead, seeks (in files that have times).

    Raises:
        InputError: FFmpeg cannot read the file.
    """

    def __init__(self, path: Path) -> None:
        self._source = VideoSource(path, DriveOptions())
        self.times_ns = np.asarray(self._source.times_ns, dtype=np.int64)
        self._frames: Iterator[Frame] | None = None
        self._next = 0

    def __len__(self) -> int:
        return len(self.times_ns)

    def read(self, number: int) -> np.ndarray:
        """Frame ``number`` as (H, W, 3) uint8 RGB; raises ``MessageError`` when it does not decode."""
        if self._frames is None or not self._next <= number < self._next + 100:
            self._source.seek(int(self.times_ns[number]))
            self._frames, self._next = iter(self._source), number
        for frame in self._frames:
            self._next = frame.index + 1
            if frame.index == number:
                if frame.images:
                    return next(iter(frame.images.values()))
                break
            if frame.index > number:
                break
        raise MessageError(f"frame {number} of the video does not decode")

    def close(self) -> None:
        """Forget the place in the file."""
        self._frames = None
