"""Scores of a run against the truth its drive carries: counts a frame, summed, by kind of result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from perception.structures import Lanes2D, Result

__all__ = ["SCORERS", "Scorer", "Tally"]

LANE_IOUS = (0.5, 0.75)

Tally = dict[str, list[float]]
"""Name -> numbers that add up over frames."""


@dataclass(frozen=True)
class Scorer:
    """How one kind of result is scored.

    Attributes:
        metric: Name for the report.
        count: (prediction or None when the stage failed, truth) -> tally of one frame.
        summarize: (summed tally, number of frames) -> json-able scores.
    """

    metric: str
    count: Callable[[Result | None, Result], Tally]
    summarize: Callable[[Mapping[str, list[float]], int], dict[str, Any]]


def count_lanes(predicted: Result | None, truth: Result) -> Tally:
    """True positives, false positives and false negatives at each IoU threshold, lanes scaled to 1640 x 590.

    Source: spec ganet section 7.1 (CULane F1).
    """
    from perception.metrics.culane import SIZE, WIDTH, image_counts_at, scale_lanes

    assert isinstance(truth, Lanes2D)
    lanes = []
    if predicted is not None:
        assert isinstance(predicted, Lanes2D)
        lanes = scale_lanes(predicted.lanes, predicted.image_size, SIZE)
    counts = image_counts_at(lanes, scale_lanes(truth.lanes, truth.image_size, SIZE), LANE_IOUS, WIDTH, SIZE)
    return {str(iou): [float(number) for number in count] for iou, count in zip(LANE_IOUS, counts)}


def summarize_lanes(tally: Mapping[str, list[float]], frames: int) -> dict[str, Any]:
    """F1, precision and recall at each IoU threshold."""
    from perception.metrics.culane import f1, precision_recall

    out: dict[str, Any] = {"frames": frames}
    for iou, numbers in tally.items():
        tp, fp, fn = (int(number) for number in numbers)
        precision, recall = precision_recall(tp, fp, fn)
        out[f"iou_{iou}"] = {
            "tp": tp,
            "fp": fp,
            "fn": fn,
            "precision": precision,
            "recall": recall,
            "f1": f1(tp, fp, fn),
        }
    return out


SCORERS: dict[str, Scorer] = {"lanes_2d": Scorer("culane_f1", count_lanes, summarize_lanes)}
"""Result kind -> how it is scored; kinds that are not in it are not scored during a run."""
