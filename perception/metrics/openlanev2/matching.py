"""Matching of one frame and average precision over many (spec openlanev2_metrics sections 2.5 and 2.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numba import njit

EPS = np.finfo(np.float32).eps
RECALLS = (np.arange(11) / 10).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Matches:
    """What became of the predictions of one frame.

    Attributes:
        scores: (P,) float64 confidences.
        labels: (P,) int64 classes.
        matched: (T, P) int32 index of the matched truth at each threshold, -1 for a false positive.
        truth_labels: (G,) int64 classes of the truth.
    """

    scores: np.ndarray
    labels: np.ndarray
    matched: np.ndarray
    truth_labels: np.ndarray


def match(
    distance: np.ndarray,
    scores: np.ndarray,
    thresholds: Sequence[float],
    truth_labels: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> Matches:
    """Match the predictions of a frame: by falling confidence, each to the nearest truth of its class or to none.

    Args:
        distance: (G, P) distances; NaN never matches.
        scores: (P,) confidences; equal ones are visited in list order.
        thresholds: T distances that a match must lie below.
        truth_labels: (G,) int64 classes; None for one class.
        labels: (P,) int64 classes.

    Returns:
        The matches; there is no second choice when the nearest truth is taken.
    """
    count, found = distance.shape
    truth_labels = np.zeros(count, np.int64) if truth_labels is None else truth_labels
    labels = np.zeros(found, np.int64) if labels is None else labels
    order = np.argsort(-scores, kind="stable")
    limits = np.asarray(thresholds, np.float64)
    matched = _match(np.ascontiguousarray(distance, np.float64), truth_labels, labels, order, limits)
    return Matches(scores, labels, matched, truth_labels)


@njit(cache=True, nogil=True)
def _match(
    distance: np.ndarray, truth_labels: np.ndarray, labels: np.ndarray, order: np.ndarray, limits: np.ndarray
) -> np.ndarray:
    count, found = distance.shape
    matched = np.full((len(limits), found), -1, np.int32)
    taken = np.zeros((len(limits), count), np.bool_)
    for p in order:
        best, nearest = np.inf, -1
        for g in range(count):
            if truth_labels[g] == labels[p] and distance[g, p] < best:
                best, nearest = distance[g, p], g
        for t in range(len(limits)):
            if nearest >= 0 and best < limits[t] and not taken[t, nearest]:
                taken[t, nearest] = True
                matched[t, p] = nearest
    return matched


def precision_recall(hits: np.ndarray, scores: np.ndarray, truths: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return recall, precision and confidence as the predictions of a class are taken in one after the other.

    Args:
        hits: (P,) bool, true positives, in frame and list order.
        scores: (P,) confidences; the sort is stable.
        truths: Number of true objects.

    Returns:
        Three (P,) arrays by falling confidence; recall and precision are float32, as in the official evaluator.
    """
    order = np.argsort(-scores, kind="stable")
    true = np.cumsum(hits[order]).astype(np.float32)
    precision = true / np.arange(1, len(true) + 1, dtype=np.float32)
    return true / np.float32(max(truths, 1)), precision, scores[order]


def average_precision(hits: np.ndarray, scores: np.ndarray, truths: int) -> float:
    """Return the 11-point average precision of a class over a whole set.

    Args:
        hits: (P,) bool, true positives, in frame and list order.
        scores: (P,) confidences; the sort is stable.
        truths: Number of true objects.

    Returns:
        The average precision; 1 for a class that is neither true nor predicted. Recall and precision are float32, as
        in the official evaluator, so that a recall of exactly 0.7 reaches its point.
    """
    if not truths or not len(hits):
        return float(not truths and not len(hits))
    recall, precision, _ = precision_recall(hits, scores, truths)
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], np.float32(0))
    return float(best[np.searchsorted(recall, RECALLS)].mean(dtype=np.float32))


class ClassCurve(NamedTuple):
    """One class at one threshold over a whole set.

    Attributes:
        label: The class.
        threshold: Distance below which a prediction counts.
        truths: Number of true objects.
        predictions: Number of predicted ones.
        ap: Average precision.
        recall: (P,) float32.
        precision: (P,) float32.
        scores: (P,) float64, falling.
    """

    label: int
    threshold: float
    truths: int
    predictions: int
    ap: float
    recall: np.ndarray
    precision: np.ndarray
    scores: np.ndarray


@dataclass
class Detections:
    """Matches of many frames, as far as average precision needs them: 8 + T bytes and a label a prediction.

    Attributes:
        thresholds: T distances.
        labels: The classes to report.
    """

    thresholds: tuple[float, ...]
    labels: tuple[int, ...] = (0,)
    _scores: list[np.ndarray] = field(default_factory=list)
    _labels: list[np.ndarray] = field(default_factory=list)
    _hits: list[np.ndarray] = field(default_factory=list)
    _truths: dict[int, int] = field(default_factory=dict)

    def add(self, matches: Matches) -> None:
        """Take the matches of the next frame; the order of frames decides among equal confidences."""
        self._scores.append(matches.scores)
        self._labels.append(matches.labels.astype(np.int16))
        self._hits.append(matches.matched >= 0)
        for label in matches.truth_labels.tolist():
            self._truths[label] = self._truths.get(label, 0) + 1

    def present(self) -> tuple[int, ...]:
        """Return the classes with at least one true object."""
        return tuple(label for label in self.labels if self._truths.get(label))

    def average_precisions(self) -> dict[int, tuple[float, ...]]:
        """Return class -> average precision at each threshold."""
        return {label: tuple(average_precision(*row) for row in rows) for label, rows in self._rows().items()}

    def curves(self) -> list[ClassCurve]:
        """Return precision over recall of every class at every threshold."""
        found = []
        for label, rows in self._rows().items():
            for threshold, (hits, scores, truths) in zip(self.thresholds, rows):
                curve = precision_recall(hits, scores, truths)
                ap = average_precision(hits, scores, truths)
                found.append(ClassCurve(label, threshold, truths, len(hits), ap, *curve))
        return found

    def _rows(self) -> dict[int, list[tuple[np.ndarray, np.ndarray, int]]]:
        """Return class -> hits, confidences and number of true objects, at each threshold."""
        scores = np.concatenate([np.zeros(0), *self._scores])
        labels = np.concatenate([np.zeros(0, np.int16), *self._labels])
        hits = np.concatenate([np.zeros((len(self.thresholds), 0), bool), *self._hits], axis=1)
        table = {}
        for label in self.labels:
            mine, truths = labels == label, self._truths.get(label, 0)
            table[label] = [(row[mine], scores[mine], truths) for row in hits]
        return table
