"""Everything an ``annotation`` or ``predictions`` block says, and the way back, without loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from perception.datasets.openlanev2.names import category_of
from perception.metrics.openlanev2.records import GRAPH_KEYS, LANE_KEY, LINE_KEYS, Place, parse_scene
from perception.metrics.openlanev2.scene import ATTRIBUTES, LANE_SEGMENT, Scene
from perception.ops.polyline_distance import pack
from perception.structures import Boxes2D, LaneGraph, LaneSegments

__all__ = ["Annotation", "from_result", "read_block", "to_result"]

Id = int | str
TYPE_KEYS = ("left_laneline_type", "right_laneline_type")


@dataclass(frozen=True, eq=False)
class Annotation:
    """A frame's truth or prediction with all that scores do not look at.

    Attributes:
        scene: Geometry, classes, confidences and graphs.
        lane_ids: N ids as they stand in the file.
        intersections: (N,) bool, the lane is an intersection or connector.
        line_types: (N, 2) int64 left and right line: 0 none, 1 solid, 2 dashed; zeros for centerlines.
        element_ids: K ids.
        categories: (K,) int64: 1 traffic light, 2 road sign.
        area_ids: M ids.
    """

    scene: Scene
    lane_ids: tuple[Id, ...] = ()
    intersections: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    line_types: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    element_ids: tuple[Id, ...] = ()
    categories: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    area_ids: tuple[Id, ...] = ()

    def __post_init__(self) -> None:
        n, k, m = len(self.scene), len(self.scene.boxes), len(self.scene.areas)
        shapes = {"lane_ids": n, "intersections": n, "line_types": n, "element_ids": k, "categories": k, "area_ids": m}
        for name, count in shapes.items():
            if len(getattr(self, name)) != count:
                raise ValueError(f"{name}: expected {count} entries, found {len(getattr(self, name))}")

    @property
    def track(self) -> str:
        """``"centerline"`` or ``"lane_segment"``."""
        return self.scene.track

    def to_block(self, predicted: bool = False, arrays: bool = False) -> dict[str, Any]:
        """The block of the official format.

        Args:
            predicted: Write confidences, and edges as confidences; otherwise edges become 0 and 1.
            arrays: Leave numpy arrays (float32 points, float32 or int8 edges) instead of lists, as pickles hold them.
        """
        scene, track = self.scene, self.track
        lanes = []
        for i, name in enumerate(self.lane_ids):
            lane: dict[str, Any] = {"id": name}
            for key, lines in zip(LINE_KEYS[track], scene.lanes):
                lane[key] = _points(lines[i], arrays)
            if track == LANE_SEGMENT:
                lane |= {key: int(self.line_types[i, side]) for side, key in enumerate(TYPE_KEYS)}
            lane["is_intersection_or_connector"] = bool(self.intersections[i])
            lanes.append(lane | _confidence(scene.lane_scores[i], predicted))
        elements = [
            {"id": name, "category": int(category), "attribute": int(attribute), "points": _points(corners, arrays)}
            | _confidence(score, predicted)
            for name, category, attribute, corners, score in zip(
                self.element_ids, self.categories, scene.box_labels, scene.boxes.reshape(-1, 2, 2), scene.box_scores
            )
        ]
        block: dict[str, Any] = {LANE_KEY[track]: lanes, "traffic_element": elements}
        if track == LANE_SEGMENT:
            block["area"] = [
                {"id": name, "category": int(label), "points": _points(line, arrays)} | _confidence(score, predicted)
                for name, label, line, score in zip(self.area_ids, scene.area_labels, scene.areas, scene.area_scores)
            ]
        for key, edges in zip(GRAPH_KEYS[track], (scene.lane_lane, scene.lane_element)):
            typed = edges.astype(np.float32) if predicted else edges.astype(np.int8)
            block[key] = typed if arrays else (edges if predicted else typed).tolist()
        return block


def read_block(place: Place, block: Mapping[str, Any], track: str, predicted: bool) -> Annotation:
    """Read a block; see :func:`perception.metrics.openlanev2.records.parse_scene` for what is checked.

    Raises:
        InputError: Names file, frame, object and field.
    """
    scene = parse_scene(place, block, track, predicted)
    lanes, elements, areas = block[LANE_KEY[track]], block["traffic_element"], block.get("area", [])
    types = np.zeros((len(lanes), 2), np.int64)
    if track == LANE_SEGMENT:
        for index, lane in enumerate(lanes):
            for side, key in enumerate(TYPE_KEYS):
                types[index, side] = _number(place, lane, key, (0, 1, 2), 0 if predicted else None)
    categories = [_number(place, item, "category", (1, 2), category_of(item["attribute"])) for item in elements]
    return Annotation(
        scene,
        tuple(lane["id"] for lane in lanes),
        np.array([bool(lane.get("is_intersection_or_connector", False)) for lane in lanes], bool),
        types,
        tuple(item["id"] for item in elements),
        np.array(categories, np.int64),
        tuple(item["id"] for item in areas) if track == LANE_SEGMENT else (),
    )


def to_result(annotation: Annotation, camera: str, image_size: tuple[int, int]) -> LaneGraph | LaneSegments:
    """The result type of a plugin.

    Args:
        annotation: Of one frame.
        camera: Front camera, whose pixels the boxes of elements are in.
        image_size: Its (width, height).
    """
    scene = annotation.scene
    boxes = np.stack([scene.boxes.reshape(-1, 2, 2).min(1), scene.boxes.reshape(-1, 2, 2).max(1)], 1).reshape(-1, 4)
    elements = Boxes2D(camera, image_size, boxes, scene.box_scores, scene.box_labels, ATTRIBUTES)
    if annotation.track == LANE_SEGMENT:
        centerlines, left, right = (tuple(lines) for lines in scene.lanes)
        return LaneSegments(
            "ego",
            centerlines,
            left,
            right,
            annotation.line_types,
            scene.lane_scores,
            scene.lane_lane,
            tuple(scene.areas),
            scene.area_labels,
            scene.area_scores,
            elements,
            scene.lane_element,
        )
    return LaneGraph("ego", tuple(scene.lanes[0]), scene.lane_scores, elements, scene.lane_lane, scene.lane_element)


def from_result(result: LaneGraph | LaneSegments) -> Annotation:
    """What a plugin predicted, with ids 0, 1, ... over lanes, elements and areas together."""
    elements = result.elements
    labels: Sequence[int] = () if elements is None else elements.labels.tolist()
    n, k = len(result), len(labels)
    lines = [result.centerlines]
    areas: tuple[np.ndarray, ...] = ()
    types, area_labels, area_scores = np.zeros((n, 2), np.int64), np.zeros(0, np.int64), np.zeros(0)
    if isinstance(result, LaneSegments):
        lines += [result.left, result.right]
        types, areas = result.line_types, result.areas
        area_labels, area_scores = result.area_labels, result.area_scores
    scene = Scene(
        tuple(pack(side) for side in lines),
        result.scores,
        result.lane_lane,
        np.zeros((0, 4)) if elements is None else elements.boxes,
        np.array(labels, np.int64),
        np.zeros(0) if elements is None else elements.scores,
        np.asarray(result.lane_element).reshape(n, k),
        pack(areas),
        area_labels,
        area_scores,
    )
    return Annotation(
        scene,
        tuple(range(n)),
        np.zeros(n, bool),
        types,
        tuple(range(n, n + k)),
        np.array([category_of(label) for label in labels], np.int64),
        tuple(range(n + k, n + k + len(areas))),
    )


def _points(points: np.ndarray, arrays: bool) -> Any:
    return points.astype(np.float32) if arrays else points.tolist()


def _confidence(score: float, predicted: bool) -> dict[str, float]:
    return {"confidence": float(score)} if predicted else {}


def _number(place: Place, item: Mapping[str, Any], key: str, known: tuple[int, ...], default: int | None) -> int:
    value = item.get(key, default)
    if isinstance(value, bool | np.bool_) or value not in known:
        raise place.error(f"{item.get('id')!r}, {key}", f"one of {known}", "nothing" if key not in item else value)
    return int(value)
