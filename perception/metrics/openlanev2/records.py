"""From an ``annotation`` or ``predictions`` block of the OpenLane-V2 format to a :class:`Scene`, with every check.

The format: spec openlanev2_metrics sections 1.3, 1.4 and 1.7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import InputError
from perception.metrics.openlanev2.scene import AREA_CATEGORIES, ATTRIBUTES, CENTERLINE, Scene
from perception.ops.polyline_distance import Polylines, join, pack, resample

LANE_KEY = {"centerline": "lane_centerline", "lane_segment": "lane_segment"}
LINE_KEYS = {"centerline": ("points",), "lane_segment": ("centerline", "left_laneline", "right_laneline")}
GRAPH_KEYS = {"centerline": ("topology_lclc", "topology_lcte"), "lane_segment": ("topology_lsls", "topology_lste")}
STRIDE = 20
LINE_POINTS = 10
AREA_POINTS = 20


@dataclass(frozen=True)
class Place:
    """Where a value was read, for error messages.

    Attributes:
        path: The file.
        frame: The frame in it.
    """

    path: Path
    frame: str

    def error(self, record: str, expected: str, found: Any) -> InputError:
        """Return the error that names file, frame, record, what was expected and what was found."""
        text = found if isinstance(found, str) else repr(found)
        return InputError(self.path, f"frame {self.frame}, {record}", expected, text[:80])


def parse_scene(place: Place, block: Mapping[str, Any], track: str, predicted: bool) -> Scene:
    """Turn a block into a scene.

    Args:
        place: File and frame, for errors.
        block: ``lane_centerline`` or ``lane_segment``, ``traffic_element``, ``area`` (lane segments) and both matrices.
        track: ``"centerline"`` or ``"lane_segment"``.
        predicted: Whether every object must have a ``confidence``; otherwise it counts as 1 and edges must be 0 or 1.

    Raises:
        InputError: A key is missing, an id repeated, an array of the wrong shape or not finite, a class unknown.
    """
    lane_key = LANE_KEY[track]
    lanes, elements = _objects(place, block, lane_key), _objects(place, block, "traffic_element")
    groups = [(lane_key, lanes), ("traffic_element", elements)]
    for part in [groups] if predicted and track == CENTERLINE else [[group] for group in groups]:
        _check_ids(place, part)
    lines = tuple(pack([_points(place, lane_key, lane, key, 3) for lane in lanes]) for key in LINE_KEYS[track])
    boxes = [_points(place, "traffic_element", element, "points", 2) for element in elements]
    for element, box in zip(elements, boxes):
        if box.shape != (2, 2):
            raise place.error(_name("traffic_element", element, "points"), "shape (2, 2)", f"shape {box.shape}")
    scene = Scene(
        lines,
        _confidences(place, lane_key, lanes, predicted),
        _edges(place, block, GRAPH_KEYS[track][0], (len(lanes), len(lanes)), predicted),
        np.array(boxes).reshape(-1, 4),
        _labels(place, "traffic_element", elements, "attribute", range(len(ATTRIBUTES))),
        _confidences(place, "traffic_element", elements, predicted),
        _edges(place, block, GRAPH_KEYS[track][1], (len(lanes), len(elements)), predicted),
    )
    if track == CENTERLINE:
        return scene
    areas = _objects(place, block, "area")
    _check_ids(place, [("area", areas)])
    return replace(
        scene,
        areas=pack([_points(place, "area", area, "points", 3) for area in areas]),
        area_labels=_labels(place, "area", areas, "category", tuple(AREA_CATEGORIES)),
        area_scores=_confidences(place, "area", areas, predicted),
    )


def prepare(scene: Scene) -> Scene:
    """Thin out raw annotation as the devkit's collections of val and test do (spec openlanev2_metrics section 1.6).

    Centerlines of more than 20 points keep every 20th (201 -> 11); lines of lane segments get 10 points and areas 20,
    equally spaced along their length. What has few points or the right number already is left as it is.
    """
    if scene.track == CENTERLINE:
        lanes = [line[::STRIDE] if len(line) > STRIDE else line for line in scene.lanes[0]]
        return replace(scene, lanes=(pack(lanes),))
    lines = tuple(_resampled(lines, LINE_POINTS) for lines in scene.lanes)
    return replace(scene, lanes=lines, areas=_resampled(scene.areas, AREA_POINTS))


def _resampled(lines: Polylines, count: int) -> Polylines:
    if not len(lines) or (np.diff(lines.offsets) == count).all():
        return lines
    return join(resample(lines, count).reshape(-1, 3), [count] * len(lines))


def _name(key: str, item: Mapping[str, Any], field: str) -> str:
    return f"{key} {item.get('id')!r}, {field}"


def _objects(place: Place, block: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    items = block.get(key)
    if not isinstance(items, list):
        raise place.error(key, "a list of objects", type(items).__name__ if key in block else "nothing")
    for index, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise place.error(f"{key}[{index}]", "an object", item)
        if not isinstance(item.get("id"), int | str):
            raise place.error(f"{key}[{index}], id", "a number or text", item.get("id", "nothing"))
    return items


def _check_ids(place: Place, groups: Sequence[tuple[str, list[Mapping[str, Any]]]]) -> None:
    """Raise when an id occurs twice; the devkit counts predicted centerlines and elements as one group."""
    seen: dict[int | str, str] = {}
    for key, items in groups:
        for index, item in enumerate(items):
            here, name = f"{key}[{index}]", item["id"]
            if name in seen:
                raise place.error(f"{here}, id", "an id of its own", f"{name!r} as of {seen[name]}")
            seen[name] = here


def _points(place: Place, key: str, item: Mapping[str, Any], field: str, columns: int) -> np.ndarray:
    record, wanted = _name(key, item, field), f"shape (P, {columns}), P >= 1"
    if field not in item:
        raise place.error(record, wanted, "nothing")
    points = _numbers(place, record, item[field], wanted)
    if points.ndim != 2 or points.shape[1] != columns or not len(points):
        raise place.error(record, wanted, f"shape {points.shape}")
    return points


def _numbers(place: Place, record: str, value: Any, wanted: str) -> np.ndarray:
    """Return a value as finite float64 array."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise place.error(record, wanted, "rows of different length") from None
    if array.size and array.dtype.kind not in "iufb":
        raise place.error(record, f"numbers of {wanted}", f"{array.dtype} values")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        index = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
        raise place.error(record, "finite numbers", f"{array[index]} at {list(index)}")
    return array


