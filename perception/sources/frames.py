"""Groups of messages -> frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from perception.sources.gnss import GnssPoses
from perception.sources.log import Record
from perception.sources.mapping import DriveMapping
from perception.sources.messages import cloud_of, image_of, pose_of, result_of, stamp_of, transforms_of
from perception.sources.rig import Rig
from perception.sources.side_by_side import side_by_side
from perception.sources.sync import Group
from perception.sources.transforms import PoseTrack, TransformTree
from perception.sources.wire import MessageError
from perception.structures import Calibration, Fault, Frame, PointCloud, Provenance, Result

__all__ = ["TRUTH", "FrameBuilder"]

GNSS_GAP_NS = 2_500_000_000
"""Satellite fixes often come once a second: those at most this far apart are interpolated."""
TRUTH = "/truth/"
"""Beginning of the topics that carry ground truth: ``/truth/<frame_id>/<kind>``."""


class FrameBuilder:
    """Decodes the messages of a group; keeps poses and, for sensors slower than the reference, the last decoded one.

    Args:
        rig: Calibration and static transforms.
        mapping: Sensors of the drive.
        roles: Sensor or truth topic -> ``image``, ``cloud`` or ``result``.
        provenance: Drive, source and topic of the reference sensor.
        record_fault: Takes faults that belong to no frame.
        origin: Of the world, see :class:`~perception.structures.Frame`.
    """

    def __init__(
        self,
        rig: Rig,
        mapping: DriveMapping,
        roles: Mapping[str, str],
        provenance: Provenance,
        record_fault: Callable[[Fault], None],
        origin: tuple[float, float, float] | None = None,
    ) -> None:
        self._rig, self._mapping, self._roles = rig, mapping, roles
        self._provenance, self._record_fault, self._origin = provenance, record_fault, origin
        self._topic_pose = mapping.pose not in ("", "tf", "lidar")
        self._gnss = GnssPoses(rig.antenna, origin) if roles.get(mapping.pose) == "gnss" else None
        self._tree: TransformTree = rig.tree.without_motion()
        self._track = PoseTrack(gap_ns=GNSS_GAP_NS) if self._gnss else PoseTrack()
        self._calibrations: dict[frozenset[str], Calibration] = {}
        self._memo: dict[str, tuple[Any, Any]] = {}
        self._now_ns = 0

    def add_pose(self, role: str, message: Any, record: Record) -> int | None:
        """Take in transforms or a pose; returns the newest stamp that concerns the ego pose."""
        try:
            if isinstance(message, MessageError):
                raise message
            stamp = stamp_of(message) or record.log_ns
            if role == "pose":
                self._track.add(stamp, pose_of(message))
                return stamp
            if role in ("gnss", "imu"):
                return self._add_satellite(role, stamp, message)
            transforms = transforms_of(message, self._rig.pose_frames)
        except MessageError as error:
            self._record_fault(Fault(record.channel.topic, "corrupt", str(error)))
            return None
        self._tree.add(transforms, static=False, log_ns=record.log_ns)
        return max((item.stamp_ns or record.log_ns for item in transforms), default=None)

    def _add_satellite(self, role: str, stamp: int, message: Any) -> int | None:
        if self._gnss is None or role == "imu":
            if self._gnss is not None:
                self._gnss.add_imu(stamp, message)
            return None
        newest = None
        for newest, pose in self._gnss.add_fix(stamp, message):
            self._track.add(newest, pose)
        return newest

    def frame(self, group: Group) -> Frame:
        """The frame of a group; whatever cannot be decoded becomes a fault."""
        self._now_ns = group.stamp_ns
        images: dict[str, np.ndarray] = {}
        clouds: dict[str, PointCloud] = {}
        truth: dict[str, Result] = {}
        faults = list(group.faults)
        decoded = side_by_side([partial(self._decode, *item) for item in group.items.items()])
        for name, (value, removed) in zip(group.items, decoded):
            if isinstance(value, MessageError):
                faults.append(Fault(name, "corrupt", str(value)))
            elif isinstance(value, PointCloud):
                clouds[name] = value
                if removed:
                    found = f"{removed} of {removed + len(value)}"
                    faults.append(Fault(name, "nonfinite", f"expected finite points, found {found} that are not"))
            elif isinstance(value, Result):
                truth[name.removeprefix(TRUTH)] = value
            else:
                images[name] = value
        pose = self._pose(group.stamp_ns)
        if pose is None and (self._topic_pose or self._rig.world):
            faults.append(Fault("ego_pose", "missing", f"expected a pose around {group.stamp_ns} ns, found none"))
        provenance = replace(self._provenance, record=f"{self._provenance.record}#{group.ordinal}")
        calibration = self._calibration(images, faults)
        images = {name: images[name] for name in self._mapping.cameras if name in images}
        rest = pose, truth, tuple(faults), provenance, self._origin
        return Frame(group.stamp_ns, group.ordinal, images, clouds, calibration, *rest)

    def _decode(self, name: str, message: Any) -> tuple[Any, int]:
        """What a message carries, or the error; and how many points were removed."""
        if isinstance(message, MessageError):
            return message, 0
        known = self._memo.get(name)
        if known is not None and known[0] is message:
            return known[1]
        role = self._roles[name]
        try:
            if role == "cloud":
                value: tuple[Any, int] = cloud_of(message, stamp_of(message) or self._now_ns, name)
            else:
                value = (image_of(message) if role == "image" else result_of(message)), 0
        except MessageError as error:
            return error, 0
        self._memo[name] = (message, value)
        return value

    def _pose(self, stamp_ns: int) -> np.ndarray | None:
        if self._topic_pose:
            return self._track.at(stamp_ns)
        return self._tree.lookup(self._rig.world, self._rig.ego, stamp_ns) if self._rig.world else None

    def _calibration(self, images: dict[str, np.ndarray], faults: list[Fault]) -> Calibration:
        """The rig's calibration without cameras whose image has another size than the one they were calibrated for."""
        wrong = set()
        for name, image in images.items():
            camera = self._rig.cameras.get(name)
            if camera is not None and image.shape[1::-1] != camera.size:
                wrong.add(name)
                expected, found = f"{camera.width}x{camera.height}", f"{image.shape[1]}x{image.shape[0]}"
                faults.append(Fault(name, "size", f"expected {expected} as calibrated, found an image of {found}"))
        key = frozenset(wrong)
        if key not in self._calibrations:
            self._calibrations[key] = self._rig.calibration(key)
        return self._calibrations[key]
