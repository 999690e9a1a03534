"""Counting networks as attack targets: a patch that adds people to a picture, or takes them away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perception.attack import ATTACK_TARGETS, AttackSample, check_goal
from perception.errors import PerceptionError
from perception.metrics.crowd import count_scores
from perception.structures import DensityMap

from .stage import CrowdCountingStage

__all__ = ["CrowdCountingTarget"]


@ATTACK_TARGETS.register_module()
class CrowdCountingTarget:
    """A counting network behind the attack protocol; it is never changed.

    The truth of a sample is a ``DensityMap`` with its heads in ``points``. A picture is one instance; its count is
    right within ``max(tolerance * people, least)``.

    Args:
        config: Config of the model.
        weights: File or name of shipped weights.
        tolerance: Share of the true count.
        least: Smallest allowed error, people.
        device: torch device.

    Raises:
        PerceptionError: A negative tolerance, or ``least`` that is not positive.
    """

    goals: tuple[str, ...] = ("count_up", "count_down")
    differentiable = True

    def __init__(
        self,
        config: str,
        weights: str | None = None,
        tolerance: float = 0.25,
        least: float = 5.0,
        device: str = "cpu",
    ) -> None:
        if not (tolerance >= 0 and least > 0):
            raise PerceptionError(f"crowd target: expected tolerance >= 0 and least > 0, found {tolerance}, {least}")
        self.stage = CrowdCountingStage(config, weights, device=device, attention=False)
        self.tolerance, self.least = tolerance, least

    @property
    def module(self) -> torch.nn.Module:
        """The victim, which must not change."""
        return self.stage.model

    def loss(self, images: Tensor, samples: Sequence[AttackSample], goal: str) -> Tensor:
        """(B,) the count over the true count (at least ``least``), negative for ``count_up``."""
        check_goal(self, goal)
        counts = self.stage.maps_from_image(images.to(self.stage.device) * 255).density.sum((1, 2, 3))
        scale = torch.tensor([max(len(sample.truth.points), self.least) for sample in samples], dtype=counts.dtype)
        return counts.to(images.device) / scale.to(images.device) * (-1.0 if goal == "count_up" else 1.0)

    @torch.no_grad()
    def predict(self, images: Tensor, samples: Sequence[AttackSample]) -> list[DensityMap]:
        """Density of each image through the ordinary stage, on 8-bit pixels."""
        arrays = (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return [self.stage.count(np.ascontiguousarray(array)) for array in arrays]

    def instance_scores(self, prediction: DensityMap, sample: AttackSample) -> np.ndarray:
        """(1,) 1 for the true count, 0.5 where the tolerance ends, 0 from twice the tolerance on."""
        people = len(sample.truth.points)
        allowed = max(self.tolerance * people, self.least)
        return np.array([max(1 - abs(prediction.count - people) / (2 * allowed), 0.0)])

    def instance_details(self, prediction: DensityMap, sample: AttackSample) -> list[Mapping[str, float]]:
        """``count`` of the picture."""
        return [{"count": prediction.count}]

    def task_metric(self, predictions: Sequence[Any], samples: Sequence[AttackSample]) -> dict[str, float]:
        """MAE, RMSE and mean error (bias) of the count."""
        found = count_scores([p.count for p in predictions], [len(sample.truth.points) for sample in samples])
        return {"MAE": found.mae, "RMSE": found.rmse, "bias": found.bias, "mean_count": found.mean_count + found.bias}
