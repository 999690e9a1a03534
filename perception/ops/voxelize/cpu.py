"""The op as a numba kernel for the CPU."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def voxel_index(points: np.ndarray, numbers: np.ndarray, shape: np.ndarray, out: np.ndarray) -> None:
    """Write the voxel of every point to ``out``; ``numbers`` are the lower corner and the edges, float32."""
    limits = shape.astype(np.float32)
    for i in range(len(points)):
        x = (points[i, 0] - numbers[0]) / numbers[3]
        y = (points[i, 1] - numbers[1]) / numbers[4]
        z = (points[i, 2] - numbers[2]) / numbers[5]
        if 0 <= x < limits[0] and 0 <= y < limits[1] and 0 <= z < limits[2]:
            out[i] = (np.int64(x) * shape[1] + np.int64(y)) * shape[2] + np.int64(z)
        else:
            out[i] = -1
