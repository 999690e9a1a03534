"""Vectorised road results in the ego frame: lane segments and the lane graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from perception.errors import PerceptionError
from perception.structures.boxes2d import Boxes2D
from perception.structures.checks import array_field, polylines_field
from perception.structures.result import Result

__all__ = ["LINE_TYPES", "LaneGraph", "LaneSegments"]

LINE_TYPES = ("none", "solid", "dashed")
"""Meaning of 0, 1, 2 in ``LaneSegments.line_types``."""


def _empty(*shape: int) -> Any:
    return field(default_factory=lambda: np.zeros(shape, dtype=np.float32))


@dataclass(frozen=True, eq=False)
class LaneSegments(Result):
    """Lane segments with their boundaries, and areas such as pedestrian crossings.

    Attributes:
        frame_id: ``"ego"``.
        centerlines: N polylines (P, 3) float32 ego metres, in driving direction.
        left: N left boundaries (P, 3).
        right: N right boundaries (P, 3).
        line_types: (N, 2) int64, left and right, indices into :data:`LINE_TYPES`.
        scores: (N,) float32.
        lane_lane: (N, N) float32, entry (i, j): confidence that segment j follows segment i.
        areas: M closed polygons or lines (P, 3).
        area_labels: (M,) int64: 1 pedestrian crossing, 2 road boundary.
        area_scores: (M,) float32.
        elements: K traffic elements in the front camera, or None for none.
        lane_element: (N, K) float32, confidence that element k governs segment i.
    """

    KIND: ClassVar[str] = "lane_segments"

    frame_id: str
    centerlines: tuple[np.ndarray, ...] = ()
    left: tuple[np.ndarray, ...] = ()
    right: tuple[np.ndarray, ...] = ()
    line_types: np.ndarray = _empty(0, 2)
    scores: np.ndarray = _empty(0)
    lane_lane: np.ndarray = _empty(0, 0)
    areas: tuple[np.ndarray, ...] = ()
    area_labels: np.ndarray = _empty(0)
    area_scores: np.ndarray = _empty(0)
    elements: Boxes2D | None = None
    lane_element: np.ndarray = _empty(0, 0)

    def __post_init__(self) -> None:
        for name in ("centerlines", "left", "right", "areas"):
            object.__setattr__(self, name, polylines_field("LaneSegments", name, getattr(self, name), 3))
        n, m = len(self.centerlines), len(self.areas)
        if (len(self.left), len(self.right)) != (n, n):
            raise PerceptionError(
                f"LaneSegments: expected {n} left and right boundaries, found {len(self.left)} and {len(self.right)}"
            )
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            "line_types": ((n, 2), np.int64),
            "scores": ((n,), np.float32),
            "lane_lane": ((n, n), np.float32),
            "area_labels": ((m,), np.int64),
            "area_scores": ((m,), np.float32),
        }
        for name, (shape, dtype) in shapes.items():
            object.__setattr__(self, name, array_field("LaneSegments", name, getattr(self, name), shape, dtype))
        governed = _graph("LaneSegments", "lane_element", self.lane_element, (n, len(self.elements or ())))
        object.__setattr__(self, "lane_element", governed)

    def __len__(self) -> int:
        return len(self.centerlines)


@dataclass(frozen=True, eq=False)
class LaneGraph(Result):
    """Centerlines, traffic elements, and which belongs to which.

    Attributes:
        frame_id: ``"ego"``.
        centerlines: N polylines (P, 3) float32 ego metres, in driving direction.
        scores: (N,) float32.
        elements: M traffic elements in the front camera, or None for none.
        lane_lane: (N, N) float32, entry (i, j): confidence that lane j follows lane i.
        lane_element: (N, M) float32, confidence that element j governs lane i.
    """

    KIND: ClassVar[str] = "lane_graph"

    frame_id: str
    centerlines: tuple[np.ndarray, ...] = ()
    scores: np.ndarray = _empty(0)
    elements: Boxes2D | None = None
    lane_lane: np.ndarray = _empty(0, 0)
    lane_element: np.ndarray = _empty(0, 0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "centerlines", polylines_field("LaneGraph", "centerlines", self.centerlines, 3))
        n, m = len(self.centerlines), 0 if self.elements is None else len(self.elements)
        shapes: dict[str, tuple[int, ...]] = {"scores": (n,), "lane_lane": (n, n), "lane_element": (n, m)}
        for name, shape in shapes.items():
            object.__setattr__(self, name, _graph("LaneGraph", name, getattr(self, name), shape))

    def __len__(self) -> int:
        return len(self.centerlines)


def _graph(owner: str, name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A float32 array of a shape; any array without entries stands for one of a shape without entries."""
    array = np.asarray(value, dtype=np.float32)
    array = array.reshape(shape) if array.size == 0 == np.prod(shape) else array
    return array_field(owner, name, array, shape, np.float32)
