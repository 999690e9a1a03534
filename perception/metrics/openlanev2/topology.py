"""How well the graph was found: mean average precision over vertices (spec openlanev2_metrics sections 3.4 to 3.6)."""

from __future__ import annotations

import numpy as np
from numba import njit

UNKNOWN = 0.5 + float(np.finfo(np.float32).eps)
"""What an edge between unmatched vertices counts as since release 1.1: false, accepted, ranked last."""
UNKNOWN_V1_0 = 1.0
"""The same in release 1.0 and 2.0: false, ranked first."""


def inverse(matched: np.ndarray, count: int) -> np.ndarray:
    """Turn matches of P predictions (truth index or -1) into the prediction of each of ``count`` truths, or -1."""
    predictions = np.full(count, -1, np.int64)
    hits = np.flatnonzero(matched >= 0)
    predictions[matched[hits]] = hits
    return predictions


def sweep_cuts(scores: np.ndarray) -> np.ndarray:
    """Return the ten confidences down to which release 1.0 looks at the predictions of a frame, one after the other.

    The spec calls them 10 % to 100 % recall. What agrees with all golden numbers is the share of *predictions*: cut k
    lies at place ``round(k * P / 10 - 1)``, halves to even, of the P confidences by falling value, at least place 0.

    Args:
        scores: (P,) confidences.

    Returns:
        (10,) float64; infinite when there is no prediction.
    """
    if not len(scores):
        return np.full(10, np.inf)
    places = np.rint(np.arange(1, 11) * len(scores) / 10 - 1).astype(np.int64)
    return np.sort(scores)[::-1][np.maximum(places, 0)]


def vertex_precision(
    truth: np.ndarray, pred: np.ndarray, rows: np.ndarray, columns: np.ndarray, unknown: float = UNKNOWN
) -> tuple[float, int]:
    """Return the sum of the average precision of all vertices of a frame, and their number.

    Args:
        truth: (G, H) float64 true edges, 0 or 1.
        pred: (P, Q) float64 edge confidences; NaN counts as unknown.
        rows: (G,) int64 predicted row matched to each true row, -1 for none.
        columns: (H,) int64 the same for columns.
        unknown: What a false edge of unmatched vertices counts as.

    Returns:
        The sum over all G rows (outgoing edges) and H columns (incoming edges), and G + H; (0, 0) when the truth has
        no row or no column.
    """
    if not truth.size:
        return 0.0, 0
    return _vertex_precision(truth, pred, rows, columns, unknown), sum(truth.shape)


@njit(cache=True, nogil=True)
def _vertex_precision(
    truth: np.ndarray, pred: np.ndarray, rows: np.ndarray, columns: np.ndarray, unknown: float
) -> float:
    count, other = truth.shape
    edges = np.empty((count, other))
    for i in range(count):
        for j in range(other):
            edges[i, j] = (1.0 - truth[i, j]) * unknown
            if rows[i] >= 0 and columns[j] >= 0 and not np.isnan(pred[rows[i], columns[j]]):
                edges[i, j] = pred[rows[i], columns[j]]
    total = 0.0
    for i in range(count):
        total += _precision(truth[i], edges[i])
    for j in range(other):
        total += _precision(truth[:, j].copy(), edges[:, j].copy())
    return total


@njit(cache=True, nogil=True)
def _precision(truth: np.ndarray, edges: np.ndarray) -> float:
    """Average precision of one vertex: neighbours with more than 0.5, by falling value, equal ones in order."""
    true, predicted = 0, 0
    for j in range(len(truth)):
        true += truth[j] > 0.5
        predicted += edges[j] > 0.5
    if true == 0 or predicted == 0:
        return 1.0 if true == predicted else 0.0
    total = 0.0
    for j in range(len(truth)):
        if truth[j] <= 0.5 or edges[j] <= 0.5:
            continue
        rank, hits = 0, 0
        for k in range(len(truth)):
            if edges[k] > edges[j] or (edges[k] == edges[j] and k <= j):
                rank += 1
                hits += truth[k] > 0.5
        total += hits / rank
    return total / true