def _confidences(place: Place, key: str, items: list[Mapping[str, Any]], predicted: bool) -> np.ndarray:
    values = np.ones(len(items))
    for index, item in enumerate(items):
        value = item.get("confidence", None if predicted else 1.0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise place.error(_name(key, item, "confidence"), "a finite number", "nothing" if value is None else value)
        values[index] = value
    return values


def _labels(place: Place, key: str, items: list[Mapping[str, Any]], field: str, known: Sequence[int]) -> np.ndarray:
    for item in items:
        value = item.get(field)
        if isinstance(value, bool) or not isinstance(value, int) or value not in known:
            expected = f"a number from {known[0]} to {known[-1]}"
            raise place.error(_name(key, item, field), expected, "nothing" if value is None else value)
    return np.array([item[field] for item in items], np.int64)


def _edges(place: Place, block: Mapping[str, Any], key: str, shape: tuple[int, int], predicted: bool) -> np.ndarray:
    wanted = f"shape {shape}"
    if key not in block:
        raise place.error(key, wanted, "nothing")
    edges = _numbers(place, key, block[key], wanted)
    if edges.size == 0 == shape[0] * shape[1] and len(edges) in (0, shape[0]):
        return np.zeros(shape)
    if edges.shape != shape:
        raise place.error(key, wanted, f"shape {edges.shape}")
    if not predicted and not np.isin(edges, (0, 1)).all():
        raise place.error(key, "0 or 1", edges[~np.isin(edges, (0, 1))][0])
    return edges
