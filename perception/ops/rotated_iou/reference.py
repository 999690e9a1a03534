"""Definition of the op in plain numpy: a rectangle is clipped at the four sides of the other, in the other's frame."""

from __future__ import annotations

import numpy as np


def intersections(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Shared area of every pair, rows (N, 6) of centre, half sizes, cosine and sine."""
    out = np.zeros((len(rows), len(others)))
    for i, row in enumerate(rows):
        for k, other in enumerate(others):
            if np.isfinite(row).all() and np.isfinite(other).all():
                out[i, k] = _area(_clipped(_corners(row, other), other[2], other[3]))
    return out


def _corners(row: np.ndarray, other: np.ndarray) -> list[tuple[float, float]]:
    """Corners of the first rectangle in the frame of the second, counter-clockwise."""
    corners = []
    for along, across in ((1, 1), (-1, 1), (-1, -1), (1, -1)):
        a, b = along * row[2], across * row[3]
        dx = row[0] - other[0] + (row[4] * a - row[5] * b)
        dy = row[1] - other[1] + (row[5] * a + row[4] * b)
        corners.append((other[4] * dx + other[5] * dy, other[4] * dy - other[5] * dx))
    return corners


def _clipped(polygon: list[tuple[float, float]], length: float, width: float) -> list[tuple[float, float]]:
    for axis, sign, limit in ((0, 1.0, length), (0, -1.0, length), (1, 1.0, width), (1, -1.0, width)):
        kept = []
        for i, point in enumerate(polygon):
            after = polygon[(i + 1) % len(polygon)]
            p, q = limit - sign * point[axis], limit - sign * after[axis]
            if p >= 0:
                kept.append(point)
            if (p >= 0) != (q >= 0):
                t = p / (p - q)
                kept.append((point[0] + t * (after[0] - point[0]), point[1] + t * (after[1] - point[1])))
        polygon = kept
    return polygon


def _area(polygon: list[tuple[float, float]]) -> float:
    total = 0.0
    for i, (x, y) in enumerate(polygon):
        after = polygon[(i + 1) % len(polygon)]
        total += x * after[1] - after[0] * y
    return max(total / 2, 0.0)
