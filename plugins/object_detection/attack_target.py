"""Any mmdet detector as an attack target, by its own training losses on chosen labels.

``hide`` trains the pixels to show nothing (loss ``vanish``), away from the truth (loss ``dpatch``: minus the ordinary
losses), or lowers what decides a miss: the best scores of the right class on each attacked object (loss ``score``).
``misclassify`` trains them towards another class for each attacked object; ``appear`` towards boxes that are not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from perception.attack import ATTACK_TARGETS, AttackSample, check_goal
from perception.errors import PerceptionError
from perception.metrics.box_match import box_areas, box_ious, matched_scores
from perception.metrics.coco import evaluate_boxes
from perception.structures import Boxes2D

from .letterbox import Fit, letterbox_tensor
from .metric import box_set
from .model import MMDetDetector
from .stage import build_detector

__all__ = ["ObjectDetectionTarget"]

LOSSES = ("vanish", "dpatch", "score")
BEST = 3
"""Detections of an object whose scores the loss ``score`` lowers together."""
NEAR = 0.8
"""Share of the IoU of a match from which a box counts there, so that none slips in when it moves a little."""


@ATTACK_TARGETS.register_module()
class ObjectDetectionTarget:
    """A detector behind the attack protocol; its weights, statistics and mode are never changed.

    Args:
        config: Of ours or of mmdet; or a built ``MMDetDetector``.
        weights: See ``build_detector``.
        loss: ``vanish``, ``dpatch`` or ``score``, for the goal ``hide``.
        wanted: Class that ``misclassify`` and ``appear`` aim at; a name or an index. Objects of that class itself are
            to become the next one.
        iou: A detection is right from this IoU on.
        device: torch device.
        trust: Allow unpickling of foreign checkpoints.
        enlarge: Images are enlarged to the detector's input, as the stage does; off, smaller ones are taken as they
            are, so that crops of a picture show objects as large as the whole picture does. For fully convolutional
            detectors.
        floor: Lower scores are of no interest to the loss ``score``; some way below the score of a detection.
        seed: Samplers of two-stage detectors draw from it, so that the loss is a function of the images.

    Raises:
        PerceptionError: An unknown loss or class.
    """

    goals: tuple[str, ...] = ("hide", "misclassify", "appear")
    differentiable = True

    def __init__(
        self,
        config: Any,
        weights: str | None = None,
        loss: str = "vanish",
        wanted: str | int = 0,
        iou: float = 0.5,
        device: str = "cpu",
        trust: bool = False,
        seed: int = 0,
        enlarge: bool = True,
        floor: float = 0.15,
    ) -> None:
        built = isinstance(config, MMDetDetector)
        self.model: MMDetDetector = config if built else build_detector(config, weights, device=device, trust=trust)
        if loss not in LOSSES:
            raise PerceptionError(f"detector loss: expected {', '.join(LOSSES)}, found {loss!r}")
        if not 0 < floor < 1:
            raise PerceptionError(f"detector floor: expected a score in (0, 1), found {floor}")
        names = self.model.class_names
        if wanted not in names and not (isinstance(wanted, int) and 0 <= wanted < len(names)):
            raise PerceptionError(f"wanted class: expected one of {', '.join(names)}, found {wanted!r}")
        self.wanted = wanted if isinstance(wanted, int) else names.index(wanted)
        self.kind, self.iou, self.seed, self.enlarge, self.floor = loss, iou, seed, enlarge, floor

    @property
    def module(self) -> torch.nn.Module:
        """The victim, which must not change."""
        return self.model

    def _size(self, images: Tensor) -> tuple[int, int]:
        """(width, height) of the input for (B, 3, H, W) images."""
        width, height = self.model.input_size
        fits = images.shape[3] <= width and images.shape[2] <= height
        return (width, height) if self.enlarge or not fits else (images.shape[3], images.shape[2])

    def _inputs(self, images: Tensor) -> tuple[Tensor, Fit]:
        """What the network sees, on its device, and how the images lie in it."""
        return letterbox_tensor(images.to(next(self.model.parameters()).device) * 255, self._size(images))

    def _labels(self, sample: AttackSample, goal: str, found: Fit) -> tuple[Tensor, Tensor]:
        """Boxes in input pixels and labels that the loss is taken against."""
        truth: Boxes2D = sample.truth
        boxes, labels = truth.boxes, truth.labels
        attacked = _attacked(sample)
        if goal == "hide" and self.kind == "vanish":
            keep = np.setdiff1d(np.arange(len(boxes)), attacked)
            boxes, labels = boxes[keep], labels[keep]
        elif goal == "misclassify":
            other = (self.wanted + 1) % max(len(self.model.class_names), 1)
            labels = labels.copy()
            labels[attacked] = np.where(labels[attacked] == self.wanted, other, self.wanted)
        elif goal == "appear":
            extra = [_around(surface) for surface in sample.surfaces]
            boxes = np.concatenate([boxes, np.array(extra, np.float32).reshape(-1, 4)])
            labels = np.concatenate([labels, np.full(len(extra), self.wanted, np.int64)])
        return torch.from_numpy((boxes * found.scale).astype(np.float32)), torch.from_numpy(labels.copy())

    def loss(self, images: Tensor, samples: Sequence[AttackSample], goal: str) -> Tensor:
        """(B,) losses; see the module."""
        check_goal(self, goal)
        inputs, found = self._inputs(images)
        if goal == "hide" and self.kind == "score":
            return self._score_loss(inputs, samples, found).to(images.device)
        sign = -1.0 if goal == "hide" and self.kind == "dpatch" else 1.0
        rows = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            for index, sample in enumerate(samples):
                boxes, labels = self._labels(sample, goal, found)
                losses = self.model.loss(inputs[index : index + 1], [boxes], [labels])
                terms = [part.sum() for name in losses if "loss" in name for part in _listed(losses[name])]
                rows.append(sign * torch.stack(terms).sum())
        return torch.stack(rows).to(images.device)

    def _score_loss(self, inputs: Tensor, samples: Sequence[AttackSample], found: Fit) -> Tensor:
        """(B,) how far, in natural logarithms, the best scores on the attacked objects lie above ``floor``."""
        rows = []
        for (boxes, scores, labels), sample in zip(self.model.candidates(inputs), samples):
            if inputs.requires_grad and len(scores) and not scores.requires_grad:
                kind = type(self.model.detector).__name__
                raise PerceptionError(
                    f"detector loss score: the scores of {kind} carry no gradient; use vanish or dpatch"
                )
            truth: Boxes2D = sample.truth
            value = scores.sum() * 0 + inputs.sum() * 0
            for instance in _attacked(sample):
                wanted = torch.from_numpy(truth.boxes[instance : instance + 1] * np.float32(found.scale)).to(boxes)
                near = (box_iou(boxes, wanted)[:, 0] >= NEAR * self.iou) & (labels == int(truth.labels[instance]))
                best = scores[near].topk(min(BEST, int(near.sum())))[0]
                value = value + (best.clamp(min=self.floor) / self.floor).log().sum() / BEST
            rows.append(value)
        return torch.stack(rows)

    @torch.no_grad()
    def predict(self, images: Tensor, samples: Sequence[AttackSample]) -> list[Boxes2D]:
        """Detections of each image in its pixels."""
        inputs, found = self._inputs(images)
        results = self.model.predict(inputs, [{"fit": found}] * len(inputs))
        return [
            Boxes2D("front", found.size, r["found_boxes"], r["found_scores"], r["found_labels"], self.model.class_names)
            for r in results
        ]

    def instance_scores(self, prediction: Boxes2D, sample: AttackSample) -> np.ndarray:
        """(G,) score of the same-class detection matched greedily to each true box at ``iou``, 0 for none."""
        return matched_scores(prediction, sample.truth, self.iou)

    def surface_scores(self, prediction: Boxes2D, sample: AttackSample) -> np.ndarray:
        """(S,) best score of a detection of the ``wanted`` class on the box around each surface, 0 for none."""
        around = np.array([_around(surface) for surface in sample.surfaces], np.float32).reshape(-1, 4)
        good = (box_ious(prediction.boxes, around) >= self.iou) & (prediction.labels == self.wanted)[:, None]
        scores: np.ndarray = np.where(good, prediction.scores[:, None], 0.0).max(0, initial=0.0)
        return scores

    def task_metric(self, predictions: Sequence[Boxes2D], samples: Sequence[AttackSample]) -> dict[str, float]:
        """AP and AP50."""
        sides: list[Any] = []
        for results in ([sample.truth for sample in samples], predictions):
            rows = []
            for index, part in enumerate(results):
                boxes = part.boxes.astype(np.float64)
                rows.append((index, boxes, part.labels, part.scores, box_areas(boxes), np.zeros(len(boxes), bool)))
            sides.append(box_set(rows))
        scores = evaluate_boxes(sides[0], sides[1], len(self.model.class_names))
        return {"AP": float(scores.stats[0]), "AP50": float(scores.stats[1])}


def _attacked(sample: AttackSample) -> list[int]:
    """Instances that carry a patch; all of them where surfaces belong to none (road, board)."""
    owned = sorted({surface.instance for surface in sample.surfaces if surface.instance is not None})
    return owned or list(range(len(sample.truth)))


def _listed(value: Any) -> list[Tensor]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _around(surface: Any) -> list[float]:
    low, high = surface.quad.amin(0), surface.quad.amax(0)
    return [*low.tolist(), *high.tolist()]
