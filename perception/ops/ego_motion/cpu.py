"""The op as a numba kernel for the CPU."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def compensate(points: np.ndarray, rows: np.ndarray, which: np.ndarray, out: np.ndarray) -> None:
    """Write moved points (N, 3) float32; ``rows`` (K, 3, 4) float64."""
    for i in range(len(points)):
        x, y, z = np.float64(points[i, 0]), np.float64(points[i, 1]), np.float64(points[i, 2])
        r = rows[which[i]]
        for c in range(3):
            out[i, c] = np.float32(r[c, 0] * x + r[c, 1] * y + r[c, 2] * z + r[c, 3])
