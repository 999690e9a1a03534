"""Which topic of a drive is which sensor: derived from the topics, or read from a small yaml file."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from perception.errors import InputError, UnknownNameError
from perception.sources.log import Channel
from perception.sources.messages import ROLES

__all__ = ["CameraMapping", "DriveMapping", "LidarMapping", "Sync", "pose_topics"]

_GENERIC = frozenset(
    re.findall(
        r"\w+",
        "camera cameras cam cams image images img raw color colour rgb mono rect rectified compressed jpeg png topic "
        "sensing sensor sensors usb driver drivers node stream video lidar lidars laser points point cloud pointcloud "
        "pointcloud2 velodyne ouster os1 scan concatenated",
    )
)
_NOT_PHOTOS = frozenset(
    re.findall(r"\w+", "depth disparity mask label segmentation semantic compresseddepth theora ir infra")
)
_OURS = re.compile(r"^/(?:camera|lidar)/([^/]+)/(?:image|points)$")


@dataclass(frozen=True)
class CameraMapping:
    """One camera: its image topic, calibration topic or None, and coordinate frame (empty: as its messages say)."""

    image: str = ""
    info: str | None = None
    frame: str = ""


@dataclass(frozen=True)
class LidarMapping:
    """One LiDAR: its cloud topic and coordinate frame (empty: as its messages say)."""

    points: str = ""
    frame: str = ""


@dataclass(frozen=True)
class Sync:
    """How messages become frames.

    Attributes:
        reference: Sensor whose messages drive the frames; empty: the camera ``front``, else the first camera or LiDAR.
        tolerance_ms: Messages of other sensors belong to a frame if their stamps differ by at most this.
        wait_ms: Log time to wait for late messages of other sensors.
    """

    reference: str = ""
    tolerance_ms: float = 50.0
    wait_ms: float = 500.0


@dataclass(frozen=True)
class DriveMapping:
    """Sensors of a drive.

    Attributes:
        cameras: Name -> :class:`CameraMapping`.
        lidars: Name -> :class:`LidarMapping`.
        pose: ``"tf"``, a topic with poses or satellite fixes of the vehicle, ``"lidar"`` to compute them from the
            clouds, or ``""`` for none.
        imu: Topic whose orientation goes with satellite fixes, or ``""``.
        ego_frame: Frame of the vehicle in the transforms; empty: found by name.
        world_frame: Frame the ego pose is stated in; empty: found by name.
        sync: Synchronisation.
    """

    cameras: Mapping[str, CameraMapping] = field(default_factory=dict)
    lidars: Mapping[str, LidarMapping] = field(default_factory=dict)
    pose: str = ""
    imu: str = ""
    ego_frame: str = ""
    world_frame: str = ""
    sync: Sync = field(default_factory=Sync)

    @property
    def reference(self) -> str:
        """Sensor that drives the frames, empty when there is none."""
        names = [*self.cameras, *self.lidars]
        if self.sync.reference or not names:
            return self.sync.reference
        return "front" if "front" in self.cameras else names[0]

    @classmethod
    def from_yaml(cls, path: str | Path) -> DriveMapping:
        """Read a mapping file; unknown keys are errors that suggest the right one.

        Raises:
            InputError: The file is missing, no yaml, or has a value of a wrong type.
            UnknownNameError: A key or the reference sensor is not known.
        """
        try:
            data = yaml.safe_load(Path(path).read_text())
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(path, "", "a mapping in yaml", str(error)) from error
        try:
            return cls.from_dict(data or {})
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(path, "", "keys cameras, lidars, pose, sync with mappings below", str(error)) from error

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DriveMapping:
        """From the form of :meth:`to_dict`."""
        _check_keys("mapping key", data, ("cameras", "lidars", "pose", "imu", "ego_frame", "world_frame", "sync"))
        cameras, lidars = {}, {}
        for name, entry in (data.get("cameras") or {}).items():
            entry = {"image": entry} if isinstance(entry, str) else entry or {}
            _check_keys("camera key", entry, ("image", "info", "frame"))
            cameras[str(name)] = CameraMapping(**entry)
        for name, entry in (data.get("lidars") or {}).items():
            entry = {"points": entry} if isinstance(entry, str) else entry or {}
            _check_keys("lidar key", entry, ("points", "frame"))
            lidars[str(name)] = LidarMapping(**entry)
        sync = data.get("sync") or {}
        _check_keys("sync key", sync, ("reference", "tolerance_ms", "wait_ms"))
        texts = {key: str(data.get(key) or "") for key in ("pose", "imu", "ego_frame", "world_frame")}
        mapping = cls(cameras, lidars, sync=Sync(**sync), **texts)
        if mapping.sync.reference and mapping.sync.reference not in (*cameras, *lidars):
            raise UnknownNameError("reference sensor", mapping.sync.reference, [*cameras, *lidars])
        return mapping

    def to_dict(self) -> dict[str, Any]:
        """As written to a mapping file."""
        sync = {"reference": self.reference, "tolerance_ms": self.sync.tolerance_ms, "wait_ms": self.sync.wait_ms}
        return {
            "cameras": {name: _filled(entry) for name, entry in self.cameras.items()},
            "lidars": {name: _filled(entry) for name, entry in self.lidars.items()},
            "pose": self.pose,
            **({"imu": self.imu} if self.imu else {}),
            **({"ego_frame": self.ego_frame} if self.ego_frame else {}),
            **({"world_frame": self.world_frame} if self.world_frame else {}),
            "sync": sync,
        }

    @classmethod
    def from_channels(cls, channels: Mapping[str, Channel]) -> DriveMapping:
        """Derive the mapping from topics and their types.

        A single camera is ``front``. Of several, the words of the topic that distinguish it make the name
        (``/CAM_FRONT_LEFT/image_raw/compressed`` -> ``front_left``). Topics ``/camera/<name>/image`` and
        ``/lidar/<name>/points`` keep their name.
        """
        filled = {topic: channel for topic, channel in channels.items() if channel.count}
        by_role = {role: [t for t, c in filled.items() if ROLES.get(c.schema) == role] for role in set(ROLES.values())}
        photos = [topic for topic in by_role["image"] if not _NOT_PHOTOS & set(_words(topic))]
        cameras = {}
        for name, topic in _named(photos, "camera", filled).items():
            cameras[name] = CameraMapping(topic, _calibration_topic(topic, by_role["calibration"]))
        if len(cameras) == 1 and not _OURS.match(next(iter(cameras.values())).image):
            cameras = {"front": next(iter(cameras.values()))}
        lidars = {name: LidarMapping(topic) for name, topic in _named(by_role["cloud"], "lidar", filled).items()}
        pose = next(iter(pose_topics(channels)), "")
        return cls(cameras, lidars, pose, next(iter(by_role["imu"]), "") if pose in by_role["gnss"] else "")

    def check(self, path: Path, channels: Mapping[str, Channel]) -> None:
        """Make sure that every mapped topic exists and has a type that fits.

        Raises:
            UnknownNameError: A topic is not in the drive.
            InputError: A topic has another type.
        """
        wanted = [(camera.image, "image") for camera in self.cameras.values()]
        wanted += [(camera.info, "calibration") for camera in self.cameras.values() if camera.info]
        wanted += [(lidar.points, "cloud") for lidar in self.lidars.values()]
        wanted += [(self.pose, "pose or gnss")] if self.pose not in ("", "tf", "lidar") else []
        wanted += [(self.imu, "imu")] if self.imu else []
        for topic, roles in wanted:
            if topic not in channels:
                raise UnknownNameError("topic", str(topic), channels)
            schema = channels[str(topic)].schema
            if ROLES.get(schema) not in roles.split(" or "):
                expected = " or ".join(name for name, value in ROLES.items() if value in roles.split(" or "))
                raise InputError(path, f"topic {topic}", expected, schema or "no schema")


def pose_topics(channels: Mapping[str, Channel]) -> list[str]:
    """Where ego poses may come from, best first: ``tf``, odometry, topics named like poses, satellite fixes."""
    roles = {topic: ROLES.get(channel.schema) for topic, channel in channels.items() if channel.count}
    transforms = ["tf"] if "transforms" in roles.values() else []
    poses = [topic for topic, role in roles.items() if role == "pose"]
    odometry = [topic for topic in poses if channels[topic].schema == "nav_msgs/Odometry"]
    named = [topic for topic in poses if re.search("pose|odom|locali", topic.lower()) and topic not in odometry]
    return [*transforms, *odometry, *named, *(topic for topic, role in roles.items() if role == "gnss")]


def _calibration_topic(image: str, topics: Collection[str]) -> str | None:
    """The calibration topic that shares the longest namespace with the image topic."""
    found = [topic for topic in topics if len(_parent(topic)) > 1 and f"{image}/".startswith(f"{_parent(topic)}/")]
    return max(found, key=lambda topic: len(_parent(topic)), default=None)


def _named(topics: Collection[str], default: str, channels: Mapping[str, Channel]) -> dict[str, str]:
    """Names for topics; of several topics of one sensor (raw and compressed) the one with most messages stays."""
    names: dict[str, str] = {}
    for topic in sorted(topics, key=lambda topic: (-channels[topic].count, topic)):
        ours = _OURS.match(topic)
        words = [word for word in _words(topic) if word not in _GENERIC]
        names.setdefault(ours.group(1) if ours else "_".join(words) or default, topic)
    return dict(sorted(names.items(), key=lambda item: list(channels).index(item[1])))


def _words(topic: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", topic.lower()) if word]


def _parent(topic: str) -> str:
    return topic.rstrip("/").rpartition("/")[0]


def _filled(entry: CameraMapping | LidarMapping) -> dict[str, str]:
    return {key: value for key, value in vars(entry).items() if value}


def _check_keys(kind: str, data: Any, known: Collection[str]) -> None:
    if not isinstance(data, Mapping):
        raise TypeError(f"expected a mapping with the keys {', '.join(known)}, found {type(data).__name__} {data!r}")
    for key in data:
        if key not in known:
            raise UnknownNameError(kind, str(key), known)
