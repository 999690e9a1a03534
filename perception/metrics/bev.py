"""Scores of bird's-eye-view maps: classes of cells, and occupancy at later times against simple predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

__all__ = ["ClassCounts", "OccupancyCounts", "average_precision"]

BINS = 200


@dataclass
class ClassCounts:
    """Confusion of classes, summed over maps.

    Attributes:
        classes: Number of classes.
        table: (classes, classes) int64, row = truth, column = prediction.
    """

    classes: int
    table: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.table = np.zeros((self.classes, self.classes), np.int64)

    def add(self, predicted: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> None:
        """Count the cells of a map where ``mask`` holds and ``truth`` is not negative."""
        kept = mask.astype(bool) & (truth >= 0)
        flat = truth[kept].astype(np.int64) * self.classes + predicted[kept].astype(np.int64)
        self.table += np.bincount(flat, minlength=self.classes**2).reshape(self.classes, -1)

    def iou(self) -> np.ndarray:
        """(classes,) float64, NaN for a class that neither truth nor prediction has."""
        inner = np.diag(self.table).astype(np.float64)
        union = self.table.sum(0) + self.table.sum(1) - inner
        return np.divide(inner, union, out=np.full(self.classes, np.nan), where=union > 0)


@dataclass
class OccupancyCounts:
    """Cells of predicted and true occupancy, summed over maps.

    Attributes:
        both: Occupied in both.
        predicted: Occupied in the prediction.
        true: Occupied in truth.
    """

    both: int = 0
    predicted: int = 0
    true: int = 0

    def add(self, predicted: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> None:
        """Count the cells where ``mask`` holds."""
        kept = mask.astype(bool)
        a, b = predicted[kept].astype(bool), truth[kept].astype(bool)
        self.both += int((a & b).sum())
        self.predicted += int(a.sum())
        self.true += int(b.sum())

    @property
    def iou(self) -> float:
        """Intersection over union; NaN where nothing is occupied."""
        union = self.predicted + self.true - self.both
        return self.both / union if union else float("nan")

    @property
    def precision(self) -> float:
        """Share of predicted cells that are occupied; NaN without any."""
        return self.both / self.predicted if self.predicted else float("nan")

    @property
    def recall(self) -> float:
        """Share of occupied cells that were predicted; NaN without any."""
        return self.both / self.true if self.true else float("nan")


def histogram(probability: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(2, BINS) int64 cells by probability, of free (row 0) and occupied ones, where ``mask`` holds."""
    kept = mask.astype(bool)
    place = np.clip((probability[kept] * BINS).astype(np.int64), 0, BINS - 1)
    flat = truth[kept].astype(bool).astype(np.int64) * BINS + place
    return np.bincount(flat, minlength=2 * BINS).reshape(2, BINS)


def average_precision(counts: np.ndarray | Sequence[np.ndarray]) -> float:
    """Area under precision over recall of a `histogram`, by steps; NaN without an occupied cell."""
    free, occupied = np.asarray(counts, np.float64)[:, ::-1]
    true, false = np.cumsum(occupied), np.cumsum(free)
    if not true[-1]:
        return float("nan")
    precision = true / np.maximum(true + false, 1)
    return float((np.diff(true, prepend=0) / true[-1] * precision).sum())
