"""Plain numpy definitions of the polyline kernels (spec openlanev2_metrics section 2.1), a pair at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from perception.geometry import polyline
from perception.ops.polyline_distance.polylines import Polylines


def chamfer(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance to the other curve's nearest vertex, averaged over both directions; vertices (N, 3), (M, 3)."""
    distance = np.linalg.norm(a[:, None] - b[None], axis=2)
    return float(distance.min(0).mean() + distance.min(1).mean()) / 2


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Discrete Frechet distance: the shortest leash that lets both walk their vertices forward; (N, 3), (M, 3)."""
    distance = np.linalg.norm(a[:, None] - b[None], axis=2)
    leash = np.full(distance.shape, np.inf)
    for i, j in np.ndindex(distance.shape):
        reached = [leash[max(i - 1, 0), max(j - 1, 0)], leash[max(i - 1, 0), j], leash[i, max(j - 1, 0)]]
        leash[i, j] = max(distance[i, j], min(reached) if i or j else 0.0)
    return float(leash[-1, -1])


def chamfer_matrix(a: Polylines, b: Polylines, where: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """See :func:`perception.ops.polyline_distance.chamfer_matrix`."""
    matrix = _matrix(chamfer, a, b, where)
    matrix[matrix > limit[:, None]] = np.inf
    return matrix


def frechet_matrix(a: Polylines, b: Polylines, where: np.ndarray) -> np.ndarray:
    """See :func:`perception.ops.polyline_distance.frechet_matrix`."""
    return _matrix(frechet, a, b, where)


def _matrix(
    distance: Callable[[np.ndarray, np.ndarray], float], a: Polylines, b: Polylines, where: np.ndarray
) -> np.ndarray:
    matrix = np.full((len(a), len(b)), np.inf)
    for i, j in np.argwhere(where):
        usable = all(len(line) and np.isfinite(line).all() for line in (a[i], b[j]))
        matrix[i, j] = distance(a[i], b[j]) if usable else np.nan
    return matrix


def resample(lines: Polylines, count: int) -> np.ndarray:
    """See :func:`perception.ops.polyline_distance.resample`."""
    usable = [bool(len(line)) and bool(np.isfinite(line).all()) for line in lines]
    nothing = np.full((count, 3), np.nan)
    resampled = [polyline.resample(line, count) if ok else nothing for line, ok in zip(lines, usable)]
    return np.stack(resampled) if resampled else np.zeros((0, count, 3))
