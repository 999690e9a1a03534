"""What a model must offer to be attacked: the border between ``patch_robustness`` and every other plugin.

A plugin registers a class in ``ATTACK_TARGETS``; it knows its own model and truth and nothing about patches, and the
attacks know only this protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from mmengine.registry import Registry
from torch import Tensor

from perception.errors import PerceptionError

__all__ = ["ATTACK_TARGETS", "GOALS", "AttackSample", "AttackTarget", "check_goal"]

ATTACK_TARGETS = Registry("attack target", scope="perception")
"""Adapters of models, by the name that configs of attacks use."""

GOALS = ("hide", "misclassify", "appear", "shift", "disconnect", "count_up", "count_down")


@dataclass(frozen=True, eq=False)
class AttackSample:
    """One image with its truth.

    Attributes:
        name: Unique name.
        image: (H, W, 3) uint8 RGB.
        truth: What the target's plugin calls truth: a result type of the core.
        scene: Scene it belongs to; intervals are drawn over scenes.
        surfaces: Places for patches, as ``patch_robustness`` understands them.
        meta: Anything else, for example ``distance_m`` and ``time_s``.
    """

    name: str
    image: np.ndarray
    truth: Any
    scene: str = ""
    surfaces: tuple[Any, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        image = np.asarray(self.image)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise PerceptionError(f"sample {self.name}: expected (H, W, 3) uint8, found {image.shape} {image.dtype}")


@runtime_checkable
class AttackTarget(Protocol):
    """A model under attack. Images are (B, 3, H, W) float32 RGB in [0, 1], as the camera gave them.

    Attributes:
        goals: Which of ``GOALS`` it supports.
        differentiable: Whether ``loss`` has a gradient in the images; False is attacked as a black box.
    """

    goals: tuple[str, ...]
    differentiable: bool

    def loss(self, images: Tensor, samples: Sequence[AttackSample], goal: str) -> Tensor:
        """(B,) what an attacker minimises."""
        ...

    def predict(self, images: Tensor, samples: Sequence[AttackSample]) -> list[Any]:
        """Final outputs, one result an image."""
        ...

    def instance_scores(self, prediction: Any, sample: AttackSample) -> np.ndarray:
        """(G,) score of the detection that is right for each true instance, 0 where none is."""
        ...

    def task_metric(self, predictions: Sequence[Any], samples: Sequence[AttackSample]) -> dict[str, float]:
        """The plugin's own measure."""
        ...


def check_goal(target: AttackTarget, goal: str) -> None:
    """Refuse a goal before work starts.

    Raises:
        PerceptionError: Unknown, or not supported by the target.
    """
    if goal not in target.goals:
        known = "unknown goal" if goal not in GOALS else "goal not supported by this target"
        raise PerceptionError(f"attack goal {goal!r}: {known}; supported: {', '.join(target.goals)}")
