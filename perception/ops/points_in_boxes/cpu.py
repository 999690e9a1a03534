"""The op as a numba kernel for the CPU."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def points_in_boxes(points: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    """Write the first box of every point; ``rows`` (M, 8): centre, half sizes, cosine and sine of yaw."""
    for i in range(len(points)):
        out[i] = -1
        for k in range(len(rows)):
            if not abs(points[i, 2] - rows[k, 2]) <= rows[k, 5]:
                continue
            dx, dy = points[i, 0] - rows[k, 0], points[i, 1] - rows[k, 1]
            along, across = rows[k, 6] * dx + rows[k, 7] * dy, rows[k, 6] * dy - rows[k, 7] * dx
            if abs(along) <= rows[k, 3] and abs(across) <= rows[k, 4]:
                out[i] = k
                break
