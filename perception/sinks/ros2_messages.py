"""ROS 2 messages without ROS: made by name with defaults, serialized as CDR with their definition."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

__all__ = ["color", "definition", "header", "message", "pose", "serialized", "stamp", "vector"]

_VISION = {
    "Point2D": "float64 x\nfloat64 y",
    "Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size",
    "ObjectHypothesis": "string class_id\nfloat64 score",
    "ObjectHypothesisWithPose": "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose",
    "Detection2D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
        "vision_msgs/BoundingBox2D bbox\nstring id"
    ),
    "Detection3D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
        "vision_msgs/BoundingBox3D bbox\nstring id"
    ),
    "Detection2DArray": "std_msgs/Header header\nvision_msgs/Detection2D[] detections",
    "Detection3DArray": "std_msgs/Header header\nvision_msgs/Detection3D[] detections",
}
"""Interfaces of vision_msgs 4 (ROS 2 Humble and later), which the type store does not bring."""


@lru_cache(1)
def _store() -> Any:
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    for name, text in _VISION.items():
        store.register(get_types_from_msg(text, f"vision_msgs/msg/{name}"))
    return store


def message(kind: str, **given: Any) -> Any:
    """A message such as ``message("std_msgs/msg/String", data="x")``; fields that are not given are zero or empty.

    Raises:
        TypeError: A field does not exist.
    """
    store = _store()
    values = {name: _default(*_described(node)) for name, node in store.fielddefs[kind][1]}
    unknown = set(given) - set(values)
    if unknown:
        raise TypeError(f"{kind}: no field {', '.join(sorted(unknown))}")
    return store.types[kind](**{**values, **given})


def serialized(kind: str, content: Any) -> bytes:
    """CDR, little endian."""
    return bytes(_store().serialize_cdr(content, kind))


@lru_cache(None)
def definition(kind: str) -> str:
    """The text of a type and of all it is made of."""
    return _store().generate_msgdef(kind, ros_version=2)[0]


def stamp(time_ns: int) -> Any:
    """Nanoseconds as ``builtin_interfaces/msg/Time``."""
    return message("builtin_interfaces/msg/Time", sec=time_ns // 1_000_000_000, nanosec=time_ns % 1_000_000_000)


def header(time_ns: int, frame_id: str) -> Any:
    """A ``std_msgs/msg/Header``."""
    return message("std_msgs/msg/Header", stamp=stamp(time_ns), frame_id=frame_id)


def vector(values: Any, kind: str = "geometry_msgs/msg/Point") -> Any:
    """x, y, z as a point, or as a ``geometry_msgs/msg/Vector3``."""
    x, y, z = (float(value) for value in values)
    return message(kind, x=x, y=y, z=z)


def pose(position: Any, yaw: float = 0.0) -> Any:
    """A ``geometry_msgs/msg/Pose`` turned about z."""
    turn = message("geometry_msgs/msg/Quaternion", z=float(np.sin(yaw / 2)), w=float(np.cos(yaw / 2)))
    return message("geometry_msgs/msg/Pose", position=vector(position), orientation=turn)


def color(rgb: tuple[int, int, int], alpha: float = 1.0) -> Any:
    """8-bit rgb as ``std_msgs/msg/ColorRGBA``."""
    r, g, b = (value / 255 for value in rgb)
    return message("std_msgs/msg/ColorRGBA", r=r, g=g, b=b, a=alpha)


def _described(node: Any) -> tuple[str, str, int]:
    """(what, type, length) of a field: what is base, name, array or sequence."""
    from rosbags.interfaces import Nodetype

    what, detail = node
    if what == Nodetype.BASE:
        return "base", detail[0], 0
    if what == Nodetype.NAME:
        return "name", detail, 0
    (inner, content), length = detail
    kind = content[0] if inner == Nodetype.BASE else f"*{content}"
    return ("array" if what == Nodetype.ARRAY else "sequence"), kind, length


@lru_cache(None)
def _default(what: str, kind: str, length: int) -> Any:
    """Shared, as nobody changes a message once it is made."""
    if what == "name":
        return message(kind)
    if what == "base":
        return "" if kind == "string" else False if kind == "bool" else 0.0 if kind.startswith("float") else 0
    if kind.startswith("*") or kind == "string":
        return [message(kind[1:]) if kind.startswith("*") else "" for _ in range(length)]
    return np.zeros(length, np.uint8 if kind in ("octet", "char", "byte") else np.dtype(kind))
