"""Results, and on request the inputs, as a ROS 2 recording for RViz; no ROS is needed to write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perception.geometry import Camera, matrix_to_quaternion
from perception.registry import SINKS
from perception.sinks.mcap_file import McapFile, cut, join
from perception.sinks.parts_sink import PartsSink
from perception.sinks.ros2_messages import definition, header, message, serialized
from perception.sinks.ros2_results import messages_of
from perception.sinks.storage import dump_json
from perception.structures import Fault, Frame, PointCloud, Result

__all__ = ["Ros2Sink"]

FRAME_TOPIC = "/perception/frame"
_PROFILE = "ros2"
_FIELD_TYPES = {"int8": 1, "uint8": 2, "int16": 3, "uint16": 4, "int32": 5, "uint32": 6, "float32": 7, "float64": 8}


@SINKS.register_module()
class Ros2Sink(PartsSink):
    """``ros2.mcap``: CDR messages with their definitions, log time = header stamp = the frame's time stamp.

    Topics: ``/tf`` (world -> ego -> cameras and sensors), ``/perception/frame`` (std_msgs/String, json
    ``{"index", "timestamp_ns", "faults"}``, first of each frame) and below ``/perception/<stage>``: ``result``
    (std_msgs/String, ``Result.to_dict()`` as json) and what RViz shows: ``markers`` (MarkerArray), ``detections`` and
    ``elements`` (vision_msgs), ``grid/<layer>`` (OccupancyGrid), ``density`` (Image 32FC1) and ``count`` (Float32).
    With ``copy_inputs`` also ``/camera/<name>/image/compressed``, ``/camera/<name>/camera_info`` and
    ``/lidar/<name>/points``.

    Args:
        out: Folder of the run.
        copy_inputs: Also write images, calibration and clouds.
        quality: Quality of the stored jpeg, 1..100.
        part_frames: Frames in a part: what a killed run has to compute again at most.
        flush_every: Frames after which everything is handed to the operating system.
    """

    def __init__(
        self,
        out: str | Path,
        copy_inputs: bool = False,
        quality: int = 90,
        part_frames: int = 100,
        flush_every: int = 10,
    ) -> None:
        super().__init__(out, "ros2.mcap", part_frames)
        self.copy_inputs, self.quality, self.flush_every = copy_inputs, quality, max(1, flush_every)
        self._file: McapFile | None = None

    def _begin_part(self, path: Path) -> None:
        self._file = McapFile(path, _PROFILE)

    def _write(self, frame: Frame, results: Mapping[str, Result], faults: Sequence[Fault]) -> None:
        assert self._file is not None
        note = {
            "index": frame.index,
            "timestamp_ns": frame.timestamp_ns,
            "faults": [fault.to_dict() for fault in faults],
        }
        self._text(FRAME_TOPIC, note, frame)
        self._send("/tf", "tf2_msgs/msg/TFMessage", _transforms(frame), frame)
        if self.copy_inputs:
            self._inputs(frame)
        for stage, result in results.items():
            self._text(f"/perception/{stage}/result", result.to_dict(), frame)
            camera = frame.calibration.cameras.get(result.frame_id)
            for topic, kind, content in messages_of(result, frame.timestamp_ns, camera):
                self._send(f"/perception/{stage}/{topic}", kind, content, frame)
        if self._count % self.flush_every == 0:
            self._file.flush()

    def _end_part(self) -> None:
        file, self._file = self._file, None
        assert file is not None
        file.close()

    def _abandon_part(self) -> None:
        if self._file is not None:
            self._file.abandon()
            self._file = None

    def _join(self, parts: Sequence[Path], target: Path) -> None:
        join(parts, target, _PROFILE)

    def _cut(self, part: Path, frames: int, target: Path) -> None:
        cut(part, frames, target, FRAME_TOPIC, _PROFILE)

    def _send(self, topic: str, kind: str, content: Any, frame: Frame) -> None:
        assert self._file is not None
        data = serialized(kind, content)
        self._file.cdr(topic, kind, definition(kind), data, frame.timestamp_ns, frame.index)

    def _text(self, topic: str, payload: Mapping[str, Any], frame: Frame) -> None:
        self._send(topic, "std_msgs/msg/String", message("std_msgs/msg/String", data=dump_json(payload)), frame)

    def _inputs(self, frame: Frame) -> None:
        import cv2

        for name, camera in frame.calibration.cameras.items():
            info = _camera_info(name, camera, frame.timestamp_ns)
            self._send(f"/camera/{name}/camera_info", "sensor_msgs/msg/CameraInfo", info, frame)
        for name, image in frame.images.items():
            _, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.quality])
            kind, head = "sensor_msgs/msg/CompressedImage", header(frame.timestamp_ns, name)
            content = message(kind, header=head, format="jpeg", data=np.ravel(data))
            self._send(f"/camera/{name}/image/compressed", kind, content, frame)
        for name, cloud in frame.clouds.items():
            self._send(f"/lidar/{name}/points", "sensor_msgs/msg/PointCloud2", _cloud(name, cloud), frame)


def _transforms(frame: Frame) -> Any:
    poses = [] if frame.ego_pose is None else [("world", "ego", frame.ego_pose)]
    for name, camera in frame.calibration.cameras.items():
        if camera.ego_from_camera is not None:
            poses.append(("ego", name, camera.ego_from_camera))
    poses += [("ego", name, matrix) for name, matrix in frame.calibration.sensors.items()]
    transforms = []
    for parent, child, matrix in poses:
        x, y, z, w = matrix_to_quaternion(matrix[:3, :3]).tolist()
        turn = message("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)
        place = message("geometry_msgs/msg/Vector3", **dict(zip("xyz", matrix[:3, 3].tolist())))
        motion = message("geometry_msgs/msg/Transform", translation=place, rotation=turn)
        head = header(frame.timestamp_ns, parent)
        kind = "geometry_msgs/msg/TransformStamped"
        transforms.append(message(kind, header=head, child_frame_id=child, transform=motion))
    return message("tf2_msgs/msg/TFMessage", transforms=transforms)


def _camera_info(name: str, camera: Camera, time_ns: int) -> Any:
    projection = camera.rectified
    if projection is None:
        projection = np.concatenate([camera.intrinsics, np.zeros((3, 1))], axis=1)
    lens = {"none": "plumb_bob", "rational_polynomial": "rational_polynomial"}.get(camera.lens, camera.lens)
    return message(
        "sensor_msgs/msg/CameraInfo",
        header=header(time_ns, name),
        width=camera.width,
        height=camera.height,
        distortion_model=lens,
        d=np.zeros(5) if camera.lens == "none" else np.asarray(camera.distortion, np.float64),
        k=np.asarray(camera.intrinsics, np.float64).ravel(),
        r=np.eye(3).ravel(),
        p=np.asarray(projection, np.float64).ravel(),
    )


def _cloud(name: str, cloud: PointCloud) -> Any:
    columns: dict[str, np.ndarray] = {axis: cloud.points[:, i] for i, axis in enumerate("xyz")}
    columns.update(cloud.fields)
    types = {key: c.dtype.name if c.dtype.name in _FIELD_TYPES else "float64" for key, c in columns.items()}
    packed = np.empty(len(cloud), dtype=[(key, np.dtype(kind).newbyteorder("<")) for key, kind in types.items()])
    for key, column in columns.items():
        packed[key] = column
    layout: Any = packed.dtype.fields
    fields = [
        message("sensor_msgs/msg/PointField", name=key, offset=layout[key][1], datatype=_FIELD_TYPES[kind], count=1)
        for key, kind in types.items()
    ]
    return message(
        "sensor_msgs/msg/PointCloud2",
        header=header(cloud.timestamp_ns, name),
        height=1,
        width=len(cloud),
        fields=fields,
        point_step=packed.dtype.itemsize,
        row_step=packed.nbytes,
        data=np.frombuffer(packed.tobytes(), np.uint8),
        is_dense=True,
    )
