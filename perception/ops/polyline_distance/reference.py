"""Plain numpy definitions of the polyline kernels (spec openlanev2_metrics section 2.1), a pair at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from perception.ops.polyline_distance.polylines import Polylines


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances of (N, 3) and (M, 3) vertices, (N, M); sums in a fixed order, so that all forms round alike."""
    step = a[:, None] - b[None]
    return step[..., 0] * step[..., 0] + step[..., 1] * step[..., 1] + step[..., 2] * step[..., 2]


def _total(values: np.ndarray) -> float:
    """The sum from first to last."""
    return float(np.cumsum(values)[-1])


def chamfer(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance to the other curve's nearest vertex, averaged over both directions; vertices (N, 3), (M, 3)."""
    squares = _squares(a, b)
    return (_total(np.sqrt(squares.min(0))) / len(b) + _total(np.sqrt(squares.min(1))) / len(a)) / 2.0


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Discrete Frechet distance: the shortest leash that lets both walk their vertices forward; (N, 3), (M, 3)."""
    distance = np.sqrt(_squares(a, b))
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
    resampled = [_resampled(line, count) if ok else nothing for line, ok in zip(lines, usable)]
    return np.stack(resampled) if resampled else np.zeros((0, count, 3))


def _resampled(line: np.ndarray, count: int) -> np.ndarray:
    """(count, 3) points of a line (N, 3), equally spaced along it; its ends are taken as they are."""
    if len(line) == 1:
        return np.repeat(line, count, axis=0)
    step = np.diff(line, axis=0)
    lengths = np.sqrt(step[:, 0] * step[:, 0] + step[:, 1] * step[:, 1] + step[:, 2] * step[:, 2])
    arc = np.concatenate([[0.0], np.cumsum(lengths)])
    target = arc[-1] * np.arange(count) / (count - 1)
    segment = np.minimum(np.searchsorted(arc[1:], target), len(line) - 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.minimum((target - arc[segment]) / (arc[segment + 1] - arc[segment]), 1.0)
    share = np.where(arc[segment + 1] == arc[segment], 0.0, share)
    points = line[segment] + share[:, None] * step[segment]
    points[0], points[-1] = line[0], line[-1]
    return points
