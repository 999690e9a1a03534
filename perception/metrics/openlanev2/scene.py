"""One side of one frame, truth or prediction, as arrays (spec openlanev2_metrics section 1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from perception.ops.polyline_distance import Polylines, pack

CENTERLINE, LANE_SEGMENT = TRACKS = ("centerline", "lane_segment")
"""The two tracks: centerlines alone, or centerline, left and right line of lane segments, and areas."""
ATTRIBUTES = (
    "unknown",
    "red",
    "green",
    "yellow",
    "go_straight",
    "turn_left",
    "turn_right",
    "no_left_turn",
    "no_right_turn",
    "u_turn",
    "no_u_turn",
    "slight_left",
    "slight_right",
)
"""Attributes of traffic elements, by their number."""
AREA_CATEGORIES = {1: "pedestrian_crossing", 2: "road_boundary"}


def _empty(*shape: int, dtype: type = np.float64) -> Any:
    return field(default_factory=lambda: np.zeros(shape, dtype))


@dataclass(frozen=True, eq=False)
class Scene:
    """Lanes, traffic elements and areas of a frame, and what belongs to what.

    Attributes:
        lanes: ``(centerlines,)`` or ``(centerlines, left lines, right lines)`` of N lanes, ego metres, each polyline
            with at least one vertex, all finite.
        lane_scores: (N,) float64 confidences; not used of truth.
        lane_lane: (N, N) float64, entry (i, j) states that lane j follows lane i: 0 or 1 of truth, else a confidence.
        boxes: (K, 4) float64 traffic elements as left, top, right, bottom in pixels of the front camera.
        box_labels: (K,) int64 attributes, indices into :data:`ATTRIBUTES`.
        box_scores: (K,) float64.
        lane_element: (N, K) float64, element k governs lane i.
        areas: M polygons or lines, ego metres.
        area_labels: (M,) int64, keys of :data:`AREA_CATEGORIES`.
        area_scores: (M,) float64.

    Raises:
        ValueError: Names the array whose shape does not fit.
    """

    lanes: tuple[Polylines, ...]
    lane_scores: np.ndarray = _empty(0)
    lane_lane: np.ndarray = _empty(0, 0)
    boxes: np.ndarray = _empty(0, 4)
    box_labels: np.ndarray = _empty(0, dtype=np.int64)
    box_scores: np.ndarray = _empty(0)
    lane_element: np.ndarray = _empty(0, 0)
    areas: Polylines = field(default_factory=lambda: pack([]))
    area_labels: np.ndarray = _empty(0, dtype=np.int64)
    area_scores: np.ndarray = _empty(0)

    def __post_init__(self) -> None:
        if len(self.lanes) not in (1, 3) or len({len(lines) for lines in self.lanes}) != 1:
            raise ValueError(f"lanes: expected 1 or 3 equally many polylines, found {[len(x) for x in self.lanes]}")
        n, k, m = len(self.lanes[0]), len(self.boxes), len(self.areas)
        shapes: dict[str, tuple[tuple[int, ...], type]] = {
            "lane_scores": ((n,), np.float64),
            "lane_lane": ((n, n), np.float64),
            "boxes": ((k, 4), np.float64),
            "box_labels": ((k,), np.int64),
            "box_scores": ((k,), np.float64),
            "lane_element": ((n, k), np.float64),
            "area_labels": ((m,), np.int64),
            "area_scores": ((m,), np.float64),
        }
        for name, (shape, dtype) in shapes.items():
            array: np.ndarray = np.ascontiguousarray(getattr(self, name), dtype)
            if array.shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, found {array.shape}")
            object.__setattr__(self, name, array)
        for lines in (*self.lanes, self.areas):
            if not (np.diff(lines.offsets) > 0).all() or not np.isfinite(lines.points).all():
                raise ValueError("polylines: expected at least one vertex in each, all finite")

    @property
    def track(self) -> str:
        """Which of :data:`TRACKS` the lanes are for."""
        return CENTERLINE if len(self.lanes) == 1 else LANE_SEGMENT

    def __len__(self) -> int:
        return len(self.lanes[0])
