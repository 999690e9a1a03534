"""Compiled polyline kernels for the CPU; they release the GIL, so threads may score frames side by side."""

from __future__ import annotations

import numpy as np
from numba import njit

_SLACK = 1.0 + 1e-9
"""Sums that stop early must exceed the limit by more than what rounding could take back."""


@njit(cache=True, nogil=True)
def _usable(points: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Tell which polylines have vertices, all of them finite: (N,) bool."""
    usable = np.empty(len(offsets) - 1, np.bool_)
    for i in range(len(usable)):
        usable[i] = offsets[i + 1] > offsets[i]
        for k in range(offsets[i], offsets[i + 1]):
            for axis in range(3):
                usable[i] = usable[i] and np.isfinite(points[k, axis])
    return usable


@njit(cache=True, nogil=True)
def _columns(points: np.ndarray) -> np.ndarray:
    """Return coordinates as rows, (3, K), so that the inner loops run over neighbours in memory."""
    rows = np.empty((3, len(points)))
    for k in range(len(points)):
        rows[0, k], rows[1, k], rows[2, k] = points[k]
    return rows


@njit(cache=True, nogil=True)
def chamfer_matrix(
    a: np.ndarray, a_offsets: np.ndarray, b: np.ndarray, b_offsets: np.ndarray, where: np.ndarray, limit: np.ndarray
) -> np.ndarray:
    """Chamfer distances of the wanted pairs, (A, B); a pair is given up as soon as it must exceed its row's limit."""
    matrix = np.full(where.shape, np.inf)
    a_usable, b_usable = _usable(a, a_offsets), _usable(b, b_offsets)
    columns = _columns(a)
    nearest = np.empty(len(a))
    for i in range(where.shape[0]):
        start, end = a_offsets[i], a_offsets[i + 1]
        for j in range(where.shape[1]):
            if not where[i, j]:
                continue
            if a_usable[i] and b_usable[j]:
                line = columns[:, start:end]
                matrix[i, j] = _chamfer(line, b[b_offsets[j] : b_offsets[j + 1]], limit[i], nearest)
            else:
                matrix[i, j] = np.nan
    return matrix


@njit(cache=True, nogil=True)
def _chamfer(a: np.ndarray, b: np.ndarray, limit: float, nearest: np.ndarray) -> float:
    """Chamfer distance of a (3, N) and b (M, 3), infinite beyond the limit; ``nearest`` is scratch of N or more."""
    n, m = a.shape[1], len(b)
    for k in range(n):
        nearest[k] = np.inf
    given_up = 2.0 * limit * _SLACK
    total = 0.0
    for q in range(m):
        x, y, z = b[q, 0], b[q, 1], b[q, 2]
        best = np.inf
        for k in range(n):
            dx, dy, dz = a[0, k] - x, a[1, k] - y, a[2, k] - z
            square = dx * dx + dy * dy + dz * dz
            nearest[k] = min(nearest[k], square)
            best = min(best, square)
        total += np.sqrt(best)
        if total / m > given_up:
            return np.inf
    back = 0.0
    for k in range(n):
        back += np.sqrt(nearest[k])
    distance = (total / m + back / n) / 2.0
    return distance if distance <= limit else np.inf


@njit(cache=True, nogil=True)
def frechet_matrix(
    a: np.ndarray, a_offsets: np.ndarray, b: np.ndarray, b_offsets: np.ndarray, where: np.ndarray
) -> np.ndarray:
    """Discrete Frechet distances of the wanted pairs, (A, B)."""
    matrix = np.full(where.shape, np.inf)
    a_usable, b_usable = _usable(a, a_offsets), _usable(b, b_offsets)
    leash = np.empty(len(b))
    for i in range(where.shape[0]):
        for j in range(where.shape[1]):
            if not where[i, j]:
                continue
            if a_usable[i] and b_usable[j]:
                first, second = a[a_offsets[i] : a_offsets[i + 1]], b[b_offsets[j] : b_offsets[j + 1]]
                matrix[i, j] = _frechet(first, second, leash)
            else:
                matrix[i, j] = np.nan
    return matrix


@njit(cache=True, nogil=True)
def _frechet(a: np.ndarray, b: np.ndarray, leash: np.ndarray) -> float:
    """Discrete Frechet distance of (N, 3) and (M, 3); ``leash`` is scratch of M or more and holds the last row."""
    for i in range(len(a)):
        diagonal = 0.0
        for j in range(len(b)):
            dx, dy, dz = a[i, 0] - b[j, 0], a[i, 1] - b[j, 1], a[i, 2] - b[j, 2]
            square = dx * dx + dy * dy + dz * dz
            if i == 0:
                reached = leash[j - 1] if j else 0.0
            elif j == 0:
                reached = leash[0]
            else:
                reached = min(diagonal, leash[j], leash[j - 1])
            diagonal = leash[j]
            leash[j] = max(square, reached)
    return np.sqrt(leash[len(b) - 1])


@njit(cache=True, nogil=True)
def resample(points: np.ndarray, offsets: np.ndarray, count: int) -> np.ndarray:
    """Resample all polylines by arc length, (N, count, 3)."""
    usable = _usable(points, offsets)
    result = np.full((len(usable), count, 3), np.nan)
    for i in range(len(usable)):
        if not usable[i]:
            continue
        line = points[offsets[i] : offsets[i + 1]]
        arc = np.zeros(len(line))
        for k in range(1, len(line)):
            dx, dy, dz = line[k, 0] - line[k - 1, 0], line[k, 1] - line[k - 1, 1], line[k, 2] - line[k - 1, 2]
            arc[k] = arc[k - 1] + np.sqrt(dx * dx + dy * dy + dz * dz)
        segment = 0
        for k in range(count):
            target = arc[-1] * k / (count - 1)
            while segment < len(line) - 2 and arc[segment + 1] < target:
                segment += 1
            _between(line, arc, segment, target, result[i, k])
        result[i, 0], result[i, count - 1] = line[0], line[-1]
    return result


@njit(cache=True, nogil=True)
def _between(line: np.ndarray, arc: np.ndarray, segment: int, target: float, out: np.ndarray) -> None:
    """Write the point at arc length ``target``, which lies on the given segment, to ``out`` (3,)."""
    if len(line) == 1 or arc[segment + 1] == arc[segment]:
        out[:] = line[segment]
        return
    share = min((target - arc[segment]) / (arc[segment + 1] - arc[segment]), 1.0)
    out[:] = line[segment] + share * (line[segment + 1] - line[segment])
