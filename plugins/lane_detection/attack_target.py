"""GANet as an attack target: keypoint maps that lose their lanes, or lanes that move sideways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from perception.attack import ATTACK_TARGETS, AttackSample, check_goal
from perception.errors import PerceptionError
from perception.metrics import culane
from perception.metrics.assignment import kuhn_munkres
from perception.metrics.lateral_deviation import lateral_deviation
from perception.ops.lane_iou import iou_matrix
from perception.structures import Lanes2D

from .stage import LaneDetectionStage

__all__ = ["LaneDetectionTarget"]


@ATTACK_TARGETS.register_module()
class LaneDetectionTarget:
    """A lane detector behind the attack protocol; it is never changed.

    Args:
        config: Config of the model.
        weights: File or name of shipped weights.
        to: Where ``shift`` pushes lanes, ``left`` or ``right``.
        iou: A lane is right from this IoU of 30 pixel wide lines (at 1640 x 590) on, as in CULane.
        device: torch device.

    Raises:
        PerceptionError: ``to`` or ``iou`` is out of range.
    """

    goals: tuple[str, ...] = ("hide", "shift")
    differentiable = True

    def __init__(
        self, config: str, weights: str | None = None, to: str = "right", iou: float = 0.5, device: str = "cpu"
    ) -> None:
        if to not in ("left", "right") or not 0 < iou <= 1:
            raise PerceptionError(f"lane target: expected to='left' or 'right' and 0 < iou <= 1, found {to!r}, {iou}")
        self.stage = LaneDetectionStage(config, weights, device=device)
        self.direction = 1.0 if to == "right" else -1.0
        self.iou = iou

    @property
    def module(self) -> torch.nn.Module:
        """The victim, which must not change."""
        return self.stage.model

    def loss(self, images: Tensor, samples: Sequence[AttackSample], goal: str) -> Tensor:
        """(B,) ``hide``: how much still looks like lane; ``shift``: minus the mean sideways offset of lane cells."""
        check_goal(self, goal)
        maps = self.stage.maps_from_image(images.to(self.stage.device) * 255)
        logits = maps.keypoint_logit[:, 0]
        if goal == "hide":
            return (F.softplus(logits).sum((1, 2)) / logits.shape[1]).to(images.device)
        weight = torch.sigmoid(logits)
        sideways = maps.cell_offset[:, 0] * self.direction
        shift = (weight * sideways).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1e-6)
        return -shift.to(images.device)

    @torch.no_grad()
    def predict(self, images: Tensor, samples: Sequence[AttackSample]) -> list[Lanes2D]:
        """Lanes of each image through the ordinary stage, on 8-bit pixels."""
        arrays = (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return [self.stage.detect(np.ascontiguousarray(array)) for array in arrays]

    def instance_scores(self, prediction: Lanes2D, sample: AttackSample) -> np.ndarray:
        """(G,) score of the lane matched to each true lane, 0 for none."""
        truth: Lanes2D = sample.truth
        scores = np.zeros(len(truth.lanes))
        if len(truth.lanes) and len(prediction.lanes) and prediction.scores is not None:
            similarity = self._ious(truth, prediction)
            columns = kuhn_munkres(similarity)
            for row, column in enumerate(columns):
                if column >= 0 and column < similarity.shape[1] and similarity[row, column] >= self.iou:
                    scores[row] = float(prediction.scores[column])
        return scores

    def _ious(self, truth: Lanes2D, prediction: Lanes2D) -> np.ndarray:
        sides = []
        for lanes in (truth, prediction):
            points = culane.parse_lanes(lanes.to_culane_text())
            sides.append(culane.scale_lanes(points, lanes.image_size, culane.SIZE))
        return iou_matrix(sides[0], sides[1], culane.WIDTH, culane.SIZE)

    def instance_details(self, prediction: Lanes2D, sample: AttackSample) -> list[Mapping[str, float]]:
        """``lateral_m`` of the picture, the same for each of its lanes; NaN without a camera in ``sample.meta``."""
        return [{"lateral_m": _lateral(prediction, sample)} for _ in sample.truth.lanes]

    def task_metric(self, predictions: Sequence[Lanes2D], samples: Sequence[AttackSample]) -> dict[str, float]:
        """CULane F1, precision, recall; mean lateral deviation in metres where ``meta`` of samples has a ``camera``."""
        counts = []
        for found, sample in zip(predictions, samples):
            texts = (found.to_culane_text(), sample.truth.to_culane_text())
            pair = [
                culane.scale_lanes(culane.parse_lanes(text), lanes.image_size, culane.SIZE)
                for text, lanes in zip(texts, (found, sample.truth))
            ]
            counts.append(culane.image_counts_at(pair[0], pair[1], (self.iou,), culane.WIDTH, culane.SIZE)[0])
        score = culane.summarize(counts)
        out = {"F1": score.f1, "precision": score.precision, "recall": score.recall}
        metres = np.array([_lateral(found, sample) for found, sample in zip(predictions, samples)], np.float64)
        known = metres[np.isfinite(metres)]
        return out | ({"lateral_m": float(known.mean())} if len(known) else {})


def _lateral(prediction: Lanes2D, sample: AttackSample) -> float:
    camera = sample.meta.get("camera")
    found = None if camera is None else lateral_deviation(prediction, sample.truth, camera)
    return float("nan") if found is None else found
