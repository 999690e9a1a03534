"""What a model must offer to be attacked: the border between ``patch_robustness`` and every other plugin.

A plugin registers a class in ``ATTACK_TARGETS``; it knows its own model and truth and nothing about patches, and the
attacks know only this protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from mmengine.registry import Registry
from torch import Tensor
from torch.nn import functional

from perception.errors import PerceptionError

__all__ = [
    "ATTACK_TARGETS",
    "GOALS",
    "AppearTarget",
    "AttackSample",
    "AttackTarget",
    "DetailedTarget",
    "GraphTarget",
    "check_appear",
    "check_goal",
    "disconnect_loss",
    "edge_scores",
    "instance_details",
    "surface_scores",
]

ATTACK_TARGETS = Registry("attack target", scope="perception")
"""Adapters of models, by the name that configs of attacks use."""

GOALS = ("hide", "misclassify", "appear", "shift", "disconnect", "count_up", "count_down")


@dataclass(frozen=True, eq=False)
class AttackSample:
    """One image, or the views of one moment, with its truth.

    Attributes:
        name: Unique name.
        image: (H, W, 3) uint8 RGB; or (V, H, W, 3), views of one size, which ``view`` of a surface counts.
        truth: What the target's plugin calls truth: a result type of the core.
        scene: Scene it belongs to; intervals are drawn over scenes.
        surfaces: Places for patches, as ``patch_robustness`` understands them.
        meta: Anything else, for example ``distance_m`` and ``time_s``.
        hidden: (H, W) or (V, H, W) bool, pixels in which something stands in front of the surfaces, where no patch
            shows; None: not known.
    """

    name: str
    image: np.ndarray
    truth: Any
    scene: str = ""
    surfaces: tuple[Any, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    hidden: np.ndarray | None = None

    def __post_init__(self) -> None:
        image = np.asarray(self.image)
        if image.ndim not in (3, 4) or image.shape[-1] != 3 or image.dtype != np.uint8:
            found = f"{image.shape} {image.dtype}"
            raise PerceptionError(f"sample {self.name}: expected (H, W, 3) or (V, H, W, 3) uint8, found {found}")
        hidden = self.hidden
        if hidden is not None and (hidden.shape != image.shape[:-1] or hidden.dtype != np.bool_):
            found = f"{hidden.shape} {hidden.dtype}"
            raise PerceptionError(f"sample {self.name}: expected hidden {image.shape[:-1]} bool, found {found}")

    @property
    def views(self) -> np.ndarray:
        """(V, H, W, 3) uint8, V = 1 for a single image."""
        return self.image if self.image.ndim == 4 else self.image[None]


@runtime_checkable
class AttackTarget(Protocol):
    """A model under attack. Images are (B, 3, H, W) float32 RGB in [0, 1], as the camera gave them; (B, V, 3, H, W)
    where samples have several views.

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


@runtime_checkable
class DetailedTarget(Protocol):
    """A target that has more to say about an instance than one score."""

    def instance_details(self, prediction: Any, sample: AttackSample) -> Sequence[Mapping[str, float]]:
        """Numbers of each true instance, for example ``lateral_m``; each becomes a column of the report."""
        ...


@runtime_checkable
class AppearTarget(Protocol):
    """A target whose goal ``appear`` can be scored: what shows up is no true instance."""

    def surface_scores(self, prediction: Any, sample: AttackSample) -> np.ndarray:
        """(S,) score of what is seen on each surface of the sample though it is not there, 0 for nothing."""
        ...


@runtime_checkable
class GraphTarget(AttackTarget, Protocol):
    """A target whose instances are the true edges of a graph: lane to lane, lane to sign.

    ``lane_segments`` and ``topology`` implement this: the goal ``disconnect`` minimises ``disconnect_loss`` of their
    ``edge_logits``, ``instance_scores`` is ``edge_scores`` of their result.
    """

    def edge_logits(self, images: Tensor, samples: Sequence[AttackSample]) -> list[tuple[Tensor, Tensor]]:
        """Of each sample (N, M) logits of all edges between matched nodes, and (N, M) bool which are true."""
        ...


def disconnect_loss(edges: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """What an attacker minimises to cut a graph: true edges towards 0, the others towards 1.

    Args:
        edges: See ``GraphTarget.edge_logits``.

    Returns:
        (B,) mean cross-entropy of the true edges against 0 plus that of the others against 1; 0 without edges.

    Raises:
        PerceptionError: Logits and truth of different shapes.
    """
    rows = []
    for logits, truth in edges:
        if logits.shape != truth.shape:
            raise PerceptionError(f"edges: expected truth {tuple(logits.shape)}, found {tuple(truth.shape)}")
        cut = functional.binary_cross_entropy_with_logits(logits, (~truth.bool()).to(logits), reduction="none")
        parts = [cut[chosen].mean() for chosen in (truth.bool(), ~truth.bool()) if bool(chosen.any())]
        rows.append(torch.stack(parts).sum() if parts else logits.sum() * 0)
    return torch.stack(rows)


def edge_scores(probability: np.ndarray, nodes: np.ndarray, others: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(E,) probability of each true edge, 0 where one of its ends was not found.

    Args:
        probability: (n, m) of edges between predicted nodes.
        nodes: (N,) index of the prediction matched to each true node of the first kind, -1 for none.
        others: (M,) the same for the second kind.
        truth: (N, M) bool; its true entries, row by row, are the instances.
    """
    rows, columns = np.nonzero(truth)
    a, b = np.asarray(nodes)[rows], np.asarray(others)[columns]
    found = (a >= 0) & (b >= 0)
    scores = np.zeros(len(rows))
    scores[found] = np.asarray(probability)[a[found], b[found]]
    return scores


def instance_details(target: AttackTarget, prediction: Any, sample: AttackSample) -> list[Mapping[str, float]]:
    """What a target says about each instance; nothing where it has no more than scores."""
    return list(target.instance_details(prediction, sample)) if isinstance(target, DetailedTarget) else []


def surface_scores(target: AttackTarget, prediction: Any, sample: AttackSample) -> np.ndarray:
    """(S,) score of what is seen on each surface though it is not there; see ``check_appear``."""
    check_appear(target)
    scores: np.ndarray = target.surface_scores(prediction, sample)  # type: ignore[attr-defined]
    return scores


def check_appear(target: Any) -> None:
    """Refuse the goal ``appear`` for images where its success cannot be told.

    Raises:
        PerceptionError: The target has no ``surface_scores``.
    """
    while hasattr(target, "target"):  # a defence scores it as its victim does
        target = target.target
    if not isinstance(target, AppearTarget):
        raise PerceptionError(f"goal 'appear': {type(target).__name__} cannot score it: it has no surface_scores")


def check_goal(target: Any, goal: str) -> None:
    """Refuse a goal before work starts.

    Raises:
        PerceptionError: Unknown, or not supported by the target.
    """
    if goal not in target.goals:
        known = "unknown goal" if goal not in GOALS else "goal not supported by this target"
        raise PerceptionError(f"attack goal {goal!r}: {known}; supported: {', '.join(target.goals)}")
