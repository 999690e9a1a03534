"""mmengine metric of both branches, with the simple predictions that have to be beaten (spec ppn section 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from perception.metrics.bev import ClassCounts, OccupancyCounts, average_precision, histogram
from perception.registry import METRICS

from .sweeps import CLASSES

BASELINES = ("stale", "persistence", "union", "empty")
"""Last map taken along by the car, last map compensated, union of the stack's maps, nothing."""


@METRICS.register_module()
class LidarBevMetric(BaseMetric):
    """IoU per class over observed cells; IoU, precision, recall and average precision per horizon, with baselines.

    Observed is what a ray of the sweep at t crossed or hit and what is labelled. Occupancy counts in cells that a ray
    of the later sweep reached. ``moving`` restricts that to cells that an object faster than 0.5 m/s covers then or
    now.

    Args:
        mean_over: Classes whose mean is ``mIoU``; the others are reported alone.
        threshold: Probability from which a cell is predicted occupied.
    """

    default_prefix = "bev"

    def __init__(self, mean_over: Sequence[str] = ("ground", "static", "vehicle"), threshold: float = 0.5) -> None:
        super().__init__()
        self.mean_over, self.threshold = tuple(mean_over), threshold

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Count one batch of predicted samples."""
        for sample in data_samples:
            maps = {key: np.asarray(value) for key, value in sample.items() if key not in ("name", "horizons")}
            counted: dict[str, Any] = {"horizons": [f"{horizon:g}s" for horizon in sample["horizons"]]}
            if "predicted_classes" in maps and maps["predicted_classes"].max(initial=0) < len(CLASSES):
                classes = ClassCounts(len(CLASSES))
                classes.add(maps["predicted_classes"], maps["classes"], maps["seen"] > 0)
                counted["classes"] = classes.table
            if "predicted_occupancy" in maps:
                counted["occupancy"] = self._occupancy(maps)
                counted["histogram"] = [
                    histogram(probability, future, mask)
                    for probability, future, mask in zip(maps["predicted_occupancy"], maps["future"], maps["mask"])
                ]
            self.results.append(counted)

    def _occupancy(self, maps: Mapping[str, np.ndarray]) -> np.ndarray:
        """(K, predictions, 2, 3) int64: all and moving cells; occupied in both, in the prediction, in truth."""
        out = np.zeros((len(maps["predicted_occupancy"]), 1 + len(BASELINES), 2, 3), np.int64)
        for k, probability in enumerate(maps["predicted_occupancy"]):
            candidates = (
                probability >= self.threshold, maps["stale"][k], maps["last"], maps["union"],
                np.zeros_like(maps["last"]),
            )  # fmt: skip
            for i, predicted in enumerate(candidates):
                for j, mask in enumerate((maps["mask"][k], maps["mask"][k] & maps["moving"][k])):
                    counts = OccupancyCounts()
                    counts.add(predicted, maps["future"][k], mask)
                    out[k, i, j] = counts.both, counts.predicted, counts.true
        return out

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Sum up."""
        scores: dict[str, float] = {}
        tables = [result["classes"] for result in results if "classes" in result]
        if tables:
            classes = ClassCounts(len(CLASSES))
            classes.table = np.sum(tables, axis=0)
            iou = dict(zip(CLASSES, classes.iou()))
            scores["mIoU"] = float(np.nanmean([iou[name] for name in self.mean_over]))
            scores |= {f"IoU_{name}": float(value) for name, value in iou.items()}
        counted = [result for result in results if "occupancy" in result]
        if counted:
            scores |= _horizon_scores(counted)
        return scores


def _horizon_scores(counted: list[dict[str, Any]]) -> dict[str, float]:
    total = np.sum([result["occupancy"] for result in counted], axis=0)
    histograms = np.sum([result["histogram"] for result in counted], axis=0)
    scores: dict[str, float] = {}
    for k, label in enumerate(counted[0]["horizons"][: len(total)]):
        for i, name in enumerate(("", *BASELINES)):
            all_cells, moving = (OccupancyCounts(*map(int, total[k, i, j])) for j in range(2))
            suffix = f"@{label}" + (f"_{name}" if name else "")
            scores[f"IoU{suffix}"], scores[f"moving_IoU{suffix}"] = all_cells.iou, moving.iou
            if not name:
                scores[f"precision@{label}"], scores[f"recall@{label}"] = all_cells.precision, all_cells.recall
                scores[f"AP@{label}"] = average_precision(histograms[k])
    for name in ("", *BASELINES):
        suffix = f"_{name}" if name else ""
        values = [scores[f"moving_IoU@{label}{suffix}"] for label in counted[0]["horizons"][: len(total)]]
        scores[f"moving_IoU{suffix}"] = float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
    return scores
