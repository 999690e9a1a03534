"""What the messages of ROS 1, ROS 2 and Foxglove mean, independent of the container and the encoding they came in.

A message is any object with the fields of its schema as attributes: one decoder serves CDR, ROS 1, protobuf and json.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from perception.errors import PerceptionError
from perception.geometry import make_pose, quaternion_to_matrix
from perception.sources.clouds import decode_cloud
from perception.sources.pixels import decode_compressed, decode_raw
from perception.sources.velodyne import decode_scan
from perception.sources.video_messages import DecodedImage, is_video
from perception.sources.wire import RESULT_SCHEMA, MessageError, fitting
from perception.structures import Camera, PointCloud, Result, result_from_dict

__all__ = [
    "ROLES",
    "Transform",
    "camera_of",
    "cloud_of",
    "frame_of",
    "image_of",
    "pose_of",
    "result_of",
    "stamp_of",
    "transforms_of",
]

ROLES = {
    "sensor_msgs/CompressedImage": "image",
    "sensor_msgs/Image": "image",
    "foxglove.CompressedImage": "image",
    "foxglove.RawImage": "image",
    "foxglove.CompressedVideo": "image",
    "sensor_msgs/CameraInfo": "calibration",
    "foxglove.CameraCalibration": "calibration",
    "sensor_msgs/PointCloud2": "cloud",
    "foxglove.PointCloud": "cloud",
    "velodyne_msgs/VelodyneScan": "cloud",
    "tf2_msgs/TFMessage": "transforms",
    "foxglove.FrameTransform": "transforms",
    "foxglove.FrameTransforms": "transforms",
    "nav_msgs/Odometry": "pose",
    "geometry_msgs/PoseStamped": "pose",
    "geometry_msgs/PoseWithCovarianceStamped": "pose",
    "foxglove.PoseInFrame": "pose",
    "sensor_msgs/NavSatFix": "gnss",
    "foxglove.LocationFix": "gnss",
    "sensor_msgs/Imu": "imu",
    RESULT_SCHEMA: "result",
}
"""Schema -> what it carries; all other schemas are ignored."""

_COEFFICIENTS = {"plumb_bob": 5, "rational_polynomial": 8, "equidistant": 4}
_LENSES = {
    "plumb_bob": "plumb_bob",
    "radtan": "plumb_bob",
    "rational_polynomial": "rational_polynomial",
    "equidistant": "equidistant",
    "fisheye": "equidistant",
    "fisheye_equidistant": "equidistant",
    "kannala_brandt": "equidistant",
}


@dataclass(frozen=True)
class Transform:
    """``parent_from_child`` (4, 4) at a time."""

    parent: str
    child: str
    stamp_ns: int
    matrix: np.ndarray


def stamp_of(message: Any) -> int:
    """Header stamp in nanoseconds, 0 when the message has none that can be read."""
    try:
        return 0 if isinstance(message, Mapping) else _stamp(message)
    except (AttributeError, TypeError, ValueError, OverflowError):  # json carries whatever was written into it
        return 0


def _stamp(message: Any) -> int:
    header = getattr(message, "header", None)
    time = getattr(message, "timestamp", None) if header is None else header.stamp
    if time is None:
        return 0
    seconds = getattr(time, "seconds", None)
    if seconds is not None:
        return int(seconds) * 10**9 + int(time.nanos)
    nanoseconds = getattr(time, "nanosec", None)
    return int(time.sec) * 10**9 + int(time.nsec if nanoseconds is None else nanoseconds)


def frame_of(message: Any) -> str:
    """Coordinate frame the message is in, without a leading slash."""
    header = getattr(message, "header", None)
    return str(getattr(message, "frame_id", "") if header is None else getattr(header, "frame_id", "")).lstrip("/")


@fitting
def image_of(message: Any) -> np.ndarray:
    """Any image message -> (H, W, 3) uint8 RGB; raises ``MessageError`` for damaged or unknown ones."""
    if isinstance(message, DecodedImage):
        return message.pixels
    payload = _payload(message.data)
    if hasattr(message, "encoding"):
        big_endian = bool(getattr(message, "is_bigendian", False))
        size = int(message.width), int(message.height)
        return decode_raw(payload, *size, str(message.encoding), int(message.step), big_endian)
    if is_video(message):
        raise MessageError(f"expected a still image (jpeg, png), found a packet of {message.format} video")
    return decode_compressed(payload)


@fitting
def cloud_of(message: Any, stamp_ns: int, sensor: str) -> tuple[PointCloud, int]:
    """Any point cloud message -> the cloud, and the number of points that were not finite and were removed."""
    if hasattr(message, "packets"):
        return decode_scan(message, stamp_ns, sensor)
    return decode_cloud(message, _payload(message.data), stamp_ns, sensor)


@fitting
def camera_of(message: Any, name: str) -> Camera | None:
    """``CameraInfo`` or ``CameraCalibration`` -> :class:`Camera` without extrinsics; None if K[0] is 0 (unset).

    A region of interest and binning change the camera to that of the delivered images. The rectified projection is
    taken over for cameras whose rectifying rotation R is the identity.

    Raises:
        MessageError: The lens model is not supported, or the numbers are inconsistent.
    """
    k, d = _numbers(message, "K"), _numbers(message, "D")
    if k.size != 9:
        raise MessageError(f"camera calibration of {name}: expected 9 numbers in K, found {k.size}")
    if k[0] == 0:
        return None
    lens, coefficients = _lens(str(message.distortion_model), d)
    rotation, projection = _numbers(message, "R"), _numbers(message, "P")
    straight = rotation.size != 9 or not rotation.any() or np.allclose(rotation.reshape(3, 3), np.eye(3), atol=1e-9)
    rectified = projection.reshape(3, 4) if projection.size == 12 and projection[0] > 0 and straight else None
    try:
        size = int(message.width), int(message.height)
        camera = Camera(name, *size, k.reshape(3, 3), lens, coefficients, rectified=rectified)
    except (PerceptionError, ValueError) as error:
        raise MessageError(f"camera calibration of {name}: {error}") from error
    return _delivered(camera, message)


def _delivered(camera: Camera, message: Any) -> Camera:
    roi = getattr(message, "roi", None)
    if roi is not None and roi.width and roi.height:
        x0, y0 = int(roi.x_offset), int(roi.y_offset)
        camera = camera.cropped(x0, y0, x0 + int(roi.width), y0 + int(roi.height))
    across, down = (max(int(getattr(message, f"binning_{axis}", 1)), 1) for axis in "xy")
    if across > 1 or down > 1:
        camera = camera.resized(camera.width // across, camera.height // down)
    return camera


def _lens(model: str, coefficients: np.ndarray) -> tuple[str, np.ndarray]:
    if coefficients.size == 0 or model.lower() in ("none", "pinhole"):
        return "none", np.zeros(0)
    guess = {4: "plumb_bob", 5: "plumb_bob", 8: "rational_polynomial"}.get(coefficients.size, "")
    lens = _LENSES.get(model.lower(), "") if model else guess
    if not lens:
        found = f"{model!r} with {coefficients.size} coefficients"
        raise MessageError(f"expected the lens model plumb_bob, rational_polynomial or equidistant, found {found}")
    keep = _COEFFICIENTS[lens]
    if coefficients[keep:].any():
        raise MessageError(f"lens model {model}: expected {keep} coefficients, found {coefficients.size}")
    return lens, coefficients[:keep]


@fitting
def transforms_of(message: Any, children: Collection[str] | None = None) -> list[Transform]:
    """``TFMessage``, ``FrameTransforms`` or ``FrameTransform`` -> list of :class:`Transform`, only of ``children``."""
    found = []
    for item in getattr(message, "transforms", None) or ([message] if hasattr(message, "child_frame_id") else []):
        child = str(item.child_frame_id).lstrip("/")
        if children is not None and child not in children:
            continue
        if hasattr(item, "parent_frame_id"):
            parent, move, turn = item.parent_frame_id, item.translation, item.rotation
        else:
            parent, move, turn = item.header.frame_id, item.transform.translation, item.transform.rotation
        found.append(Transform(str(parent).lstrip("/"), child, stamp_of(item), _matrix(move, turn)))
    return found


@fitting
def pose_of(message: Any) -> np.ndarray:
    """``Odometry``, ``PoseStamped`` or ``PoseInFrame`` -> (4, 4) pose in the frame of the message."""
    pose = message.pose
    pose = getattr(pose, "pose", pose)
    return _matrix(pose.position, pose.orientation)


def result_of(message: Any) -> Result:
    """Json of our truth and prediction channels -> the result it describes."""
    try:
        return result_from_dict(message)
    except (PerceptionError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise MessageError(f"expected a {RESULT_SCHEMA} record, found {error}") from error


def _matrix(move: Any, turn: Any) -> np.ndarray:
    translation = np.array([move.x, move.y, move.z], dtype=np.float64)
    rotation = np.array([turn.x, turn.y, turn.z, turn.w], dtype=np.float64)
    if not np.isfinite(translation).all() or not np.isfinite(rotation).all():
        raise MessageError(f"expected a finite transform, found {translation.tolist()}, {rotation.tolist()}")
    if not rotation.any():
        return make_pose(np.eye(3), translation)
    try:
        return make_pose(quaternion_to_matrix(rotation), translation)
    except PerceptionError as error:
        raise MessageError(str(error)) from error


def _payload(data: Any) -> bytes | np.ndarray:
    if isinstance(data, str):  # json carries base64
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise MessageError(f"expected base64 data, found {error}") from error
    return data


def _numbers(message: Any, name: str) -> np.ndarray:
    value: Any = getattr(message, name, None)  # ROS 1 and Foxglove write upper case, ROS 2 lower case
    return np.asarray(list(getattr(message, name.lower(), ()) if value is None else value), dtype=np.float64)
