"""Recorded message logs (ROS 1, ROS 2, MCAP with ROS or Foxglove messages) as drives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import InputError
from perception.registry import SOURCES
from perception.sources.base import DriveInfo, DriveOptions, DriveSource, StreamInfo
from perception.sources.frames import GNSS_GAP_NS, TRUTH, FrameBuilder
from perception.sources.gnss import first_fix
from perception.sources.log import END_OF_TIME, Channel, MessageLog, Record, first_message
from perception.sources.mapping import DriveMapping, pose_topics
from perception.sources.mcap_log import MCAP_MAGIC, McapLog
from perception.sources.messages import ROLES, stamp_of
from perception.sources.rig import camera_yaws, moving_ego, read_rig
from perception.sources.rosbag1_log import ROSBAG1_MAGIC, Rosbag1Log
from perception.sources.rosbag2_log import SQLITE_MAGIC, Rosbag2Log, SqliteLog, is_bag
from perception.sources.sync import Group, Partner, Synchronizer
from perception.sources.video_messages import VideoStreams, is_video, key_frame_before
from perception.sources.wire import MessageError
from perception.structures import Fault, Frame, Provenance

__all__ = ["BagSource", "open_log"]

_TRUTH_TOLERANCE_NS = 500_000
_MARGIN_NS = 1_000_000_000


def open_log(path: Path, growing: bool = False) -> MessageLog:
    """Open a bag file or folder by its content; ``growing`` if it is still being written.

    Raises:
        InputError: The path is none of the known formats or cannot be read.
    """
    if path.is_dir():
        return Rosbag2Log(path, growing)
    with path.open("rb") as stream:
        head = stream.read(16)
    if head.startswith(MCAP_MAGIC):
        return McapLog(path, growing)
    if head.startswith(ROSBAG1_MAGIC):
        return Rosbag1Log(path)
    if head == SQLITE_MAGIC:
        return SqliteLog(path, growing=growing)
    raise InputError(path, "", "an MCAP file, a ROS 1 bag or a rosbag2 database", "other first bytes")


@SOURCES.register_module()
class BagSource(DriveSource):
    """A drive recorded as messages on topics.

    The messages of the reference sensor make the frames, in the order of their header stamps; the nearest messages of
    the other sensors within the tolerance of the mapping join them. Calibration and mounting poses are read once, from
    the first message of each calibration topic and the transforms; the ego pose follows the transforms or the pose
    topic and is interpolated at the frame's stamp. ``index`` is the number of the reference message in its topic.

    Args:
        path: File or folder.
        options: Range, mapping and calibrations.

    Raises:
        InputError: Unreadable, without camera or LiDAR, or a mapped topic has a type that does not fit.
        UnknownNameError: The mapping names a topic that does not exist.
    """

    KIND = "message log"

    def __init__(self, path: Path, options: DriveOptions) -> None:
        super().__init__(path, options)
        self.log = open_log(path, options.follow_s is not None)
        try:
            self._open()
        except BaseException:
            self.log.close()
            raise

    @classmethod
    def probe(cls, path: Path) -> float:
        """Score a path, see :meth:`DriveSource.probe`."""
        if path.is_dir():
            if (path / "metadata.yaml").is_file():
                return (
                    0.9 if "rosbag2_bagfile_information" in _beginning(path / "metadata.yaml").decode("latin1") else 0
                )
            return 0.8 if is_bag(path) else 0
        head = _beginning(path)
        return 1.0 if head.startswith((MCAP_MAGIC, ROSBAG1_MAGIC, SQLITE_MAGIC)) else 0

    def _open(self) -> None:
        channels = self.log.channels
        self.mapping = self.options.mapping or DriveMapping.from_channels(channels)
        self._choose_pose(channels)
        if not self.mapping.reference:
            found = ", ".join(f"{c.topic} ({c.schema or 'no schema'})" for c in channels.values()) or "no topics"
            raise InputError(self.path, "", "a topic with camera images or LiDAR point clouds", found)
        self.mapping.check(self.path, channels)
        self._roles = self._topic_roles()
        self._reference = next(topic for topic, (_, name) in self._roles.items() if name == self.mapping.reference)
        first = next(self.log.messages([self._reference]), None)
        if first is None:
            found = "; ".join(["none", *(fault.message for fault in self.log.faults)])
            raise InputError(self.path, f"topic {self._reference}", "messages of the reference sensor", found)
        self.rig = read_rig(self.log, self.mapping, self.options.cameras)
        self._begin_ns = self._stamp(first, _decoded(first))
        self._lag_ns = first.log_ns - self._begin_ns
        self._first_ordinal: int | None = None
        self.faults += [*self.log.faults, *self.rig.faults]
        self._damage_seen = len(self.log.faults)
        self._poses_move = bool(self.rig.pose_frames) or self.mapping.pose not in ("", "tf", "lidar")
        fixes = self._roles.get(self.mapping.pose, ("",))[0] == "gnss"
        self._origin = first_fix(self.log, self.mapping.pose) if fixes else None

    def _topic_roles(self) -> dict[str, tuple[str, str]]:
        """Topic -> (role, sensor name), for the topics that are read while iterating."""
        roles = {camera.image: ("image", name) for name, camera in self.mapping.cameras.items()}
        roles |= {lidar.points: ("cloud", name) for name, lidar in self.mapping.lidars.items()}
        for topic, channel in self.log.channels.items():
            if topic.startswith(TRUTH) and ROLES.get(channel.schema) == "result":
                roles[topic] = ("result", topic)
            elif self.mapping.pose == "tf" and ROLES.get(channel.schema) == "transforms" and "_static" not in topic:
                roles[topic] = ("transforms", topic)
        if self.mapping.pose not in ("", "tf", "lidar"):
            roles[self.mapping.pose] = (ROLES[self.log.channels[self.mapping.pose].schema], self.mapping.pose)
        if self.mapping.imu:
            roles[self.mapping.imu] = ("imu", self.mapping.imu)
        return roles

    @property
    def info(self) -> DriveInfo:
        """See :class:`DriveInfo`; topics, counts and times come from the file's index."""
        seconds = max(self.log.end_ns - self.log.start_ns, 0) * 1e-9
        streams = []
        for channel in self.log.channels.values():
            rate = (channel.count - 1) / seconds if seconds and channel.count > 1 else 0.0
            streams.append(StreamInfo(channel.topic, channel.schema, channel.count, rate))
        posed = [name for name, camera in self.rig.cameras.items() if camera.ego_from_camera is not None]
        return DriveInfo(
            uri=str(self.path),
            source=type(self).__name__,
            streams=tuple(streams),
            start_ns=self._begin_ns,
            end_ns=max(self.log.end_ns - self._lag_ns, self._begin_ns),
            frames=max(self.log.channels[self._reference].count, 0),
            frames_exact=not self.faults,
            cameras=self.rig.sizes,
            lidars=tuple(self.mapping.lidars),
            calibrated=tuple(self.rig.cameras),
            posed=(*posed, *self.rig.sensors),
            has_pose=self._poses_move or bool(self.rig.world),
            mapping=self.mapping,
            faults=tuple(self.faults),
            pose_source=self._pose_source(),
            transforms=self.rig.edges,
            yaws=camera_yaws(self.rig.cameras),
            origin=self._origin,
        )

    def __len__(self) -> int:
        """Reference messages in the range: exact unless messages are dropped for their time."""
        first = self._range_start()
        if self.options.end_s is not None:
            last = self._ordinal_at(self.options.end_ns(self._begin_ns) + 1)
        elif (last := self.log.channels[self._reference].count) < 0:
            last = self.log.count_before(self._reference, END_OF_TIME)
        return max(-(-(last - first) // self.options.every), 0)

    def close(self) -> None:
        """Close the log."""
        self.log.close()

    def _frames(self, from_ns: int | None) -> Iterator[Frame]:
        start_ns = max(self.options.start_ns(self._begin_ns), from_ns or 0)
        end_ns = self.options.end_ns(self._begin_ns)
        whole = from_ns is None and self.options.start_s is None
        first, builder = self._range_start(), self._builder()
        for group in self._groups(0 if whole else self._log_time(start_ns), end_ns, builder):
            self._record_damage()
            whole = whole or group.stamp_ns >= start_ns  # from then on also behind a clock that was set back
            if whole and group.stamp_ns <= end_ns and (group.ordinal - first) % self.options.every == 0:
                yield builder.frame(group)
        self._record_damage()

    def _is_video(self, topic: str) -> bool:
        message = first_message(self.log, topic)
        return message is not None and is_video(message)

    def _choose_pose(self, channels: Mapping[str, Channel]) -> None:
        """Leave transforms that do not move for the next source of poses, unless the user's mapping asks for them."""
        if self.options.mapping is not None or self.mapping.pose != "tf":
            return
        others = [topic for topic in pose_topics(channels) if topic != "tf"]
        if others and not moving_ego(self.log):
            gnss = ROLES.get(channels[others[0]].schema) == "gnss"
            imu = next((t for t, c in channels.items() if c.count and ROLES.get(c.schema) == "imu"), "")
            self.mapping = replace(self.mapping, pose=others[0], imu=imu if gnss else "")

    def _pose_source(self) -> str:
        pose = self.mapping.pose
        if pose == "tf":
            return f"transforms {self.rig.world} <- {self.rig.ego}" if self.rig.world else ""
        if not pose or pose == "lidar":
            return ""
        orientation = f" with the orientation of {self.mapping.imu}" if self.mapping.imu else ""
        return f"{self.log.channels[pose].schema} on {pose}{orientation}"

    def stream_times(self) -> dict[str, np.ndarray]:
        """See :meth:`DriveSource.stream_times`; log times."""
        return self.log.times()

    def _record_damage(self) -> None:
        for fault in self.log.faults[self._damage_seen :]:
            self.record_fault(fault)
        self._damage_seen = len(self.log.faults)

    def _groups(self, log_start: int, end_ns: int, builder: FrameBuilder) -> Iterator[Group]:
        sync, video = self._synchronizer(), VideoStreams()
        log_stop = END_OF_TIME if self.options.end_s is None else end_ns + self._lag_ns + self._margin_ns
        if log_start and (
            topics := [t for t, (role, _) in self._roles.items() if role == "image" and self._is_video(t)]
        ):
            log_start = key_frame_before(self.log, topics, log_start)
        ordinal = self.log.count_before(self._reference, log_start) if log_start else 0
        for record in self._records(log_start, log_stop):
            role, name = self._roles[record.channel.topic]
            message = _decoded(record)
            if role in ("transforms", "pose", "gnss", "imu"):
                newest = builder.add_pose(role, message, record)
                if newest and self._poses_move:
                    yield from sync.advance("pose", newest, record.log_ns)
                continue
            stamp = self._stamp(record, message)
            if is_video(message):
                message = _decoded_video(video, record.channel.topic, message)
            yield from sync.push(name, stamp, record.log_ns, message, ordinal)
            ordinal += record.channel.topic == self._reference
        yield from sync.finish()
        for fault in sync.remaining_faults():
            self.record_fault(fault)

    def _records(self, log_start: int, log_stop: int) -> Iterator[Record]:
        if self.options.follow_s is None:
            return self.log.messages(list(self._roles), log_start, log_stop)
        records = self.log.follow(list(self._roles), log_start, self.options.follow_s)
        return takewhile(lambda record: record.log_ns < log_stop, records)

    def _synchronizer(self) -> Synchronizer:
        tolerance_ns = round(self.mapping.sync.tolerance_ms * 1e6)
        partners = {}
        for role, name in self._roles.values():
            if role == "result":
                partners[name] = Partner(_TRUTH_TOLERANCE_NS, required=False)
            elif role in ("image", "cloud") and name != self.mapping.reference:
                partners[name] = Partner(tolerance_ns)
        gates = ("pose",) if self._poses_move else ()
        wait_ns = round(self.mapping.sync.wait_ms * 1e6)
        if gates and self._roles.get(self.mapping.pose, ("",))[0] == "gnss":
            wait_ns = max(wait_ns, GNSS_GAP_NS)
        return Synchronizer(self.mapping.reference, partners, wait_ns, gates)

    def _builder(self) -> FrameBuilder:
        roles = {name: role for role, name in self._roles.values()}
        provenance = Provenance(str(self.path), type(self).__name__, self._reference)
        return FrameBuilder(self.rig, self.mapping, roles, provenance, self.record_fault, self._origin)

    @property
    def _margin_ns(self) -> int:
        return _MARGIN_NS + round((self.mapping.sync.wait_ms + self.mapping.sync.tolerance_ms) * 1e6)

    def _log_time(self, stamp_ns: int) -> int:
        """Log time at which messages for a stamp surely have not begun, for clocks with a constant difference."""
        return max(stamp_ns + self._lag_ns - self._margin_ns, 0)

    def _stamp(self, record: Record, message: Any) -> int:
        stamp = 0 if isinstance(message, MessageError) else stamp_of(message)
        if not stamp and ROLES.get(record.channel.schema) != "result" and not isinstance(message, MessageError):
            self.record_fault(Fault(record.channel.topic, "time", "messages without stamp: their log time is used"))
        return stamp or record.log_ns - getattr(self, "_lag_ns", 0)

    def _range_start(self) -> int:
        """Ordinal of the first frame of the range."""
        if self._first_ordinal is None:
            begin = self.options.start_ns(self._begin_ns)
            self._first_ordinal = self._ordinal_at(begin) if self.options.start_s else 0
        return self._first_ordinal

    def _ordinal_at(self, stamp_ns: int) -> int:
        """Number of reference messages before the first one stamped at or after ``stamp_ns``."""
        log_start = self._log_time(stamp_ns)
        ordinal = self.log.count_before(self._reference, log_start)
        for record in self.log.messages([self._reference], log_start):
            if self._stamp(record, _decoded(record)) >= stamp_ns:
                break
            ordinal += 1
        return ordinal


def _decoded_video(video: VideoStreams, topic: str, message: Any) -> Any:
    try:
        return video.decode(topic, message)
    except MessageError as error:
        return error


def _decoded(record: Record) -> Any:
    try:
        return record.message()
    except MessageError as error:
        return error


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(4096)
    except OSError:
        return b""
