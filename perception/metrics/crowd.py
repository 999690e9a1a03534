"""Counting metrics: MAE, RMSE ("MSE" in this field), NAE, GAME, and precision and recall of head positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree

from perception.errors import PerceptionError

__all__ = ["CountScores", "Matches", "cell_counts", "count_scores", "density_cells", "game", "match_points"]


class CountScores(NamedTuple):
    """Errors of counts over images.

    Attributes:
        mae: Mean absolute error.
        rmse: Root of the mean squared error, printed as "MSE" in papers.
        nae: Mean of the absolute error over the true count, over images with people; nan without any.
        bias: Mean of predicted minus true.
        mean_count: Mean true count.
    """

    mae: float
    rmse: float
    nae: float
    bias: float
    mean_count: float


def count_scores(predicted: Sequence[float] | np.ndarray, truth: Sequence[float] | np.ndarray) -> CountScores:
    """Scores of counts, (N,) each.

    Raises:
        PerceptionError: Different lengths, no images, or counts that are not finite.
    """
    a, b = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise PerceptionError(f"count_scores: expected two lists of counts, found {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise PerceptionError("count_scores: expected finite counts, found others")
    error = a - b
    some = b > 0
    nae = float(np.mean(np.abs(error[some]) / b[some])) if some.any() else float("nan")
    mae, rmse = float(np.mean(np.abs(error))), float(np.sqrt(np.mean(error**2)))
    return CountScores(mae, rmse, nae, float(error.mean()), float(b.mean()))


def cell_counts(points: np.ndarray, size: tuple[int, int], level: int) -> np.ndarray:
    """(2^level, 2^level) points of an image of ``size`` (width, height) in each of its 4^level equal parts.

    Points (N, 2) count where pixel k covers [k, k + 1); those outside belong to the nearest part.
    """
    parts = 2**level
    cells = np.zeros((parts, parts))
    points = np.asarray(points, np.float64).reshape(-1, 2)
    index = np.clip(np.floor(points / np.asarray(size) * parts).astype(np.int64), 0, parts - 1)
    np.add.at(cells, (index[:, 1], index[:, 0]), 1.0)
    return cells


def density_cells(density: np.ndarray, level: int) -> np.ndarray:
    """(2^level, 2^level) people of a density map (h, w); cells on a border between parts are shared by area."""
    parts = 2**level
    down, across = (_shares(side, parts) for side in density.shape)
    return down @ np.asarray(density, np.float64) @ across.T


def _shares(length: int, parts: int) -> np.ndarray:
    """(parts, length) share of each cell that lies in each part."""
    edge = np.arange(parts + 1) * (length / parts)
    cell = np.arange(length)
    overlap = np.minimum(edge[1:, None], cell + 1) - np.maximum(edge[:-1, None], cell)
    return np.clip(overlap, 0, None)


def game(density: np.ndarray, points: np.ndarray, size: tuple[int, int], level: int) -> float:
    """Grid average mean error of one image: sum of absolute count errors over 4^level parts.

    Args:
        density: (h, w) predicted people a cell, covering the image.
        points: (N, 2) true positions, pixels.
        size: (width, height) of the image.
        level: 0 is the absolute count error.
    """
    return float(np.abs(density_cells(density, level) - cell_counts(points, size, level)).sum())


class Matches(NamedTuple):
    """Head positions of one image: true positives, false positives, false negatives."""

    hits: int
    wrong: int
    missed: int


def match_points(predicted: np.ndarray, truth: np.ndarray, radius: float | np.ndarray) -> Matches:
    """Match positions one to one, as many as possible, at most ``radius`` pixels apart.

    Args:
        predicted: (K, 2).
        truth: (N, 2).
        radius: One for all, or (N,) for each true head.
    """
    predicted, truth = (np.asarray(p, np.float64).reshape(-1, 2) for p in (predicted, truth))
    if not len(predicted) or not len(truth):
        return Matches(0, len(predicted), len(truth))
    limit = np.broadcast_to(np.asarray(radius, np.float64), (len(truth),))
    near = KDTree(predicted).query_ball_point(truth, limit)
    hits = 0
    for rows, columns in _components([list(found) for found in near], len(predicted)):
        distance = np.linalg.norm(truth[rows][:, None] - predicted[columns][None], axis=2)
        reach = distance <= limit[rows][:, None]
        cost = np.where(reach, distance / (1e3 * limit.max() + 1.0) - 1.0, 0.0)
        first, second = linear_sum_assignment(cost)
        hits += int(reach[first, second].sum())
    return Matches(hits, len(predicted) - hits, len(truth) - hits)


def _components(near: list[list[int]], count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Groups of truth rows and predicted columns that can match each other."""
    owner = list(range(len(near) + count))

    def find(node: int) -> int:
        while owner[node] != node:
            owner[node] = owner[owner[node]]
            node = owner[node]
        return node

    for row, columns in enumerate(near):
        for column in columns:
            owner[find(len(near) + column)] = find(row)
    groups: dict[int, tuple[list[int], list[int]]] = {}
    for row, columns in enumerate(near):
        if columns:
            groups.setdefault(find(row), ([], []))[0].append(row)
    for column in range(count):
        root = find(len(near) + column)
        if root in groups:
            groups[root][1].append(column)
    return [(np.array(rows), np.array(columns)) for rows, columns in groups.values()]
