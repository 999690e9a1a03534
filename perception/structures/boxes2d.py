"""Axis-aligned boxes in an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from perception.errors import PerceptionError
from perception.structures.checks import array_field
from perception.structures.result import Result

__all__ = ["Boxes2D"]


@dataclass(frozen=True, eq=False)
class Boxes2D(Result):
    """Detected objects in one image.

    Attributes:
        frame_id: Camera name.
        image_size: (width, height) in pixels.
        boxes: (N, 4) float32 x0, y0, x1, y1 in pixels, x1 >= x0 and y1 >= y0.
        scores: (N,) float32 in [0, 1].
        labels: (N,) int64 indices into ``class_names``.
        class_names: Names of the classes.
    """

    KIND: ClassVar[str] = "boxes_2d"

    frame_id: str
    image_size: tuple[int, int]
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_size", tuple(int(size) for size in self.image_size))
        object.__setattr__(self, "class_names", tuple(str(name) for name in self.class_names))
        boxes = array_field("Boxes2D", "boxes", self.boxes, (None, 4), np.float32)
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "scores", array_field("Boxes2D", "scores", self.scores, (len(boxes),), np.float32))
        object.__setattr__(self, "labels", array_field("Boxes2D", "labels", self.labels, (len(boxes),), np.int64))
        if len(boxes) and (self.labels.min() < 0 or self.labels.max() >= len(self.class_names)):
            found = f"{self.labels.min()}..{self.labels.max()}"
            raise PerceptionError(f"Boxes2D.labels: expected 0..{len(self.class_names) - 1}, found {found}")

    def __len__(self) -> int:
        return len(self.boxes)

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """COCO result records: ``bbox`` = x, y, width, height; ``category_id`` = label + 1."""
        xywh = self.boxes.astype(np.float64)
        xywh[:, 2:] -= xywh[:, :2]
        return [
            {"image_id": image_id, "category_id": int(label) + 1, "bbox": xywh[i].tolist(), "score": float(score)}
            for i, (label, score) in enumerate(zip(self.labels, self.scores))
        ]

    @classmethod
    def from_coco(
        cls,
        records: Sequence[Mapping[str, Any]],
        image_size: tuple[int, int],
        class_names: Sequence[str],
        frame_id: str = "front",
    ) -> Boxes2D:
        """Read COCO annotations or results of one image; annotations without ``score`` get 1."""
        xywh = np.array([record["bbox"] for record in records], dtype=np.float32).reshape(-1, 4)
        boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        scores = [record.get("score", 1.0) for record in records]
        labels = [int(record["category_id"]) - 1 for record in records]
        return cls(frame_id, image_size, boxes, np.array(scores), np.array(labels, dtype=np.int64), tuple(class_names))
