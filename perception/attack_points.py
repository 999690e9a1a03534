"""What a LiDAR model must offer to be attacked: returns that are added to sweeps, or replaced by a board's.

The counterpart of :mod:`perception.attack` for models that see points. Such targets register in ``ATTACK_TARGETS`` too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from perception.errors import PerceptionError
from perception.geometry.transforms import invert_pose

__all__ = ["PointAttackTarget", "PointSample"]


@dataclass(frozen=True, eq=False)
class PointSample:
    """The sweeps up to one moment with their truth.

    Attributes:
        name: Unique name.
        clouds: (N, 3) float32 of each sweep in the car's frame at its time, oldest first.
        poses: (4, 4) float64 ``world_from_ego`` of each sweep.
        sensors: (3,) float64 place of the LiDAR of each sweep, in the car's frame.
        times_ns: Time of each sweep.
        truth: What the target's plugin calls truth.
        scene: Scene it belongs to; intervals are drawn over scenes.
        added: (M, 3) float32 returns that an attack put into the newest sweep; cells they lie in do not count.
        meta: Anything else.

    Raises:
        PerceptionError: Lists of different lengths, or clouds of a wrong shape.
    """

    name: str
    clouds: tuple[np.ndarray, ...]
    poses: tuple[np.ndarray, ...]
    sensors: tuple[np.ndarray, ...]
    times_ns: tuple[int, ...]
    truth: Any = None
    scene: str = ""
    added: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counts = [len(part) for part in (self.clouds, self.poses, self.sensors, self.times_ns)]
        if not counts[0] or len(set(counts)) != 1:
            found = f"clouds, poses, sensors and times {counts}"
            raise PerceptionError(f"sample {self.name}: expected one of each for every sweep, found {found}")
        for number, cloud in enumerate(self.clouds):
            if cloud.ndim != 2 or cloud.shape[1] != 3:
                raise PerceptionError(f"sample {self.name}: sweep {number}: expected (N, 3), found {cloud.shape}")

    def past_from_newest(self, number: int) -> np.ndarray:
        """(4, 4) that brings points of the newest sweep's frame into the frame of sweep ``number``."""
        return invert_pose(np.asarray(self.poses[number])) @ np.asarray(self.poses[-1])

    def changed(self, clouds: Sequence[np.ndarray], added: np.ndarray) -> PointSample:
        """The sample with other clouds."""
        return replace(self, clouds=tuple(clouds), added=np.asarray(added, np.float32).reshape(-1, 3))


@runtime_checkable
class PointAttackTarget(Protocol):
    """A LiDAR model under attack; the attacks know only this.

    Attributes:
        goals: Which of ``perception.attack.GOALS`` it supports.
        differentiable: Whether ``point_gains`` works; False leaves boards and random search.
    """

    goals: tuple[str, ...]
    differentiable: bool

    def loss(self, samples: Sequence[PointSample], goal: str) -> Tensor:
        """(B,) what an attacker minimises."""
        ...

    def point_gains(self, sample: PointSample, points: np.ndarray, goal: str, past: bool) -> np.ndarray:
        """(K,) first-order fall of the loss for one more return at each of (K, 3) points of the newest frame.

        Args:
            sample: As it is.
            points: Where returns could be put.
            goal: What for.
            past: Put them into all sweeps, not only the newest.
        """
        ...

    def predict(self, samples: Sequence[PointSample]) -> list[Any]:
        """Final outputs, one result a sample."""
        ...

    def instances(self, sample: PointSample) -> list[dict[str, Any]]:
        """``label`` and numbers (``distance_m``) of every true instance."""
        ...

    def instance_scores(self, prediction: Any, sample: PointSample) -> np.ndarray:
        """(G,) how right the prediction is about each instance, 0..1."""
        ...

    def task_metric(self, predictions: Sequence[Any], samples: Sequence[PointSample]) -> dict[str, float]:
        """The plugin's own measure; cells with ``added`` returns do not count."""
        ...

    def picture(self, sample: PointSample, prediction: Any) -> np.ndarray:
        """(H, W, 3) uint8 RGB of what the model sees and says."""
        ...
