"""Frames as MCAP with Foxglove schemas: what the simulator records and what a run copies next to its predictions.

Topics (log time = header stamp = ``Frame.timestamp_ns``; a cloud's header keeps the time of its sweep):

=============================== ============================ =====================================================
``/tf``                         foxglove.FrameTransforms     world -> ego, ego -> every camera and sensor with a pose
``/camera/<name>/calibration``  foxglove.CameraCalibration   of every camera of the rig, beside each frame
``/camera/<name>/image``        foxglove.CompressedImage     jpeg or png, frame_id = name
``/lidar/<name>/points``        foxglove.PointCloud          packed little-endian fields, x y z float32 first
``/truth/<frame_id>/<kind>``    json, perception.Result      ``Result.to_dict()``
=============================== ============================ =====================================================

Every frame repeats calibration and static transforms, so that a file can be cut and joined at any frame.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from perception.errors import PerceptionError
from perception.geometry.camera import Camera
from perception.geometry.transforms import matrix_to_quaternion
from perception.sinks.mcap_file import RESULT_SCHEMA, McapFile, timestamp
from perception.structures import Frame, PointCloud

__all__ = ["McapFrameWriter", "checked_format", "write_inputs", "write_truth"]

_LENS_NAMES = {"none": "", "equidistant": "kannala_brandt"}
"""Our lens names -> Foxglove's, where they differ."""

_NUMERIC = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
"""Field types that foxglove.PackedElementField knows; all others are stored as float64."""


class McapFrameWriter:
    """Write frames to one MCAP file; equal frames give equal bytes.

    Args:
        path: The ``.mcap`` file to create, with its folder.
        image_format: ``"jpeg"`` or ``"png"`` (lossless).
        quality: Quality of jpeg, 1..100.
        flush_every: Frames after which everything is handed to the operating system.

    Raises:
        PerceptionError: The disk is full or not writable; ``image_format`` is unknown.
    """

    def __init__(self, path: str | Path, image_format: str = "jpeg", quality: int = 95, flush_every: int = 10) -> None:
        self._encoding = (checked_format(image_format), quality)
        self._flush_every = flush_every
        self._file = McapFile(path)
        self._count = 0

    def write(self, frame: Frame) -> None:
        """Append one frame: transforms, calibration, images, clouds and truth."""
        write_inputs(self._file, frame, *self._encoding)
        write_truth(self._file, frame)
        self._count += 1
        if self._count % self._flush_every == 0:
            self._file.flush()

    def close(self) -> None:
        """Write the index and close the file."""
        self._file.close()

    def __enter__(self) -> McapFrameWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.abandon()


def checked_format(name: str) -> str:
    """The name of an image format if it can be written, ``jpeg`` or ``png``; a PerceptionError otherwise."""
    if name not in ("jpeg", "png"):
        raise PerceptionError(f"image_format: expected 'jpeg' or 'png', found {name!r}")
    return name


def write_inputs(file: McapFile, frame: Frame, image_format: str = "jpeg", quality: int = 95) -> None:
    """Write transforms, calibration, images and clouds of a frame."""
    time_ns, index = frame.timestamp_ns, frame.index
    transforms = _transforms(frame)
    if transforms is not None:
        file.proto("/tf", transforms, time_ns, index)
    for name, camera in frame.calibration.cameras.items():
        file.proto(f"/camera/{name}/calibration", _calibration(name, camera, time_ns), time_ns, index)
    for name, image in frame.images.items():
        message = _image(name, image, time_ns, image_format, quality)
        file.proto(f"/camera/{name}/image", message, time_ns, index)
    for name, cloud in frame.clouds.items():
        file.proto(f"/lidar/{name}/points", _cloud(name, cloud), time_ns, index)


def write_truth(file: McapFile, frame: Frame) -> None:
    """Write the ground truth of a frame, one json message a result."""
    for key, result in frame.truth.items():
        file.json(f"/truth/{key}", result.to_dict(), RESULT_SCHEMA, frame.timestamp_ns, frame.index)


def _transforms(frame: Frame) -> Any | None:
    from foxglove.messages import FrameTransforms

    poses = [] if frame.ego_pose is None else [("world", "ego", frame.ego_pose)]
    for name, camera in frame.calibration.cameras.items():
        if camera.ego_from_camera is not None:
            poses.append(("ego", name, camera.ego_from_camera))
    poses += [("ego", name, pose) for name, pose in frame.calibration.sensors.items()]
    if not poses:
        return None
    return FrameTransforms(transforms=[_transform(*pose, frame.timestamp_ns) for pose in poses])


def _transform(parent: str, child: str, pose: np.ndarray, time_ns: int) -> Any:
    from foxglove.messages import FrameTransform, Quaternion, Vector3

    x, y, z, w = matrix_to_quaternion(pose[:3, :3]).tolist()
    tx, ty, tz = pose[:3, 3].tolist()
    return FrameTransform(
        timestamp=timestamp(time_ns),
        parent_frame_id=parent,
        child_frame_id=child,
        translation=Vector3(x=tx, y=ty, z=tz),
        rotation=Quaternion(x=x, y=y, z=z, w=w),
    )


def _calibration(name: str, camera: Camera, time_ns: int) -> Any:
    from foxglove.messages import CameraCalibration

    projection = camera.rectified
    if projection is None:
        projection = np.concatenate([camera.intrinsics, np.zeros((3, 1))], axis=1)
    return CameraCalibration(
        timestamp=timestamp(time_ns),
        frame_id=name,
        width=camera.width,
        height=camera.height,
        distortion_model=_LENS_NAMES.get(camera.lens, camera.lens),
        D=camera.distortion.tolist(),
        K=camera.intrinsics.ravel().tolist(),
        R=np.eye(3).ravel().tolist(),
        P=projection.ravel().tolist(),
    )


def _image(name: str, image: np.ndarray, time_ns: int, image_format: str, quality: int) -> Any:
    import cv2
    from foxglove.messages import CompressedImage

    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if image_format == "jpeg" else []
    _, data = cv2.imencode(f".{image_format}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return CompressedImage(timestamp=timestamp(time_ns), frame_id=name, data=data.tobytes(), format=image_format)


def _cloud(name: str, cloud: PointCloud) -> Any:
    from foxglove.messages import PackedElementField, PackedElementFieldNumericType, Pose, Quaternion, Vector3
    from foxglove.messages import PointCloud as CloudMessage

    columns: dict[str, np.ndarray] = {axis: cloud.points[:, i] for i, axis in enumerate("xyz")}
    columns.update(cloud.fields)
    types = {key: _stored_type(column) for key, column in columns.items()}
    packed = np.empty(len(cloud), dtype=[(key, "<" + np.dtype(kind).str[1:]) for key, kind in types.items()])
    for key, column in columns.items():
        packed[key] = column
    offsets = {key: packed.dtype.fields[key][1] for key in columns}  # type: ignore[index]
    fields = [
        PackedElementField(
            name=key, offset=offsets[key], type=getattr(PackedElementFieldNumericType, kind.capitalize())
        )
        for key, kind in types.items()
    ]
    return CloudMessage(
        timestamp=timestamp(cloud.timestamp_ns),
        frame_id=name,
        pose=Pose(position=Vector3(), orientation=Quaternion(w=1.0)),
        point_stride=packed.dtype.itemsize,
        fields=fields,
        data=packed.tobytes(),
    )


def _stored_type(column: np.ndarray) -> str:
    return column.dtype.name if column.dtype.name in _NUMERIC else "float64"
