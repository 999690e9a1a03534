"""Both ops as numba kernels for the CPU."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _near(ax: float, ay: float, bx: float, by: float, radius: float) -> bool:
    dx, dy = ax - bx, ay - by
    return np.sqrt(dx * dx + dy * dy) <= radius


@njit(cache=True, nogil=True)
def group_points(points: np.ndarray, splits: np.ndarray, radius: float) -> np.ndarray:
    """Greedy groups: (N,) int64 labels of (N, 2) float64 points."""
    label = np.empty(len(points), np.int64)
    for b in range(len(splits) - 1):
        begin, groups = splits[b], 0
        for i in range(begin, splits[b + 1]):
            best = groups
            for j in range(begin, i):
                if label[j] < best and _near(points[i, 0], points[i, 1], points[j, 0], points[j, 1], radius):
                    best = label[j]
            label[i] = best
            groups = max(groups, best + 1)
    return label


@njit(cache=True, nogil=True)
def associate(
    roots: np.ndarray, root_splits: np.ndarray, seeds: np.ndarray, seed_splits: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Owners (K,) of (K, 2) float64 roots, centres (S, 2) of (S, 2) int64 seeds and their number (B,)."""
    owner = np.full(len(roots), -1, np.int64)
    centers = np.zeros(seeds.shape, np.int64)
    groups = np.zeros(len(seed_splits) - 1, np.int64)
    label = group_points(seeds.astype(np.float64), seed_splits, radius)
    members = np.zeros(len(seeds), np.int64)
    for b in range(len(groups)):
        first = seed_splits[b]
        for i in range(first, seed_splits[b + 1]):
            g = first + label[i]
            centers[g, 0] += seeds[i, 0]
            centers[g, 1] += seeds[i, 1]
            members[g] += 1
            groups[b] = max(groups[b], label[i] + 1)
        for g in range(first, first + groups[b]):
            centers[g, 0], centers[g, 1] = int(centers[g, 0] / members[g]), int(centers[g, 1] / members[g])
        for i in range(root_splits[b], root_splits[b + 1]):
            for g in range(groups[b]):
                x, y = float(centers[first + g, 0]), float(centers[first + g, 1])
                if _near(roots[i, 0], roots[i, 1], x, y, radius):
                    owner[i] = g
                    break
    return owner, centers, groups
