"""Sweeps of a drive, whatever its format: points in the car's frame with what is known of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from perception.errors import PerceptionError
from perception.geometry.transforms import invert_pose
from perception.sources import open_drive
from perception.structures import Boxes3D, Frame

CLASSES = ("ground", "static", "vehicle", "person")
GROUND, STATIC, VEHICLE, PERSON = range(4)
UNKNOWN = -1
_VEHICLES = (
    "vehicle",
    "car",
    "van",
    "truck",
    "bus",
    "motorcycle",
    "bicycle",
    "cyclist",
    "tram",
    "trailer",
    "bicyclist",
)
_PEOPLE = ("human", "person", "pedestrian", "wheelchair", "stroller")


@dataclass(frozen=True, eq=False)
class Sweep:
    """One sweep.

    Attributes:
        time_ns: Its time.
        points: (N, 3) float32 in the car's frame.
        pose: (4, 4) float64 ``world_from_ego``, or None.
        sensor: (3,) float64 place of the sensor in the car's frame.
        labels: (N,) int64 index into `CLASSES` or `UNKNOWN`; None without labels.
        boxes: Objects in the car's frame, or None.
    """

    time_ns: int
    points: Tensor
    pose: np.ndarray | None
    sensor: np.ndarray
    labels: Tensor | None = None
    boxes: Boxes3D | None = None


def class_of(name: str) -> int:
    """Class of an object by the name a data set gives it, `UNKNOWN` for the rest."""
    words = name.lower().replace(".", "_").replace("-", "_").split("_")
    if any(word in _PEOPLE for word in words) and words[0] != "vehicle":
        return PERSON
    return VEHICLE if any(word in _VEHICLES for word in words) else UNKNOWN


def _seg_table() -> np.ndarray:
    """nuScenes-lidarseg number -> class; noise and the car itself stay unknown."""
    table = np.full(256, UNKNOWN, np.int64)
    table[1:2], table[2:9], table[9:14], table[14:24] = STATIC, PERSON, STATIC, VEHICLE
    table[24:28], table[28:31] = GROUND, STATIC
    return table


SEG_CLASSES = _seg_table()


def sweep_of(frame: Frame, lidar: str | None = None) -> Sweep:
    """The sweep of a frame, brought into the car's frame; LiDARs without a known place count as mounted in its origin.

    Args:
        frame: With at least one cloud.
        lidar: Which one; None takes the only or the first one.

    Raises:
        PerceptionError: The frame has no such cloud.
    """
    name = lidar or next(iter(frame.clouds), "")
    if name not in frame.clouds:
        raise PerceptionError(f"frame {frame.index}: expected a point cloud {name!r}, found {list(frame.clouds)}")
    cloud = frame.clouds[name]
    mount = frame.calibration.sensors.get(name)
    points = cloud.points
    if mount is not None and not np.array_equal(mount, np.eye(4)):
        points = (points @ mount[:3, :3].T.astype(np.float32) + mount[:3, 3].astype(np.float32)).astype(np.float32)
    labels = None
    if "lidarseg" in cloud.fields:
        labels = torch.from_numpy(SEG_CLASSES[cloud.fields["lidarseg"].astype(np.int64)])
    boxes = frame.truth.get("ego/boxes_3d")
    sensor = np.zeros(3) if mount is None else np.asarray(mount[:3, 3], np.float64)
    known = boxes if isinstance(boxes, Boxes3D) else None
    return Sweep(
        frame.timestamp_ns, torch.from_numpy(np.array(points, order="C")), frame.ego_pose, sensor, labels, known
    )


def read_sweeps(drive: str | Path, lidar: str | None = None) -> Iterator[Sweep]:
    """All sweeps of a drive in the order of time; frames without one are left out, of equal times the first stays.

    Raises:
        InputError: The drive cannot be read.
    """
    last = None
    with open_drive(drive) as source:
        for frame in source:
            if (
                frame.clouds
                and (last is None or frame.timestamp_ns > last)
                and (lidar is None or lidar in frame.clouds)
            ):
                last = frame.timestamp_ns
                yield sweep_of(frame, lidar)


def relative(newest: Sweep, other: Sweep) -> np.ndarray:
    """(4, 4) float64 ``newest_from_other``.

    Raises:
        PerceptionError: One of them has no pose.
    """
    if newest.pose is None or other.pose is None:
        raise PerceptionError(f"sweeps at {newest.time_ns} and {other.time_ns} ns: expected poses, found none")
    return invert_pose(newest.pose) @ other.pose
