"""mmengine metrics around the exact evaluators of `perception.metrics`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mmengine.evaluator import BaseMetric

from perception.metrics import culane, tusimple
from perception.registry import METRICS
from perception.structures import Lanes2D


@METRICS.register_module()
class LaneF1Metric(BaseMetric):
    """CULane F1; lanes are scaled from their image to one drawing size first.

    Args:
        ious: Thresholds; the first one is reported as ``F1``.
        out_dir: Write result files in CULane layout there.
        size: (width, height) on which lanes are drawn and compared; CULane's 1640 x 590.
        width: Thickness of the drawn lanes in pixels; CULane's 30.
        mean: Also report ``mF1``, the mean over the IoU thresholds 0.5, 0.55, ... 0.95.
    """

    default_prefix = "lane"

    def __init__(
        self,
        ious: Sequence[float] = (0.5, 0.3, 0.75),
        out_dir: str | None = None,
        size: tuple[int, int] = culane.SIZE,
        width: int = culane.WIDTH,
        mean: bool = True,
    ) -> None:
        super().__init__()
        self.ious, self.mean = tuple(ious), mean
        self.size, self.width = (int(size[0]), int(size[1])), width
        self.out_dir = None if out_dir is None else Path(out_dir)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Count one batch of predicted samples."""
        for sample in data_samples:
            size = tuple(sample["image_size"])
            lanes = Lanes2D("front", size, tuple(sample["lanes"]), sample["scores"])
            text = lanes.to_culane_text()
            if self.out_dir is not None:
                path = (self.out_dir / PurePosixPath(sample["name"])).with_suffix(culane.SUFFIX)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            pair = (culane.parse_lanes(text), sample["gt_lanes"])
            predicted, truth = (culane.scale_lanes(part, size, self.size) for part in pair)
            ious = (*self.ious, *(culane.MEAN_IOUS if self.mean else ()))
            self.results.append(culane.image_counts_at(predicted, truth, ious, self.width, self.size))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Sum up; keys ``F1``, ``precision``, ``recall`` of the first threshold and ``F1@<iou>`` of all."""
        count = len(self.ious) + (len(culane.MEAN_IOUS) if self.mean else 0)
        scores = [culane.summarize(image[i] for image in results) for i in range(count)]
        first = {"F1": scores[0].f1, "precision": scores[0].precision, "recall": scores[0].recall}
        named = first | {f"F1@{iou:g}": score.f1 for iou, score in zip(self.ious, scores)}
        rest = scores[len(self.ious) :]
        return named | ({"mF1": sum(score.f1 for score in rest) / len(rest)} if rest else {})


@METRICS.register_module()
class TuSimpleMetric(BaseMetric):
    """TuSimple accuracy, FP, FN and F1."""

    default_prefix = "lane"

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Score one batch of predicted samples."""
        for sample in data_samples:
            rows = sample["label"]["h_samples"]
            lanes = Lanes2D("front", tuple(sample["image_size"]), tuple(sample["lanes"]), sample["scores"])
            predicted = lanes.to_tusimple(rows, sample["name"])["lanes"]
            self.results.append(tusimple.frame_score(predicted, sample["label"]["lanes"], rows))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Means over the images."""
        scores = tusimple.summarize([tusimple.FrameScore(*row) for row in results])
        return {"accuracy": scores.accuracy, "FP": scores.fp, "FN": scores.fn, "F1": scores.f1}
