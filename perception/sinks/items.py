"""Results of every kind as one flat list of things, for tables: CSV, Parquet, GeoJSON."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from perception.errors import UnknownNameError
from perception.structures import BevGrid, Boxes2D, Boxes3D, DensityMap, LaneGraph, Lanes2D, LaneSegments, Result

__all__ = ["AREA_LABELS", "Item", "count_of", "finite", "items_of"]

AREA_LABELS = {1: "pedestrian_crossing", 2: "road_boundary"}
"""Names of ``LaneSegments.area_labels``."""

_LINKED = 0.5
"""Confidence from which two things count as connected."""


@dataclass(frozen=True, eq=False)
class Item:
    """One lane, box, person, area or class of cells.

    Lengths are pixels where ``frame_id`` is a camera and metres elsewhere.

    Attributes:
        label: Class: ``lane``, ``centerline``, ``lane_segment``, an area's name, ``person``, or the class of a box.
        frame_id: Camera, ``"ego"`` or ``"world"``.
        score: Confidence, or None.
        position: Middle of a box, place of a person: x, y[, z].
        size: Length, width, height of a box in space; None, width, height of one in an image.
        yaw: Radians counter-clockwise, of boxes in space.
        velocity: m/s along x and y, of boxes in space.
        track_id: Identity over time, or None.
        value: Of a grid: number of cells of this class, or mean of this layer.
        points: (N, 2 or 3) polyline.
        links: Numbers of the items of this result that follow this lane or govern it.
    """

    label: str
    frame_id: str
    score: float | None = None
    position: tuple[float, ...] = ()
    size: tuple[float | None, ...] = ()
    yaw: float | None = None
    velocity: tuple[float, ...] = ()
    track_id: int | None = None
    value: float | None = None
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    links: tuple[int, ...] = ()


def items_of(result: Result) -> list[Item]:
    """All things in a result, in its order.

    Raises:
        UnknownNameError: The kind of result is not known here.
    """
    if result.KIND not in _MAKERS:
        raise UnknownNameError("result kind", result.KIND, _MAKERS)
    return _MAKERS[result.KIND](result)


def count_of(result: Result) -> float:
    """How much a result holds: people of a density map, else the number of lanes, boxes, segments; 1 for a grid."""
    if isinstance(result, DensityMap):
        return result.count
    return float(len(result)) if hasattr(result, "__len__") else 1.0


def finite(value: Any) -> float | None:
    """A number as float; None for None and for what is not finite."""
    return None if value is None or not math.isfinite(value) else float(value)


def _lanes_2d(result: Lanes2D) -> list[Item]:
    assert result.scores is not None
    return [Item("lane", result.frame_id, float(s), points=p) for p, s in zip(result.lanes, result.scores)]


def _boxes_2d(result: Boxes2D) -> list[Item]:
    found = []
    for box, score, label in zip(result.boxes.tolist(), result.scores.tolist(), result.labels.tolist()):
        x0, y0, x1, y1 = box
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        found.append(Item(result.class_names[label], result.frame_id, score, middle, (None, x1 - x0, y1 - y0)))
    return found


def _boxes_3d(result: Boxes3D) -> list[Item]:
    columns = (result.boxes, result.scores, result.labels, result.velocities, result.track_ids)
    return [
        Item(
            result.class_names[label],
            result.frame_id,
            score,
            tuple(box[:3]),
            tuple(box[3:6]),
            box[6],
            tuple(velocity),
            track if track >= 0 else None,
        )
        for box, score, label, velocity, track in zip(*(column.tolist() for column in columns))
    ]


def _density_map(result: DensityMap) -> list[Item]:
    assert result.points is not None
    return [Item("person", result.frame_id, position=tuple(point)) for point in result.points.tolist()]


def _bev_grid(result: BevGrid) -> list[Item]:
    found = []
    for name, layer in result.layers.items():
        data = np.asarray(layer)
        if name != "semantics":
            mean = float(np.nanmean(data)) if np.isfinite(data).any() else math.nan
            found.append(Item(name, result.frame_id, value=mean))
            continue
        for index, count in zip(*(part.tolist() for part in np.unique(data, return_counts=True))):
            if index >= 0:
                known = index < len(result.class_names)
                label = result.class_names[int(index)] if known else f"class {index}"
                found.append(Item(label, result.frame_id, value=float(count)))
    return found


def _lane_segments(result: LaneSegments) -> list[Item]:
    """Segments, areas, elements."""
    areas = [
        Item(AREA_LABELS.get(label, f"area {label}"), result.frame_id, float(score), points=area)
        for area, label, score in zip(result.areas, result.area_labels.tolist(), result.area_scores)
    ]
    return _lanes(result, "lane_segment", len(result) + len(areas)) + areas + _elements(result)


def _lane_graph(result: LaneGraph) -> list[Item]:
    """Centerlines, elements."""
    return _lanes(result, "centerline", len(result)) + _elements(result)


def _lanes(result: LaneGraph | LaneSegments, label: str, elements_from: int) -> list[Item]:
    return [
        Item(
            label,
            result.frame_id,
            float(result.scores[i]),
            points=line,
            links=(*_linked(result.lane_lane[i]), *(elements_from + j for j in _linked(result.lane_element[i]))),
        )
        for i, line in enumerate(result.centerlines)
    ]


def _elements(result: LaneGraph | LaneSegments) -> list[Item]:
    return [] if result.elements is None else _boxes_2d(result.elements)


def _linked(row: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(row > _LINKED).tolist())


_MAKERS: dict[str, Callable[[Any], list[Item]]] = {
    "lanes_2d": _lanes_2d,
    "boxes_2d": _boxes_2d,
    "boxes_3d": _boxes_3d,
    "density_map": _density_map,
    "bev_grid": _bev_grid,
    "lane_segments": _lane_segments,
    "lane_graph": _lane_graph,
}
