"""Results as Foxglove messages: annotations on pictures, lines in the scene, grids on the ground."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from perception.sinks.mcap_file import RESULT_SCHEMA, McapFile, timestamp
from perception.structures import BevGrid, Boxes2D, Boxes3D, DensityMap, LaneGraph, Lanes2D, LaneSegments, Result
from perception.viz.colors import AREA, Color, color_of

__all__ = ["write_result"]

_WHITE: Color = (240, 240, 240)


def write_result(file: McapFile, stage: str, result: Result, time_ns: int, sequence: int) -> None:
    """Write one result of a stage.

    Topics below ``/perception/<stage>``: ``<kind>`` holds ``Result.to_dict()`` as json. ``annotations``
    (foxglove.ImageAnnotations) draws lanes, boxes, people and traffic elements on the picture whose header stamp is
    ``time_ns``; ``scene`` (foxglove.SceneUpdate) draws ego lines and boxes; ``grid`` (foxglove.Grid) lays layers
    of a ``BevGrid`` on the ground. A result without lines still writes its message and so clears what was shown.
    """
    topic = f"/perception/{stage}"
    file.json(f"{topic}/{result.KIND}", result.to_dict(), RESULT_SCHEMA, time_ns, sequence)
    annotations = _annotations(result, time_ns)
    if annotations is not None:
        file.proto(f"{topic}/annotations", annotations, time_ns, sequence)
    if isinstance(result, LaneSegments | LaneGraph | Boxes3D):
        file.proto(f"{topic}/scene", _scene(stage, result, time_ns), time_ns, sequence)
    if isinstance(result, BevGrid):
        file.proto(f"{topic}/grid", _grid(result, time_ns), time_ns, sequence)


def _color(color: Color, alpha: float = 1.0) -> Any:
    from foxglove.messages import Color as ColorMessage

    return ColorMessage(r=color[0] / 255, g=color[1] / 255, b=color[2] / 255, a=alpha)


def _annotations(result: Result, time_ns: int) -> Any | None:
    from foxglove.messages import ImageAnnotations

    points: list[Any] = []
    texts: list[Any] = []
    if isinstance(result, Lanes2D):
        for index, lane in enumerate(result.lanes):
            points.append(_points(lane, "LineStrip", color_of(index), 3.0, time_ns))
    elif isinstance(result, Boxes2D):
        points, texts = _boxes(result, time_ns)
    elif isinstance(result, LaneGraph | LaneSegments) and result.elements is not None:
        points, texts = _boxes(result.elements, time_ns)
    elif isinstance(result, DensityMap):
        points = [_points(np.asarray(result.points), "Points", _WHITE, 4.0, time_ns)]
        texts = [_text((8.0, 24.0), f"{result.count:.1f} people", _WHITE, time_ns)]
    elif not isinstance(result, LaneGraph | LaneSegments):
        return None
    return ImageAnnotations(timestamp=timestamp(time_ns), points=points, texts=texts)


def _boxes(result: Boxes2D, time_ns: int) -> tuple[list[Any], list[Any]]:
    points, texts = [], []
    for box, score, label in zip(result.boxes.tolist(), result.scores.tolist(), result.labels.tolist()):
        x0, y0, x1, y1 = box
        outline = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        points.append(_points(outline, "LineLoop", color_of(label), 2.0, time_ns))
        texts.append(_text((x0, y0), f"{result.class_names[label]} {score:.2f}", color_of(label), time_ns))
    return points, texts


def _points(xy: np.ndarray, kind: str, color: Color, thickness: float, time_ns: int) -> Any:
    from foxglove.messages import Point2, PointsAnnotation, PointsAnnotationType

    finite = xy[np.isfinite(xy).all(1)].tolist()
    return PointsAnnotation(
        timestamp=timestamp(time_ns),
        type=getattr(PointsAnnotationType, kind),
        points=[Point2(x=x, y=y) for x, y in finite],
        outline_color=_color(color),
        thickness=thickness,
    )


def _text(position: tuple[float, float], words: str, color: Color, time_ns: int) -> Any:
    from foxglove.messages import Point2, TextAnnotation

    return TextAnnotation(
        timestamp=timestamp(time_ns),
        position=Point2(x=position[0], y=position[1]),
        text=words,
        font_size=16.0,
        text_color=_color(color),
        background_color=_color((0, 0, 0), 0.5),
    )


def _scene(stage: str, result: LaneSegments | LaneGraph | Boxes3D, time_ns: int) -> Any:
    from foxglove.messages import SceneEntity, SceneUpdate

    if isinstance(result, Boxes3D):
        entity = SceneEntity(
            timestamp=timestamp(time_ns), frame_id=result.frame_id, id=stage, frame_locked=True, cubes=_cubes(result)
        )
        return SceneUpdate(entities=[entity])
    lines = [_line(line, color_of(index), 0.12) for index, line in enumerate(result.centerlines)]
    if isinstance(result, LaneSegments):
        sides = zip((*result.left, *result.right), np.ravel(result.line_types.T).tolist())
        lines += [_line(line, _WHITE, 0.08, dashed=kind == 2) for line, kind in sides if kind != 0]
        lines += [_line(line, AREA, 0.15) for line in result.areas]
    else:
        lines += [_line(join, _WHITE, 0.05) for join in _joins(result)]
    entity = SceneEntity(
        timestamp=timestamp(time_ns), frame_id=result.frame_id, id=stage, frame_locked=True, lines=lines
    )
    return SceneUpdate(entities=[entity])


def _cubes(boxes: Boxes3D) -> list[Any]:
    from foxglove.messages import CubePrimitive, Pose, Quaternion, Vector3

    out = []
    for (x, y, z, length, width, height, yaw), label in zip(boxes.boxes.tolist(), boxes.labels.tolist()):
        turn = Quaternion(x=0.0, y=0.0, z=float(np.sin(yaw / 2)), w=float(np.cos(yaw / 2)))
        pose = Pose(position=Vector3(x=x, y=y, z=z), orientation=turn)
        out.append(
            CubePrimitive(pose=pose, size=Vector3(x=length, y=width, z=height), color=_color(color_of(label), 0.5))
        )
    return out


def _joins(graph: LaneGraph) -> Iterable[np.ndarray]:
    """From the end of each lane to the start of each that follows it."""
    for i, j in np.argwhere(graph.lane_lane > 0.5):
        yield np.stack([graph.centerlines[i][-1], graph.centerlines[j][0]])


def _line(points: np.ndarray, color: Color, thickness: float, dashed: bool = False) -> Any:
    from foxglove.messages import LinePrimitive, LinePrimitiveLineType, Point3, Pose, Quaternion, Vector3

    finite = points[np.isfinite(points).all(1)].tolist()
    kind = LinePrimitiveLineType.LineList if dashed else LinePrimitiveLineType.LineStrip
    return LinePrimitive(
        type=kind,
        pose=Pose(position=Vector3(), orientation=Quaternion(w=1.0)),
        thickness=thickness,
        points=[Point3(x=x, y=y, z=z) for x, y, z in finite[: len(finite) // 2 * 2 if dashed else None]],
        color=_color(color),
    )


def _grid(grid: BevGrid, time_ns: int) -> Any:
    """Rows of a Foxglove grid run along its y, columns along its x: our (x, y) cells are transposed."""
    from foxglove.messages import Grid, PackedElementField, Pose, Quaternion, Vector2, Vector3
    from foxglove.messages import PackedElementFieldNumericType as FieldType

    names = list(grid.layers)
    rows, columns = grid.shape
    packed = np.empty((columns, rows), dtype=[(name, "<f4") for name in names])
    for name in names:
        packed[name] = np.asarray(grid.layers[name]).T
    fields = [PackedElementField(name=name, offset=4 * i, type=FieldType.Float32) for i, name in enumerate(names)]
    return Grid(
        timestamp=timestamp(time_ns),
        frame_id=grid.frame_id,
        pose=Pose(
            position=Vector3(x=grid.x_range[0], y=grid.y_range[0]),
            orientation=Quaternion(w=1.0),
        ),
        column_count=rows,
        cell_size=Vector2(x=grid.resolution, y=grid.resolution),
        row_stride=rows * packed.dtype.itemsize,
        cell_stride=packed.dtype.itemsize,
        fields=fields,
        data=packed.tobytes(),
    )
