"""Polylines of different lengths in one array, the form all kernels take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Polylines:
    """N polylines, one after the other.

    Attributes:
        points: (K, 3) float64 contiguous vertices of all polylines, metres.
        offsets: (N + 1,) int64; polyline i holds the vertices ``offsets[i]`` to ``offsets[i + 1]``.
    """

    points: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        return self.points[self.offsets[index] : self.offsets[index + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))


def pack(lines: Sequence[np.ndarray]) -> Polylines:
    """Pack (P, 2) or (P, 3) arrays of any real dtype; two-dimensional ones get z = 0, which changes no distance.

    Raises:
        ValueError: A polyline has another shape.
    """
    arrays = [np.asarray(line) for line in lines]
    for index, array in enumerate(arrays):
        if array.ndim != 2 or array.shape[1] not in (2, 3):
            raise ValueError(f"polyline {index}: expected shape (P, 2) or (P, 3), found {array.shape}")
    arrays = [array if array.shape[1] == 3 else np.pad(array, ((0, 0), (0, 1))) for array in arrays]
    return join(np.concatenate(arrays) if arrays else np.zeros((0, 3)), [len(array) for array in arrays])


def join(points: np.ndarray, lengths: Sequence[int] | np.ndarray) -> Polylines:
    """Return vertices that already stand one after the other, (K, 3), as polylines of the given lengths.

    Raises:
        ValueError: The lengths do not add up to K.
    """
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    if points.shape != (offsets[-1], 3):
        raise ValueError(f"points: expected shape ({offsets[-1]}, 3), found {points.shape}")
    return Polylines(np.ascontiguousarray(points, np.float64), offsets)


def open_closed(lines: Polylines) -> Polylines:
    """Drop the last vertex of every polyline of two or more whose first and last vertex are exactly equal."""
    lengths = np.diff(lines.offsets)
    several = np.flatnonzero(lengths > 1)
    last = lines.offsets[several + 1] - 1
    closed = (lines.points[lines.offsets[several]] == lines.points[last]).all(1)
    if not closed.any():
        return lines
    lengths[several[closed]] -= 1
    return join(np.delete(lines.points, last[closed], axis=0), lengths)
