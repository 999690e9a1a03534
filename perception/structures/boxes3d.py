"""Upright boxes in space."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from perception.errors import PerceptionError
from perception.structures.checks import array_field
from perception.structures.result import Result

__all__ = ["Boxes3D"]

EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))
"""Pairs of corners, see :meth:`Boxes3D.corners`, that an edge joins."""


def _none() -> Any:
    return field(default_factory=lambda: np.zeros(0, np.float32))


@dataclass(frozen=True, eq=False)
class Boxes3D(Result):
    """Objects as upright boxes.

    Attributes:
        frame_id: ``"ego"`` or ``"world"``.
        boxes: (N, 7) float32 x, y, z of the middle, length, width, height in metres (not negative), yaw in radians.
        scores: (N,) float32 in [0, 1].
        labels: (N,) int64 indices into ``class_names``.
        class_names: Names of the classes.
        velocities: (N, 2) float32 m/s over ground along x and y of the frame; zeros when left out.
        track_ids: (N,) int64 identity over time; -1 when left out.
    """

    KIND: ClassVar[str] = "boxes_3d"

    frame_id: str
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    velocities: np.ndarray = _none()
    track_ids: np.ndarray = _none()

    def __post_init__(self) -> None:
        if self.frame_id not in ("ego", "world"):
            raise PerceptionError(f"Boxes3D.frame_id: expected 'ego' or 'world', found {self.frame_id!r}")
        object.__setattr__(self, "class_names", tuple(str(name) for name in self.class_names))
        boxes = array_field("Boxes3D", "boxes", self.boxes, (None, 7), np.float32)
        count = len(boxes)
        velocities = self.velocities if np.size(self.velocities) else np.zeros((count, 2))
        track_ids = self.track_ids if np.size(self.track_ids) else np.full(count, -1)
        values: tuple[tuple[str, Any, tuple[int, ...], Any], ...] = (
            ("boxes", boxes, (count, 7), np.float32),
            ("scores", self.scores, (count,), np.float32),
            ("labels", self.labels, (count,), np.int64),
            ("velocities", velocities, (count, 2), np.float32),
            ("track_ids", track_ids, (count,), np.int64),
        )
        for name, value, shape, dtype in values:
            object.__setattr__(self, name, array_field("Boxes3D", name, value, shape, dtype))
        if count and (self.labels.min() < 0 or self.labels.max() >= len(self.class_names)):
            found = f"{self.labels.min()}..{self.labels.max()}"
            raise PerceptionError(f"Boxes3D.labels: expected 0..{len(self.class_names) - 1}, found {found}")
        if (boxes[:, 3:6] < 0).any():
            raise PerceptionError(f"Boxes3D.boxes: expected sizes of 0 or more, found {boxes[:, 3:6].min()}")

    def __len__(self) -> int:
        return len(self.boxes)

    def corners(self) -> np.ndarray:
        """(N, 8, 3) float64 corners: bottom front left, front right, rear right, rear left, then the top ones."""
        boxes = self.boxes.astype(np.float64)
        unit = np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)]) / 2
        local = unit[None] * boxes[:, None, 3:5]
        cos, sin = np.cos(boxes[:, 6, None]), np.sin(boxes[:, 6, None])
        x = local[..., 0] * cos - local[..., 1] * sin + boxes[:, 0, None]
        y = local[..., 0] * sin + local[..., 1] * cos + boxes[:, 1, None]
        layers = [np.stack([x, y, np.broadcast_to(boxes[:, 2, None] + side, x.shape)], -1)
                  for side in (-boxes[:, 5, None] / 2, boxes[:, 5, None] / 2)]  # fmt: skip
        return np.concatenate(layers, axis=1)

    def moved(self, pose: np.ndarray, frame_id: str) -> Boxes3D:
        """The same objects in another frame.

        Args:
            pose: (4, 4) ``new_from_old``; boxes stay upright, so tilt moves their middles only.
            frame_id: Name of the new frame.
        """
        pose = np.asarray(pose, np.float64)
        yaw = float(np.arctan2(pose[1, 0], pose[0, 0]))
        boxes = self.boxes.astype(np.float64)
        boxes[:, :3] = boxes[:, :3] @ pose[:3, :3].T + pose[:3, 3]
        boxes[:, 6] = np.mod(boxes[:, 6] + yaw + np.pi, 2 * np.pi) - np.pi
        turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
        velocities = self.velocities.astype(np.float64) @ turn.T
        return Boxes3D(frame_id, boxes, self.scores, self.labels, self.class_names, velocities, self.track_ids)
