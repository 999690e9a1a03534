"""The scores as a metric of mmengine, for trainings and ``perception test``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.evaluator import BaseMetric

from perception.metrics.openlanev2.lanesegnet import lanesegnet_truth
from perception.metrics.openlanev2.pickles import plain
from perception.metrics.openlanev2.records import Place, parse_scene, prepare
from perception.metrics.openlanev2.scene import CENTERLINE, LANE_SEGMENT
from perception.metrics.openlanev2.scoring import Evaluator, release, score_frame
from perception.registry import METRICS

__all__ = ["OpenLaneV2Metric"]


@METRICS.register_module()
class OpenLaneV2Metric(BaseMetric):
    """OpenLane-V2 scores of a validation set; a frame is reduced to a few kilobytes as soon as it is there.

    Each predicted sample has ``frame`` (its name), ``truth`` (an ``annotation`` block) and ``predictions`` (a
    ``predictions`` block) of the official format, with lists, arrays or tensors on the CPU. Scores are named after
    their definition: ``openlanev2/v2.1/OLS``.

    Args:
        track: ``"centerline"`` or ``"lane_segment"``.
        version: One of :data:`perception.metrics.openlanev2.VERSIONS`.
        lanesegnet: Prepare truth as LaneSegNet's own evaluator does and report AP_ls, AP_ped, mAP, TOP_lsls.
        collect_device: See mmengine's ``BaseMetric``.

    Raises:
        PerceptionError: The version does not define the track; or, of a sample, anything malformed, by its name.
    """

    default_prefix = "openlanev2"

    def __init__(
        self, track: str = CENTERLINE, version: str = "v2.1", lanesegnet: bool = False, collect_device: str = "cpu"
    ) -> None:
        super().__init__(collect_device=collect_device)
        release(version, LANE_SEGMENT if lanesegnet else track)
        self.track, self.version, self.lanesegnet = LANE_SEGMENT if lanesegnet else track, version, lanesegnet

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Score the frames of a batch."""
        for sample in data_samples:
            place = Place(Path("prediction"), str(sample.get("frame", "?")))
            for key in ("truth", "predictions"):
                if not isinstance(sample.get(key), Mapping):
                    raise place.error(key, "a block of the official format", type(sample.get(key)).__name__)
            truth = parse_scene(place, plain(sample["truth"]), self.track, predicted=False)
            truth = lanesegnet_truth(truth) if self.lanesegnet else prepare(truth)
            pred = parse_scene(place, plain(sample["predictions"]), self.track, predicted=True)
            self.results.append(score_frame(truth, pred, self.version))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Sum up; keys such as ``v2.1/OLS``, the F-score and, for lane segments, LaneSegNet's numbers."""
        evaluator = Evaluator(self.track, self.version)
        for frame in results:
            evaluator.add(frame)
        report = evaluator.report()
        scores = report["lanesegnet"] if self.lanesegnet else {**report["scores"], **report.get("lanesegnet", {})}
        scores |= {name: value for name, value in report["extra"].items() if value is not None and not self.lanesegnet}
        return {f"{self.version}/{name}": float(value) for name, value in scores.items()}
