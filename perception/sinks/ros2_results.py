"""Results as ROS 2 messages that RViz shows: markers, occupancy grids, detections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from perception.geometry import Camera
from perception.sinks.ros2_messages import color, header, message, pose, vector
from perception.structures import BevGrid, Boxes2D, Boxes3D, DensityMap, LaneGraph, Lanes2D, LaneSegments, Result
from perception.viz.colors import AREA, Color, color_of

__all__ = ["messages_of"]

Message = tuple[str, str, Any]
"""Topic below that of the stage, type, message."""

MARKERS = "visualization_msgs/msg/MarkerArray"
_MARKER = "visualization_msgs/msg/Marker"
_LINE_STRIP, _LINE_LIST, _CUBE, _TEXT, _ARROW, _DELETE_ALL = 4, 5, 1, 9, 0, 3
_WHITE: Color = (240, 240, 240)


def messages_of(result: Result, time_ns: int, camera: Camera | None = None) -> Iterator[Message]:
    """What RViz needs to show a result; nothing found gives messages that clear what was shown.

    Args:
        result: Any result.
        time_ns: Header stamp.
        camera: Of the image the result is in; 2-D lanes are laid onto the road where its pose is known.
    """
    yield from _MAKERS[result.KIND](result, time_ns, camera)


def _lanes_2d(result: Lanes2D, time_ns: int, camera: Camera | None) -> Iterator[Message]:
    lines: list[np.ndarray] = []
    if camera is not None and camera.ego_from_camera is not None and camera.size == result.image_size:
        lines = [lane.points for lane in result.to_ground(camera) if lane is not None]
    markers = [_line(line, color_of(i), 0.12) for i, line in enumerate(lines)]
    yield _array(markers, "ego", time_ns)


def _boxes_2d(result: Boxes2D, time_ns: int, camera: Camera | None) -> Iterator[Message]:
    yield "detections", "vision_msgs/msg/Detection2DArray", _detections(result, time_ns)


def _boxes_3d(result: Boxes3D, time_ns: int, camera: Camera | None) -> Iterator[Message]:
    head = header(time_ns, result.frame_id)
    detections, markers = [], []
    columns = (result.boxes, result.scores, result.labels, result.velocities, result.track_ids)
    for box, score, label, velocity, track in zip(*(column.tolist() for column in columns)):
        place, size = pose(box[:3], box[6]), vector(box[3:6], "geometry_msgs/msg/Vector3")
        bounds = message("vision_msgs/msg/BoundingBox3D", center=place, size=size)
        found = [_hypothesis(result.class_names[label], score)]
        name = str(track) if track >= 0 else ""
        detections.append(message("vision_msgs/msg/Detection3D", header=head, results=found, bbox=bounds, id=name))
        markers.append({"type": _CUBE, "pose": place, "scale": size, "color": color(color_of(label), 0.6)})
        words = f"{result.class_names[label]} {score:.2f}"
        above = pose([box[0], box[1], box[2] + box[5] / 2 + 0.4])
        markers.append(
            {"type": _TEXT, "pose": above, "scale": _scale(0, 0, 0.6), "color": color(_WHITE), "text": words}
        )
        if np.hypot(*velocity) > 0.1:
            ends = [vector(box[:3]), vector([box[0] + velocity[0], box[1] + velocity[1], box[2]])]
            look = {"scale": _scale(0.1, 0.25, 0.3), "color": color(color_of(label))}
            markers.append({"type": _ARROW, "points": ends, **look})
    yield _array(markers, result.frame_id, time_ns)
    array = message("vision_msgs/msg/Detection3DArray", header=head, detections=detections)
    yield "detections", "vision_msgs/msg/Detection3DArray", array


def _density_map(result: DensityMap, time_ns: int, camera: Camera | None) -> Iterator[Message]:
    density = np.ascontiguousarray(result.density, "<f4")
    height, width = density.shape
    image = message(
        "sensor_msgs/msg/Image",
        header=header(time_ns, result.frame_id),
        height=height,
        width=width,
        encoding="32FC1",
        step=4 * width,
        data=np.frombuffer(density.tobytes(), np.uint8),
    )
    yield "density", "sensor_msgs/msg/Image", image
    yield "count", "std_msgs/msg/Float32", message("std_msgs/msg/Float32", data=result.count)


def _bev_grid(result: BevGrid, time_ns: int, camera: Camera | None) -> Iterator[Message]:
    """An occupancy grid a layer: class numbers for ``semantics``, percent for probabilities, -1 where unknown."""
    rows, columns = result.shape
    for name, layer in result.layers.items():
        values = np.asarray(layer, np.float64) * (1 if name == "semantics" else 100)
        cells = np.where(np.isfinite(values), np.clip(np.round(values), -1, 100), -1).astype(np.int8)
        info = message(
            "nav_msgs/msg/MapMetaData",
            map_load_time=message("builtin_interfaces/msg/Time"),
            resolution=result.resolution,
            width=rows,
            height=columns,
            origin=pose([result.x_range[0], result.y_range[0], 0.0]),
        )
        head = header(time_ns, result.frame_id)
        grid = message("nav_msgs/msg/OccupancyGrid", header=head, info=info, data=cells.T.ravel().copy())
        yield f"grid/{name}", "nav_msgs/msg/OccupancyGrid", grid


def _lane_segments(result: LaneSegments, time_ns: int, camera: Camera | None) -> Iterator[Message]:
    markers = [_line(line, color_of(i), 0.12) for i, line in enumerate(result.centerlines)]
    sides = zip((*result.left, *result.right), np.ravel(result.line_types.T).tolist())
    markers += [_line(line, _WHITE, 0.08, dashed=kind == 2) for line, kind in sides if kind]
    markers += [_line(line, AREA, 0.15) for line in result.areas]
    yield _array(markers, result.frame_id, time_ns)
    yield _elements(result, time_ns)


def _lane_graph(result: LaneGraph, time_ns: int, camera: Camera | None) -> Iterator[Message]:
    markers = [_line(line, color_of(i), 0.12) for i, line in enumerate(result.centerlines)]
    for i, j in np.argwhere(result.lane_lane > 0.5):
        markers.append(_line(np.stack([result.centerlines[i][-1], result.centerlines[j][0]]), _WHITE, 0.05))
    yield _array(markers, result.frame_id, time_ns)
    yield _elements(result, time_ns)


def _elements(result: LaneGraph | LaneSegments, time_ns: int) -> Message:
    kind = "vision_msgs/msg/Detection2DArray"
    none = message(kind, header=header(time_ns, ""))
    return "elements", kind, none if result.elements is None else _detections(result.elements, time_ns)


def _detections(result: Boxes2D, time_ns: int) -> Any:
    head = header(time_ns, result.frame_id)
    detections = []
    for box, score, label in zip(result.boxes.tolist(), result.scores.tolist(), result.labels.tolist()):
        x0, y0, x1, y1 = box
        middle = message("vision_msgs/msg/Point2D", x=(x0 + x1) / 2, y=(y0 + y1) / 2)
        center = message("vision_msgs/msg/Pose2D", position=middle)
        bounds = message("vision_msgs/msg/BoundingBox2D", center=center, size_x=x1 - x0, size_y=y1 - y0)
        found = [_hypothesis(result.class_names[label], score)]
        detections.append(message("vision_msgs/msg/Detection2D", header=head, results=found, bbox=bounds))
    return message("vision_msgs/msg/Detection2DArray", header=head, detections=detections)


def _hypothesis(name: str, score: float) -> Any:
    guess = message("vision_msgs/msg/ObjectHypothesis", class_id=name, score=score)
    return message("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=guess)


def _line(points: np.ndarray, rgb: Color, width: float, dashed: bool = False) -> dict[str, Any]:
    finite = points[np.isfinite(points).all(1)]
    if dashed:
        finite = finite[: len(finite) // 2 * 2]
    kind = _LINE_LIST if dashed else _LINE_STRIP
    places = [vector(point) for point in finite.tolist()]
    return {"type": kind, "scale": _scale(width, 0, 0), "color": color(rgb), "points": places}


def _scale(x: float, y: float, z: float) -> Any:
    return vector((x, y, z), "geometry_msgs/msg/Vector3")


def _array(markers: Sequence[dict[str, Any]], frame_id: str, time_ns: int) -> Message:
    """Markers in place of those before."""
    head, upright = header(time_ns, frame_id), pose([0.0, 0.0, 0.0])
    clear = message(_MARKER, header=head, action=_DELETE_ALL, pose=upright)
    shown = [message(_MARKER, **{"header": head, "id": i, "pose": upright, **m}) for i, m in enumerate(markers, 1)]
    return "markers", MARKERS, message(MARKERS, markers=[clear, *shown])


_MAKERS: dict[str, Callable[[Any, int, Camera | None], Iterator[Message]]] = {
    "lanes_2d": _lanes_2d,
    "boxes_2d": _boxes_2d,
    "boxes_3d": _boxes_3d,
    "density_map": _density_map,
    "bev_grid": _bev_grid,
    "lane_segments": _lane_segments,
    "lane_graph": _lane_graph,
}
