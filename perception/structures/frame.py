"""What a drive delivers at one moment: images, point clouds, calibration, pose, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from perception.errors import PerceptionError
from perception.geometry.camera import Camera
from perception.structures.checks import array_field
from perception.structures.result import Result

__all__ = ["Calibration", "Fault", "Frame", "PointCloud", "Provenance"]

FAULT_KINDS = frozenset(
    {"missing", "corrupt", "exception", "nonfinite", "time", "size", "calibration", "dropped", "skipped"}
)


def _frozen(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping if isinstance(mapping, MappingProxyType) else MappingProxyType(dict(mapping))


@dataclass(frozen=True, eq=False)
class Calibration:
    """The rig.

    Attributes:
        cameras: Camera name -> :class:`~perception.geometry.Camera`.
        sensors: Name of any other sensor -> (4, 4) float64 ``ego_from_sensor``.
    """

    cameras: Mapping[str, Camera] = field(default_factory=dict)
    sensors: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cameras", _frozen(self.cameras))
        sensors = {
            name: array_field("Calibration", f"sensors[{name}]", pose, (4, 4), np.float64)
            for name, pose in self.sensors.items()
        }
        object.__setattr__(self, "sensors", _frozen(sensors))


@dataclass(frozen=True, eq=False)
class PointCloud:
    """One LiDAR sweep in its sensor's frame.

    Attributes:
        points: (N, 3) float32 metres, sensor frame, finite.
        fields: Further columns, each (N,): ``intensity``, ``ring``, ``time`` (seconds after ``timestamp_ns``), ...
        timestamp_ns: Time of the sweep in nanoseconds.
        sensor: Name of the sensor.
    """

    points: np.ndarray
    fields: Mapping[str, np.ndarray] = field(default_factory=dict)
    timestamp_ns: int = 0
    sensor: str = "lidar"

    def __post_init__(self) -> None:
        points = array_field("PointCloud", "points", self.points, (None, 3), np.float32)
        object.__setattr__(self, "points", points)
        fields_ = {
            name: array_field("PointCloud", f"fields[{name}]", column, (len(points),), np.asarray(column).dtype)
            for name, column in self.fields.items()
        }
        object.__setattr__(self, "fields", _frozen(fields_))

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True)
class Fault:
    """Something that went wrong without stopping the run.

    Attributes:
        where: Sensor or stage.
        kind: One of ``missing corrupt exception nonfinite time size calibration dropped skipped``.
        message: What was expected and found.
    """

    where: str
    kind: str
    message: str = ""

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise PerceptionError(f"Fault.kind: expected one of {sorted(FAULT_KINDS)}, found {self.kind!r}")

    def to_dict(self) -> dict[str, str]:
        """Json-able form."""
        return {"where": self.where, "kind": self.kind, "message": self.message}


@dataclass(frozen=True)
class Provenance:
    """Where a frame came from: the drive's path or URI, the source class, and the record (topic, file) inside it."""

    drive: str = ""
    source: str = ""
    record: str = ""


@dataclass(frozen=True, eq=False)
class Frame:
    """All that was measured at one moment.

    Attributes:
        timestamp_ns: Header stamp of the reference sensor, nanoseconds.
        index: Number of the frame in its drive, from 0.
        images: Camera name -> (H, W, 3) uint8 RGB.
        clouds: LiDAR name -> :class:`PointCloud`.
        calibration: The rig, possibly empty.
        ego_pose: (4, 4) float64 ``world_from_ego``, or None when unknown.
        truth: ``"<frame_id>/<kind>"`` -> ground truth result.
        faults: Sensors missing or corrupt in this frame.
        provenance: Where it came from.
        world_origin: Latitude and longitude in degrees and height in metres of the world's origin, whose x points east
            and y north; None when the world is not tied to the earth.
    """

    timestamp_ns: int
    index: int = 0
    images: Mapping[str, np.ndarray] = field(default_factory=dict)
    clouds: Mapping[str, PointCloud] = field(default_factory=dict)
    calibration: Calibration = field(default_factory=Calibration)
    ego_pose: np.ndarray | None = None
    truth: Mapping[str, Result] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    provenance: Provenance = Provenance()
    world_origin: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        for name, image in self.images.items():
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                found = f"{image.shape} {image.dtype}"
                raise PerceptionError(f"Frame.images[{name}]: expected (H, W, 3) uint8 RGB, found {found}")
        if self.ego_pose is not None:
            pose = array_field("Frame", "ego_pose", self.ego_pose, (4, 4), np.float64)
            object.__setattr__(self, "ego_pose", pose)
        for name in ("images", "clouds", "truth"):
            object.__setattr__(self, name, _frozen(getattr(self, name)))
        object.__setattr__(self, "faults", tuple(self.faults))
