"""Results as a Rerun recording. Every call of rerun is in this file: its interface moves from release to release."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from perception.geometry import Camera
from perception.registry import SINKS
from perception.sinks.items import count_of
from perception.sinks.parts_sink import PartsSink
from perception.sinks.storage import storage_errors
from perception.sinks.table import missing_package
from perception.structures import BevGrid, Boxes2D, Boxes3D, DensityMap, Fault, Frame, LaneGraph, Lanes2D, LaneSegments
from perception.structures import Result as AnyResult
from perception.viz.colors import AREA, color_of
from perception.viz.overlay import main_camera

__all__ = ["RerunSink"]

_APPLICATION = "perception"
_EGO = "world/ego"
_WHITE = (240, 240, 240)


@SINKS.register_module()
class RerunSink(PartsSink):
    """``recording.rrd`` with a blueprint: 3-D view, cameras, grids, graph, counts and faults side by side.

    Entities: ``world/ego`` moves with the ego pose; ``world/ego/camera/<name>`` (``camera/<name>`` where its pose is
    unknown) has what belongs to an image, ``world/ego/<stage>`` what is in the ego frame, ``world/<stage>`` what is in
    the world, ``bev/<stage>/<layer>``, ``density/<stage>`` and ``graph/<stage>`` pictures and graphs of their own,
    ``count/<stage>`` how much was found and ``faults`` a text log. Timelines: ``drive`` (time stamps of the frames, to
    the nanosecond) and ``frame``. A stage that fails is cleared; a killed part can be opened up to its last flush.
    Only the joined file has the blueprint. One stream writes all parts, because rerun-sdk 0.41 keeps the threads and
    some memory of every stream and of every blueprint until the process ends.

    Args:
        out: Folder of the run.
        copy_inputs: Also store images and clouds.
        quality: Quality of the stored jpeg, 1..100.
        part_frames: Frames in a part: what a killed run has to compute again at most.
        flush_every: Frames after which everything is handed to the operating system.

    Raises:
        PerceptionError: On opening, when the extra ``viz`` is not installed.
    """

    def __init__(
        self,
        out: str | Path,
        copy_inputs: bool = False,
        quality: int = 85,
        part_frames: int = 100,
        flush_every: int = 10,
    ) -> None:
        super().__init__(out, "recording.rrd", part_frames)
        self.copy_inputs, self.quality, self.flush_every = copy_inputs, quality, max(1, flush_every)
        self._state: dict[str, Any] = {}
        self._stream: Any = None

    def _start(self) -> None:
        _rerun()
        super()._start()
        fresh = {"recording": str(uuid.uuid4()), "cameras": [], "stages": {}}
        self._state = self._parts.state or fresh

    def _begin_part(self, path: Path) -> None:
        if self._stream is None:
            self._stream = _stream(self._state["recording"])
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream.save(path)
        self._stream.log("world", _rerun().ViewCoordinates.RIGHT_HAND_Z_UP, static=True)

    def _write(self, frame: Frame, results: Mapping[str, AnyResult], faults: Sequence[Fault]) -> None:
        stream, rr = self._stream, _rerun()
        stream.set_time("drive", timestamp=np.datetime64(frame.timestamp_ns, "ns"))
        stream.set_time("frame", sequence=frame.index)
        names = {result.frame_id for result in results.values()} & {*frame.images, *frame.calibration.cameras}
        self._rig(frame, names | {main_camera(frame)} if frame.images else names)
        if self.copy_inputs:
            self._inputs(frame)
        paths = {name: _camera_path(frame, name) for name in (*frame.images, *frame.calibration.cameras)}
        for stage, result in results.items():
            self._state["stages"][stage] = result.KIND
            _LOGGERS[result.KIND](stream, stage, result, paths)
            stream.log(f"count/{stage}", rr.Scalars(count_of(result)))
        for fault in faults:
            stream.log("faults", rr.TextLog(f"{fault.where}: {fault.kind}: {fault.message}", level="WARN"))
            if fault.where in self._state["stages"]:
                for path in (f"{_EGO}/{fault.where}", f"world/{fault.where}", *_on_cameras(paths, fault.where)):
                    stream.log(path, rr.Clear(recursive=True))
        if self._count % self.flush_every == 0:
            with storage_errors(self.path):
                stream.flush()

    def _end_part(self) -> dict[str, Any]:
        with storage_errors(self.path):
            self._stream.flush()
            self._stream.disconnect()
        return self._state

    def _abandon_part(self) -> None:
        stream, self._stream = self._stream, None
        with suppress(Exception):
            stream.disconnect()

    def _join(self, parts: Sequence[Path], target: Path) -> None:
        """Chunk by chunk, so that memory does not grow with the drive."""
        from rerun.chunk import RrdReader

        with storage_errors(target):
            stream, self._stream = self._stream or _stream(self._parts.state["recording"]), None
            stream.save(target, default_blueprint=_blueprint(self._parts.state))
            for part in parts:
                stream.send_chunks(RrdReader(str(part)).stream())
            stream.flush()
            stream.disconnect()

    def _rig(self, frame: Frame, cameras: set[str]) -> None:
        """Pose of the vehicle, and the cameras that have something to show."""
        rr, stream = _rerun(), self._stream
        if frame.ego_pose is not None:
            stream.log(_EGO, rr.Transform3D(translation=frame.ego_pose[:3, 3], mat3x3=frame.ego_pose[:3, :3]))
        for name in sorted(cameras - {""}):
            path, camera = _camera_path(frame, name), frame.calibration.cameras.get(name)
            if path not in self._state["cameras"]:
                self._state["cameras"].append(path)
            if camera is None:
                continue
            if camera.ego_from_camera is not None:
                pose = camera.ego_from_camera
                stream.log(path, rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]))
            resolution = [camera.width, camera.height]
            stream.log(path, rr.Pinhole(image_from_camera=camera.intrinsics, resolution=resolution))

    def _inputs(self, frame: Frame) -> None:
        import cv2

        rr = _rerun()
        for name, image in frame.images.items():
            _, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.quality])
            picture = rr.EncodedImage(contents=data.tobytes(), media_type="image/jpeg")
            self._stream.log(f"{_camera_path(frame, name)}/image", picture)
        for name, cloud in frame.clouds.items():
            path, pose = f"{_EGO}/lidar/{name}", frame.calibration.sensors.get(name, np.eye(4))
            self._stream.log(path, rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]))
            self._stream.log(path, rr.Points3D(cloud.points, radii=0.03))


def _rerun() -> Any:
    try:
        import rerun
    except ImportError as error:
        raise missing_package("the rrd sink", "rerun-sdk", "viz") from error
    return rerun


def _stream(recording: str) -> Any:
    stream = _rerun().RecordingStream(_APPLICATION, recording_id=recording, send_properties=False)
    stream.set_log_time_enabled(False)
    stream.set_log_tick_enabled(False)
    return stream


def _blueprint(state: Mapping[str, Any]) -> Any:
    """Cameras and grids beside the scene, curves and faults below."""
    import rerun.blueprint as rrb

    kinds: Mapping[str, str] = state["stages"]
    pictures = [
        *(rrb.Spatial2DView(origin=path, name=path.rsplit("/", 1)[-1]) for path in state["cameras"]),
        *(rrb.Spatial2DView(origin=f"bev/{s}", name=f"{s} grid") for s, kind in kinds.items() if kind == "bev_grid"),
        *(
            rrb.Spatial2DView(origin=f"density/{s}", name=f"{s} density")
            for s, k in kinds.items()
            if k == "density_map"
        ),
        *(rrb.GraphView(origin=f"graph/{s}", name=f"{s} graph") for s, kind in kinds.items() if kind == "lane_graph"),
    ]
    scene = rrb.Spatial3DView(origin="world", name="scene")
    flat = kinds and set(kinds.values()) <= {"lanes_2d", "boxes_2d", "density_map"}
    top = (
        rrb.Grid(*pictures) if flat and pictures else rrb.Horizontal(scene, rrb.Grid(*pictures)) if pictures else scene
    )
    curves = rrb.TimeSeriesView(origin="count", name="found")
    return rrb.Blueprint(
        rrb.Vertical(top, rrb.Horizontal(curves, rrb.TextLogView(origin="faults", name="faults")), row_shares=[3, 1]),
        rrb.TimePanel(timeline="drive", state="collapsed"),
        collapse_panels=True,
    )


def _camera_path(frame: Frame, name: str) -> str:
    camera: Camera | None = frame.calibration.cameras.get(name)
    posed = camera is not None and camera.ego_from_camera is not None
    return f"{_EGO}/camera/{name}" if posed else f"camera/{name}"


def _on_cameras(paths: Mapping[str, str], stage: str) -> list[str]:
    return [f"{path}/{stage}" for path in set(paths.values())]


def _colors(count: int) -> list[tuple[int, int, int]]:
    return [color_of(index) for index in range(count)]


def _frame_path(result: AnyResult, stage: str) -> str:
    return f"world/{stage}" if result.frame_id == "world" else f"{_EGO}/{stage}"


def _lanes_2d(stream: Any, stage: str, result: Lanes2D, paths: Mapping[str, str]) -> None:
    path = f"{paths.get(result.frame_id, f'camera/{result.frame_id}')}/{stage}"
    stream.log(path, _rerun().LineStrips2D(list(result.lanes), colors=_colors(len(result)), radii=2.0))


def _boxes_2d(stream: Any, stage: str, result: Boxes2D, paths: Mapping[str, str]) -> None:
    rr = _rerun()
    labels = [f"{result.class_names[i]} {s:.2f}" for i, s in zip(result.labels.tolist(), result.scores.tolist())]
    colors = [color_of(label) for label in result.labels.tolist()]
    path = f"{paths.get(result.frame_id, f'camera/{result.frame_id}')}/{stage}"
    boxes = rr.Boxes2D(array=result.boxes, array_format=rr.Box2DFormat.XYXY, labels=labels, colors=colors)
    stream.log(path, boxes)


def _boxes_3d(stream: Any, stage: str, result: Boxes3D, paths: Mapping[str, str]) -> None:
    rr, path = _rerun(), _frame_path(result, stage)
    half = result.boxes[:, 6] / 2
    turns = np.stack([0 * half, 0 * half, np.sin(half), np.cos(half)], axis=1)
    labels = [f"{result.class_names[i]} {s:.2f}" for i, s in zip(result.labels.tolist(), result.scores.tolist())]
    colors = [color_of(label) for label in result.labels.tolist()]
    centers, sizes = result.boxes[:, :3], result.boxes[:, 3:6]
    boxes = rr.Boxes3D(centers=centers, half_sizes=sizes / 2, quaternions=turns, labels=labels, colors=colors)
    stream.log(path, boxes)
    arrows = np.concatenate([result.velocities, np.zeros((len(result), 1), np.float32)], axis=1)
    stream.log(f"{path}/velocity", rr.Arrows3D(origins=centers, vectors=arrows, colors=colors))


def _density_map(stream: Any, stage: str, result: DensityMap, paths: Mapping[str, str]) -> None:
    rr = _rerun()
    stream.log(f"density/{stage}", rr.DepthImage(np.asarray(result.density), meter=1.0, colormap="turbo"))
    path = f"{paths.get(result.frame_id, f'camera/{result.frame_id}')}/{stage}"
    stream.log(path, rr.Points2D(result.points, radii=3.0, colors=_WHITE))


def _bev_grid(stream: Any, stage: str, result: BevGrid, paths: Mapping[str, str]) -> None:
    """Pictures with ego x up and ego y to the left."""
    rr = _rerun()
    for name, layer in result.layers.items():
        picture = np.ascontiguousarray(np.asarray(layer)[::-1, ::-1])
        if name == "semantics":
            classes = [(0, "not observed", (0, 0, 0))]
            classes += [(i + 1, label, color_of(i)) for i, label in enumerate(result.class_names)]
            stream.log(f"bev/{stage}/{name}", rr.AnnotationContext(classes))
            stream.log(f"bev/{stage}/{name}", rr.SegmentationImage((picture + 1).astype(np.uint8)))
        else:
            depth = rr.DepthImage(picture.astype(np.float32), meter=1.0, colormap="turbo", depth_range=(0.0, 1.0))
            stream.log(f"bev/{stage}/{name}", depth)


def _lane_segments(stream: Any, stage: str, result: LaneSegments, paths: Mapping[str, str]) -> None:
    path = _frame_path(result, stage)
    _centerlines(stream, path, result.centerlines)
    sides = [(*pair, kind) for pair, kind in zip(zip(result.left, result.right), result.line_types.tolist())]
    drawn = [line for left, right, kinds in sides for line, kind in zip((left, right), kinds) if kind]
    _lines(stream, f"{path}/boundaries", drawn, [_WHITE] * len(drawn), 0.05)
    _lines(stream, f"{path}/areas", list(result.areas), [AREA] * len(result.areas), 0.1)
    if result.elements is not None:
        _boxes_2d(stream, stage, result.elements, paths)


def _lane_graph(stream: Any, stage: str, result: LaneGraph, paths: Mapping[str, str]) -> None:
    rr, path = _rerun(), _frame_path(result, stage)
    _centerlines(stream, path, result.centerlines)
    follow = np.argwhere(result.lane_lane > 0.5).tolist()
    joins = [np.stack([result.centerlines[i][-1], result.centerlines[j][0]]) for i, j in follow]
    _lines(stream, f"{path}/joins", joins, [_WHITE] * len(joins), 0.03)
    govern = np.argwhere(result.lane_element > 0.5).tolist()
    lanes = [f"lane {i}" for i in range(len(result))]
    elements = [] if result.elements is None else result.elements.labels.tolist()
    names = [f"{result.elements.class_names[k]} {i}" for i, k in enumerate(elements)]  # type: ignore[union-attr]
    edges = [(lanes[i], lanes[j]) for i, j in follow] + [(names[j], lanes[i]) for i, j in govern]
    nodes = rr.GraphNodes([*lanes, *names], labels=[*lanes, *names], colors=_colors(len(lanes) + len(names)))
    stream.log(f"graph/{stage}", nodes, rr.GraphEdges(edges, graph_type="directed"))
    if result.elements is not None:
        _boxes_2d(stream, stage, result.elements, paths)


def _centerlines(stream: Any, path: str, lines: Sequence[np.ndarray]) -> None:
    rr, colors = _rerun(), _colors(len(lines))
    _lines(stream, f"{path}/centerlines", lines, colors, 0.08)
    ends = [line[-1] - line[-2] for line in lines]
    vectors = [end / max(float(np.linalg.norm(end)), 1e-6) for end in ends]
    stream.log(f"{path}/direction", rr.Arrows3D(origins=[line[-1] for line in lines], vectors=vectors, colors=colors))


def _lines(stream: Any, path: str, lines: Sequence[np.ndarray], colors: Sequence[Any], radius: float) -> None:
    stream.log(path, _rerun().LineStrips3D(list(lines), colors=list(colors), radii=radius))


_LOGGERS: dict[str, Callable[[Any, str, Any, Mapping[str, str]], None]] = {
    "lanes_2d": _lanes_2d,
    "boxes_2d": _boxes_2d,
    "boxes_3d": _boxes_3d,
    "density_map": _density_map,
    "bev_grid": _bev_grid,
    "lane_segments": _lane_segments,
    "lane_graph": _lane_graph,
}
