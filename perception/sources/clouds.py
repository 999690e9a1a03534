"""Packed point clouds (``sensor_msgs/PointCloud2``, ``foxglove.PointCloud``) -> :class:`PointCloud`."""

from __future__ import annotations

from typing import Any

import numpy as np

from perception.geometry import quaternion_to_matrix
from perception.sources.wire import MessageError
from perception.structures import PointCloud

__all__ = ["TIME_FIELDS", "decode_cloud", "field_name", "relative_seconds"]

_ROS_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
_FOXGLOVE_TYPES = {1: "u1", 2: "i1", 3: "u2", 4: "i2", 5: "u4", 6: "i4", 7: "f4", 8: "f8"}
TIME_FIELDS = ("t", "time", "timestamp", "time_stamp", "offset_ns", "time_offset", "offset_time")
_RENAMED = {"reflectivity": "intensity", "i": "intensity", "line": "ring", "channel": "ring", "laser": "ring"}


def decode_cloud(message: Any, payload: bytes | np.ndarray, stamp_ns: int, sensor: str) -> tuple[PointCloud, int]:
    """Read a cloud by the names of its fields.

    Row padding, big endian data and non-dense clouds are handled. Points with a coordinate that is not finite are
    removed. The time of a point (fields ``t``, ``time``, ``timestamp``, ...) becomes ``time`` in seconds relative to
    ``stamp_ns``: integers are nanoseconds, floats seconds, and values above 1e8 s (1e17 ns) are absolute.

    Args:
        message: PointCloud2 or foxglove PointCloud, as object with attributes.
        payload: Its ``data`` as bytes.
        stamp_ns: Time of the sweep.
        sensor: Name of the sensor.

    Returns:
        The cloud in the sensor frame, and how many points were removed.

    Raises:
        MessageError: x, y or z is missing, a field lies outside the point, or bytes are missing.
    """
    table = _ros_table(message, payload) if hasattr(message, "point_step") else _foxglove_table(message, payload)
    names = table.dtype.names or ()
    missing = [axis for axis in "xyz" if axis not in names]
    if missing:
        raise MessageError(f"expected the fields x, y and z, found {', '.join(names) or 'none'}")
    if many := [axis for axis in "xyz" if table[axis].ndim != 1]:
        raise MessageError(f"expected one number a point in x, y and z, found several in {', '.join(many)}")
    points = np.empty((len(table), 3), np.float32)
    for column, axis in enumerate("xyz"):
        points[:, column] = table[axis]
    if hasattr(message, "pose"):
        points = _moved(points, message.pose)
    clean = bool(np.isfinite(points).all())
    finite: Any = slice(None) if clean else np.isfinite(points).all(axis=1)
    fields: dict[str, np.ndarray] = {}
    for name in names:
        if name in "xyz" or table[name].ndim != 1:
            continue
        column = table[name][finite]
        native = np.array(column, dtype=column.dtype.newbyteorder("="))  # contiguous, and free of the message
        if name in TIME_FIELDS and "time" not in fields:
            fields["time"] = relative_seconds(native, stamp_ns)
        else:
            fields.setdefault(field_name(name), native)
    return PointCloud(points[finite], fields, stamp_ns, sensor), 0 if clean else int(len(points) - finite.sum())


def field_name(name: str) -> str:
    """The name a column of a cloud is delivered under: ``reflectivity`` is ``intensity``, ``laser`` is ``ring``."""
    return _RENAMED.get(name, name)


def _ros_table(message: Any, payload: bytes | np.ndarray) -> np.ndarray:
    dtype = _dtype(message.fields, "datatype", _ROS_TYPES, message.point_step, bool(message.is_bigendian))
    height, width, step = int(message.height), int(message.width), int(message.row_step)
    step = step if height > 1 else width * dtype.itemsize
    if height * width == 0:
        return np.zeros(0, dtype)
    if step < width * dtype.itemsize:
        raise MessageError(f"expected row_step of at least {width * dtype.itemsize}, found {step}")
    needed = step * (height - 1) + width * dtype.itemsize
    if len(payload) < needed:
        raise MessageError(f"expected {needed} bytes for {height} x {width} points, found {len(payload)}")
    strides = step, dtype.itemsize
    grid: np.ndarray = np.ndarray((height, width), dtype, np.frombuffer(payload, np.uint8), 0, strides)
    return grid.reshape(-1)


def _foxglove_table(message: Any, payload: bytes | np.ndarray) -> np.ndarray:
    dtype = _dtype(message.fields, "type", _FOXGLOVE_TYPES, message.point_stride, False)
    if len(payload) % dtype.itemsize:
        raise MessageError(f"expected a multiple of {dtype.itemsize} bytes, found {len(payload)}")
    return np.frombuffer(payload, dtype)


def _dtype(fields: Any, key: str, types: dict[int, str], stride: int, big_endian: bool) -> np.dtype:
    names, formats, offsets = [], [], []
    for field in fields:
        code = types.get(int(getattr(field, key)))
        if code is None:
            raise MessageError(f"field {field.name!r}: expected datatype 1 to 8, found {getattr(field, key)}")
        count = int(getattr(field, "count", 1) or 1)
        base = np.dtype((">" if big_endian else "<") + code)
        if field.name in names or field.offset + base.itemsize * count > stride:
            raise MessageError(f"field {field.name!r}: expected a unique name within {stride} bytes a point")
        names.append(field.name)
        formats.append(base if count == 1 else (base, (count,)))
        offsets.append(int(field.offset))
    try:
        return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": int(stride)})
    except (ValueError, TypeError) as error:
        raise MessageError(f"expected a valid point layout, found {error}") from error


def relative_seconds(values: np.ndarray, stamp_ns: int) -> np.ndarray:
    """Times of points in seconds after ``stamp_ns``; units and origin as :func:`decode_cloud` says."""
    if values.size == 0:
        return values.astype(np.float32)
    if values.dtype.kind in "iu":
        nanoseconds = values.astype(np.int64)
        return ((nanoseconds - (stamp_ns if nanoseconds.max() > 1e17 else 0)) * 1e-9).astype(np.float32)
    seconds = values.astype(np.float64)
    largest = np.nanmax(np.abs(seconds)) if np.isfinite(seconds).any() else 0.0
    if largest > 1e17:
        seconds = (seconds - stamp_ns) * 1e-9
    elif largest > 1e8:
        seconds = seconds - stamp_ns * 1e-9
    return seconds.astype(np.float32)


def _moved(points: np.ndarray, pose: Any) -> np.ndarray:
    """Apply foxglove's ``pose`` (origin of the cloud in its frame) unless it is the identity."""
    turn = np.array([getattr(pose.orientation, axis, 0.0) for axis in "xyzw"], dtype=np.float64)
    shift = np.array([getattr(pose.position, axis, 0.0) for axis in "xyz"], dtype=np.float64)
    if not turn.any() or (abs(abs(turn[3]) - 1) < 1e-12 and not shift.any()):
        return points
    return (points @ quaternion_to_matrix(turn).T + shift).astype(np.float32)
