"""The rig of a message log: calibration, mounting poses and image sizes, read once when the drive is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from perception.errors import InputError, PerceptionError, UnknownNameError
from perception.sources.log import MessageLog, first_message
from perception.sources.mapping import DriveMapping
from perception.sources.messages import ROLES, camera_of, frame_of, image_of, transforms_of
from perception.sources.transforms import TransformTree
from perception.sources.video_messages import VideoStreams, is_video
from perception.sources.wire import MessageError
from perception.structures import Calibration, Camera, Fault

__all__ = ["Rig", "check_cameras", "load_cameras", "read_rig"]

_SEED_MESSAGES = 500


@dataclass
class Rig:
    """What stays the same during a drive.

    Attributes:
        cameras: Calibrated cameras, with their pose in the ego frame where known.
        sensors: LiDAR -> (4, 4) ``ego_from_sensor`` where known.
        sizes: Camera -> (width, height) of its first image, None when it could not be decoded.
        tree: Static transforms.
        ego: Vehicle frame in the transforms, empty when there is none.
        world: Frame the ego pose is stated in, empty when unknown.
        pose_frames: Frames whose moving transforms make up the ego pose.
        antenna: (4, 4) pose of the satellite antenna in the ego frame, None when unknown.
        edges: Edges of the transform tree: (parent, child, True if it moves).
        faults: Calibrations that could not be used.
    """

    cameras: dict[str, Camera] = field(default_factory=dict)
    sensors: dict[str, np.ndarray] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    tree: TransformTree = field(default_factory=TransformTree)
    ego: str = ""
    world: str = ""
    pose_frames: frozenset[str] = frozenset()
    antenna: np.ndarray | None = None
    edges: tuple[tuple[str, str, bool], ...] = ()
    faults: list[Fault] = field(default_factory=list)

    def calibration(self, without: frozenset[str] = frozenset()) -> Calibration:
        """The calibration without the cameras whose images do not fit it."""
        cameras = {name: camera for name, camera in self.cameras.items() if name not in without}
        return Calibration(cameras, self.sensors)


def read_rig(log: MessageLog, mapping: DriveMapping, given: Mapping[str, Camera]) -> Rig:
    """Read the first message of every sensor and calibration topic, all static and the first moving transforms.

    Args:
        log: The drive.
        mapping: Its sensors.
        given: Calibrations that replace the drive's.

    Raises:
        UnknownNameError: ``given`` names a camera that the mapping lacks, or a frame of the mapping does not exist.
    """
    check_cameras(given, mapping.cameras)
    rig = Rig()
    tree = _read_transforms(log, rig)
    for asked in (mapping.ego_frame, mapping.world_frame):
        if asked and asked not in tree.frames:
            raise UnknownNameError("coordinate frame", asked, tree.frames)
    rig.ego = mapping.ego_frame or tree.ego_frame() or ""
    if rig.ego and mapping.pose == "tf":
        rig.world = mapping.world_frame or tree.world_frame(rig.ego) or ""
        chain = tree.chain(rig.ego)
        if rig.world in chain:
            rig.pose_frames = frozenset(name for name in chain[: chain.index(rig.world)] if name in tree.moving)
    for name, camera in mapping.cameras.items():
        message = first_message(log, camera.image)
        rig.sizes[name] = _image_size(message)
        info = first_message(log, camera.info) if camera.info else None
        calibrated = given.get(name) or _camera(rig, name, info)
        frame = camera.frame or (frame_of(message) if message is not None else "")
        pose = _mounted(tree, rig.ego, frame) if frame in tree.frames or info is None else None
        if pose is None and info is not None:
            pose = _mounted(tree, rig.ego, frame_of(info))
        if calibrated is not None:
            if calibrated.ego_from_camera is None and pose is not None:
                calibrated = replace(calibrated, ego_from_camera=pose)
            rig.cameras[name] = calibrated
    for name, lidar in mapping.lidars.items():
        message = None if lidar.frame else first_message(log, lidar.points)
        pose = _mounted(tree, rig.ego, lidar.frame or (frame_of(message) if message is not None else ""))
        if pose is not None:
            rig.sensors[name] = pose
    if mapping.pose in log.channels and ROLES.get(log.channels[mapping.pose].schema) == "gnss":
        fix = first_message(log, mapping.pose)
        rig.antenna = _mounted(tree, rig.ego, frame_of(fix)) if fix is not None else None
    rig.edges = tuple((parent, child, False) for child, (parent, _) in tree.static.items())
    rig.edges += tuple((parent, child, True) for child, (parent, _) in tree.moving.items())
    rig.tree = tree.without_motion()
    return rig


def moving_ego(log: MessageLog) -> bool:
    """Whether the transforms of a log connect the vehicle to a world, moving or not."""
    tree = _read_transforms(log, Rig())
    ego = tree.ego_frame()
    return ego is not None and tree.world_frame(ego) is not None


def camera_yaws(cameras: Mapping[str, Camera]) -> dict[str, float]:
    """Camera -> direction of its optical axis over ground, radians in the ego frame, for cameras with a known pose."""
    axes = {name: c.ego_from_camera[:3, 2] for name, c in cameras.items() if c.ego_from_camera is not None}
    return {name: float(np.arctan2(axis[1], axis[0])) for name, axis in axes.items()}


def load_cameras(path: str | Path) -> dict[str, Camera]:
    """Read a calibration file: one camera, or a mapping of names to cameras, each in a form of ``Camera.from_dict``.

    A file that holds one camera without a name gives it the name ``front``.

    Raises:
        InputError: The file is missing, no yaml, or a camera in it is invalid.
    """
    try:
        data: Any = yaml.safe_load(Path(path).read_text())
        if not isinstance(data, Mapping) or not data:
            raise InputError(path, "", "a mapping of camera names to cameras", type(data).__name__)
        data = data.get("cameras", data)
        if "intrinsics" in data or "camera_matrix" in data:
            data = {str(data.get("name") or data.get("camera_name") or "front"): data}
        return {str(name): Camera.from_dict(entry, str(name)) for name, entry in data.items()}
    except InputError:
        raise
    except (OSError, yaml.YAMLError, PerceptionError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(path, "", "camera calibrations in yaml", str(error)) from error


def check_cameras(given: Mapping[str, Camera], known: Mapping[str, Any]) -> None:
    """Raise ``UnknownNameError`` for a calibration whose camera the drive does not have."""
    for name in given:
        if name not in known:
            raise UnknownNameError("camera", name, known)


def _read_transforms(log: MessageLog, rig: Rig) -> TransformTree:
    """Static topics as a whole; of the others the beginning, which holds mounting poses if no static topic does."""
    tree = TransformTree()
    topics = [topic for topic, channel in log.channels.items() if ROLES.get(channel.schema) == "transforms"]
    for topic in sorted(topics, key=lambda topic: not topic.endswith("_static")):
        static = topic.endswith("_static")
        for record in log.messages([topic]) if static else islice(log.messages([topic]), _SEED_MESSAGES):
            try:
                tree.add(transforms_of(record.message()), static, record.log_ns)
            except MessageError as error:
                rig.faults.append(Fault(topic, "corrupt", str(error)))
    return tree


def _mounted(tree: TransformTree, ego: str, frame: str) -> np.ndarray | None:
    return tree.lookup(ego, frame) if ego and frame in tree.frames else None


def _camera(rig: Rig, name: str, message: Any) -> Camera | None:
    if message is None:
        return None
    try:
        return camera_of(message, name)
    except MessageError as error:
        rig.faults.append(Fault(name, "calibration", str(error)))
        return None


def _image_size(message: Any) -> tuple[int, int] | None:
    try:
        if message is not None and is_video(message):
            message = VideoStreams().decode("", message)
        height, width = image_of(message).shape[:2] if message is not None else (0, 0)
    except MessageError:
        return None
    return (width, height) if width else None
