"""A victim around another one: what a defence does not change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from perception.attack import ATTACK_TARGETS, AttackSample, AttackTarget, instance_details, surface_scores

__all__ = ["WrappedTarget"]


class WrappedTarget:
    """Base of defences as victims; a subclass adds ``loss``, ``predict`` and ``defence_name``.

    Args:
        target: The victim, or its config.
    """

    def __init__(self, target: AttackTarget | dict) -> None:
        self.target: Any = ATTACK_TARGETS.build(target) if isinstance(target, dict) else target
        self.goals, self.differentiable = self.target.goals, self.target.differentiable

    @property
    def module(self) -> torch.nn.Module | None:
        """The victim's network."""
        return getattr(self.target, "module", None)

    def instance_scores(self, prediction: Any, sample: AttackSample) -> np.ndarray:
        """As the victim's."""
        scores: np.ndarray = self.target.instance_scores(prediction, sample)
        return scores

    def surface_scores(self, prediction: Any, sample: AttackSample) -> np.ndarray:
        """As the victim's."""
        return surface_scores(self.target, prediction, sample)

    def instance_details(self, prediction: Any, sample: AttackSample) -> list[Any]:
        """As the victim's."""
        return instance_details(self.target, prediction, sample)

    def task_metric(self, predictions: Sequence[Any], samples: Sequence[AttackSample]) -> dict[str, float]:
        """As the victim's."""
        metric: dict[str, float] = self.target.task_metric(predictions, samples)
        return metric
