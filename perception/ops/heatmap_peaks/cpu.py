"""The op as a numba kernel for the CPU."""

from __future__ import annotations

import numpy as np
from numba import njit


def heatmap_peaks(heat: np.ndarray, threshold: float) -> np.ndarray:
    """Peaks along rows of (B, h, w) float32 or float64, as (N, 3) int64 (image, row, column)."""
    images, height, width = heat.shape
    room = np.empty((images * height * width, 3), np.int64)  # pages that are not written cost nothing
    return room[: _find(np.ascontiguousarray(heat), heat.dtype.type(threshold), room)].copy()


@njit(cache=True, nogil=True)
def _find(heat: np.ndarray, threshold: float, out: np.ndarray) -> int:
    """Write the peaks to ``out`` and return their number; a comparison with NaN is false."""
    images, height, width = heat.shape
    count = 0
    for b in range(images):
        for y in range(height):
            row = heat[b, y]
            for x in range(width):
                value = row[x]
                if not (value > threshold and value < np.inf):
                    continue
                if x > 0 and row[x - 1] > value and row[x - 1] < np.inf:
                    continue
                if x + 1 < width and row[x + 1] > value and row[x + 1] < np.inf:
                    continue
                out[count, 0], out[count, 1], out[count, 2] = b, y, x
                count += 1
    return count
