"""COCO box evaluation as an mmengine metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from perception.metrics.coco import BoxSet, evaluate_boxes
from perception.registry import METRICS

__all__ = ["BoxMetric", "box_set"]


def box_set(rows: Sequence[tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]) -> BoxSet:
    """Boxes of many images from (image, boxes x0 y0 x1 y1, labels, scores, areas, crowd) of each."""
    images = np.concatenate([np.full(len(row[1]), row[0], np.int64) for row in rows] or [np.zeros(0, np.int64)])
    columns = []
    for index in range(1, 6):
        columns.append(np.concatenate([row[index] for row in rows] or [np.zeros((0, 4) if index == 1 else 0)]))
    boxes = np.asarray(columns[0], np.float64).reshape(-1, 4).copy()
    boxes[:, 2:] -= boxes[:, :2]
    scores, areas = (np.asarray(column, np.float64) for column in columns[2:4])
    return BoxSet(images, np.asarray(columns[1], np.int64), boxes, scores, areas, np.asarray(columns[4], bool))


@METRICS.register_module()
class BoxMetric(BaseMetric):
    """AP over IoU 0.50:0.95, AP50, AP75, AP by size and AR100, as the COCO evaluator computes them.

    Args:
        min_side: Truths whose shorter side is below this many pixels are ignored, as crowds are.
        per_class: Also report the AP of each class.
    """

    default_prefix = "boxes"

    def __init__(self, min_side: float = 0.0, per_class: bool = False) -> None:
        super().__init__()
        self.min_side, self.per_class = min_side, per_class

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep what is needed of one batch of predicted samples."""
        for sample in data_samples:
            truth = sample["truth"]
            boxes = truth["boxes"]
            small = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) < self.min_side
            image, found = sample["image_id"], np.asarray(sample["found_boxes"], np.float64)
            areas = (found[:, 2] - found[:, 0]) * (found[:, 3] - found[:, 1])
            ones, none = np.ones(len(boxes)), np.zeros(len(found), bool)
            self.results.append(
                (
                    (image, boxes, truth["labels"], ones, truth["areas"], truth["crowd"] | small),
                    (image, found, sample["found_labels"], sample["found_scores"], areas, none),
                )
            )

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Evaluate; classes are counted up to the highest label."""
        truth, found = (box_set([row[side] for row in results]) for side in (0, 1))
        highest = [int(part.labels.max()) for part in (truth, found) if len(part.labels)]
        scores = evaluate_boxes(truth, found, max(highest, default=0) + 1)
        names = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")
        values = dict(zip(names, scores.stats[:6].tolist())) | {"AR100": float(scores.stats[8])}
        if self.per_class:
            values |= {f"AP_class{label}": float(value) for label, value in enumerate(scores.ap) if np.isfinite(value)}
        return values
