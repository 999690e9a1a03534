"""F-score of 3-D lanes, the side figure of the centerline track (spec openlanev2_metrics section 3.8)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.optimize import linear_sum_assignment

from perception.ops.polyline_distance import Polylines

FIRST, SAMPLES = -50, 100
"""Lanes are sampled at x = -50, -49, ..., 49 metres."""
FAR = 1.5
"""Distance in y and z from which a sample is wrong, and the cost of one that only one of both lanes has."""
MIN_SHARE = 0.75
MAX_COST = 150
NEVER = 1000
"""Cost of a pair with undefined samples; it is never matched."""


class FrameCounts(NamedTuple):
    """Counts of one frame: hits that count for recall and precision, lanes that can be sampled, assigned pairs."""

    recall_hits: int
    precision_hits: int
    truths: int
    predictions: int
    pairs: int


class Samples(NamedTuple):
    """N lanes at the places x: ``yz`` (N, 100, 2) float64, and ``spans`` (N, 2) int64, first and one past last visible
    sample.
    """

    yz: np.ndarray
    spans: np.ndarray


def sample(lanes: Polylines) -> Samples:
    """Sample the lanes that reach into the range and have two visible samples; the others are left out."""
    yz, spans = _sample(lanes.points, lanes.offsets)
    kept = spans[:, 1] - spans[:, 0] >= 2
    return Samples(yz[kept], spans[kept])


@njit(cache=True, nogil=True)
def _sample(points: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count = len(offsets) - 1
    yz, spans = np.zeros((count, SAMPLES, 2)), np.zeros((count, 2), np.int64)
    for i in range(count):
        lane = points[offsets[i] : offsets[i + 1]]
        if len(lane) < 2 or lane[0, 0] >= FIRST + SAMPLES - 1 or lane[-1, 0] <= FIRST:
            continue
        lane = lane[np.argsort(lane[:, 0], kind="mergesort")]
        spans[i, 0] = max(int(np.ceil(lane[0, 0])) - FIRST, 0)
        spans[i, 1] = min(int(np.floor(lane[-1, 0])) - FIRST + 1, SAMPLES)
        right = 1
        for k in range(spans[i, 0], spans[i, 1]):
            x = float(k + FIRST)
            while right < len(lane) - 1 and lane[right, 0] < x:
                right += 1
            width = lane[right, 0] - lane[right - 1, 0]
            share = (x - lane[right - 1, 0]) / width if width > 0 else np.nan
            for axis in range(2):
                low, high = lane[right - 1, axis + 1], lane[right, axis + 1]
                yz[i, k, axis] = low + share * (high - low)
    return yz, spans


@njit(cache=True, nogil=True)
def _costs(a: np.ndarray, a_spans: np.ndarray, b: np.ndarray, b_spans: np.ndarray) -> np.ndarray:
    """Integer cost of every pair, (A, B) int64."""
    costs = np.empty((len(a), len(b)), np.int64)
    for i in range(len(a)):
        for j in range(len(b)):
            start, end = max(a_spans[i, 0], b_spans[j, 0]), min(a_spans[i, 1], b_spans[j, 1])
            shared = max(end - start, 0)
            single = a_spans[i, 1] - a_spans[i, 0] + b_spans[j, 1] - b_spans[j, 0] - 2 * shared
            cost = FAR * single
            for k in range(start, end):
                dy, dz = a[i, k, 0] - b[j, k, 0], a[i, k, 1] - b[j, k, 1]
                cost += np.sqrt(dy * dy + dz * dz)
            if np.isnan(cost):
                costs[i, j] = NEVER
            else:
                costs[i, j] = 1 if 0.0 < cost < 1.0 else int(cost)
    return costs


def frame_counts(truth: Polylines, pred: Polylines) -> FrameCounts:
    """Count what the F-score needs of one frame; confidences do not matter.

    Args:
        truth: True centerlines, ego metres.
        pred: Predicted centerlines.

    Returns:
        The counts. The cheapest assignment is not unique, so another solver may count a little differently.
    """
    a, b = sample(truth), sample(pred)
    costs = _costs(*a, *b)
    rows, columns = linear_sum_assignment(costs)
    recall_hits, precision_hits, pairs = _count(*a, *b, costs, rows, columns)
    return FrameCounts(recall_hits, precision_hits, len(a.yz), len(b.yz), pairs)


@njit(cache=True, nogil=True)
def _count(
    a: np.ndarray,
    a_spans: np.ndarray,
    b: np.ndarray,
    b_spans: np.ndarray,
    costs: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
) -> tuple[int, int, int]:
    """Count recall hits, precision hits and pairs of an assignment."""
    recall_hits = precision_hits = pairs = 0
    for i, j in zip(rows, columns):
        if costs[i, j] >= MAX_COST:
            continue
        pairs += 1
        hits = 0
        for k in range(max(a_spans[i, 0], b_spans[j, 0]), min(a_spans[i, 1], b_spans[j, 1])):
            dy, dz = a[i, k, 0] - b[j, k, 0], a[i, k, 1] - b[j, k, 1]
            hits += np.sqrt(dy * dy + dz * dz) < FAR
        recall_hits += hits >= MIN_SHARE * (a_spans[i, 1] - a_spans[i, 0])
        precision_hits += hits >= MIN_SHARE * (b_spans[j, 1] - b_spans[j, 0])
    return recall_hits, precision_hits, pairs


def f_score(counts: FrameCounts) -> float:
    """Return the F-score of summed counts; 0 where a denominator is empty."""
    recall = counts.recall_hits / counts.truths if counts.truths else 0.0
    precision = counts.precision_hits / counts.predictions if counts.predictions else 0.0
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0
