"""Where the sun reaches a picture: rays from every second pixel, and where those that are next to it disagree."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit


def lit_pixels(
    place: np.ndarray, distance: np.ndarray, asks: np.ndarray, width: int, sunlit: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Share of direct sun of the pixels of a picture.

    The rays start from the black fields of a chess board. A white field takes over what its black neighbours on the
    same surface agree on and is cast where they do not, so only spots of a single pixel are lost.

    Args:
        place: (P, 3) float32 what the pixels see, world metres, row by row.
        distance: (P,) float32 metres from the camera; a jump means another surface.
        asks: (P,) bool, which pixels need an answer.
        width: Pixels a row; 0 where the pixels are no grid: all that ask are cast.
        sunlit: Casts rays from (N, 3) places: (N,) float32, 1 where the way to the sun is free.

    Returns:
        (P,) float32; 1 where nobody asked.
    """
    out = np.ones(len(asks), np.float32)
    first = _black(asks, width) if width else np.flatnonzero(asks)
    out[first] = sunlit(place[first])
    if width:
        rest = _white(out, distance, asks, width)
        out[rest] = sunlit(place[rest])
    return out


@njit(cache=True)
def _black(asks, width):  # type: ignore[no-untyped-def]
    """Rows of the black fields that ask."""
    out = np.empty(asks.shape[0], np.int64)
    count = 0
    for row in range(asks.shape[0] // width):
        for i in range(row * width + row % 2, (row + 1) * width, 2):
            if asks[i]:
                out[count] = i
                count += 1
    return out[:count]


@njit(cache=True)
def _white(lit, distance, asks, width):  # type: ignore[no-untyped-def]
    """Fill the white fields of ``lit`` in place; returns the rows of those that have to be cast."""
    out = np.empty(asks.shape[0], np.int64)
    count = 0
    height = asks.shape[0] // width
    for row in range(height):
        for column in range((row + 1) % 2, width, 2):
            i = row * width + column
            if not asks[i]:
                continue
            total, votes = np.float32(0), 0
            for dy, dx in ((0, -1), (0, 1), (-1, 0), (1, 0)):
                y, x = row + dy, column + dx
                if y < 0 or x < 0 or y >= height or x >= width:
                    continue
                j = y * width + x
                if asks[j] and abs(distance[j] - distance[i]) < 0.04 * distance[i] + 0.02:
                    total += lit[j]
                    votes += 1
            if votes >= 2 and (total == 0 or total == votes):
                lit[i] = total / votes
            else:
                out[count] = i
                count += 1
    return out[:count]
