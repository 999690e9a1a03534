"""Ego poses from the clouds themselves, for drives that have no others, through ``kiss-icp`` (extra ``drives``)."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from perception.errors import PerceptionError
from perception.geometry.transforms import invert_pose
from perception.sources.base import DriveInfo, DriveSource
from perception.structures import Fault, Frame, PointCloud

__all__ = ["LidarOdometry", "LidarOdometrySource", "odometry_available", "odometry_helps"]

_MINIMUM_POINTS = 100


def odometry_available() -> bool:
    """Whether ``kiss-icp`` is installed."""
    return importlib.util.find_spec("kiss_icp") is not None


def odometry_helps(info: DriveInfo) -> bool:
    """Whether poses that a drive lacks can be computed from its clouds."""
    return not info.has_pose and bool(info.lidars) and odometry_available()


class LidarOdometry:
    """Sweeps one after the other -> pose of the sensor in the frame of the first one.

    Args:
        max_range_m: Points beyond are not used.

    Raises:
        PerceptionError: ``kiss-icp`` is not installed.
    """

    def __init__(self, max_range_m: float = 100.0) -> None:
        if not odometry_available():
            raise PerceptionError("LiDAR odometry needs kiss-icp: pip install 'perception-stack[drives]'")
        from kiss_icp.config import KISSConfig
        from kiss_icp.kiss_icp import KissICP

        config = KISSConfig()
        config.data.max_range, config.data.min_range, config.data.deskew = max_range_m, 1.0, True
        config.mapping.voxel_size = max_range_m / 100
        config.registration.max_num_threads = 1
        self._icp: Any = KissICP(config)

    def add(self, cloud: PointCloud) -> np.ndarray:
        """Register a sweep; gives the (4, 4) pose ``first_from_sensor``. Points with times are moved to one moment."""
        times = np.asarray(cloud.fields.get("time", np.zeros(0)), dtype=np.float64)
        if not times.size or np.ptp(times) < 1e-6:
            times = np.zeros(0)
        self._icp.register_frame(cloud.points.astype(np.float64), times)
        return np.array(self._icp.last_pose, dtype=np.float64)


class LidarOdometrySource(DriveSource):
    """A drive with ego poses computed from one of its LiDARs; the world is the ego frame of the first sweep.

    Poses depend on all sweeps before: also a run that begins later, or is continued, reads the drive from its begin, so
    that a frame has the same pose in all of them. Frames between two sweeps have the pose of the sweep in them.

    Args:
        source: The drive; it is closed with this one.

    Raises:
        PerceptionError: It has no LiDAR, or ``kiss-icp`` is not installed.
    """

    KIND = "odometry"

    def __init__(self, source: DriveSource) -> None:
        super().__init__(source.path, source.options)
        if not source.info.lidars:
            raise PerceptionError(f"{source.path}: LiDAR odometry needs point clouds, found none")
        if not odometry_available():
            raise PerceptionError("LiDAR odometry needs kiss-icp: pip install 'perception-stack[drives]'")
        self._ranged, self.faults = source, source.faults
        self._lidar = source.info.lidars[0]

    @classmethod
    def probe(cls, path: Any) -> float:
        """Score a path: none, it is put around another source."""
        return 0

    @property
    def info(self) -> DriveInfo:
        """See :class:`DriveInfo`."""
        source = f"LiDAR odometry (kiss-icp) on {self._lidar}"
        return replace(self._ranged.info, has_pose=True, pose_source=source, origin=None)

    def __len__(self) -> int:
        return len(self._ranged)

    def close(self) -> None:
        """Close the drive."""
        self._ranged.close()

    def stream_times(self) -> dict[str, np.ndarray]:
        """See :meth:`DriveSource.stream_times`."""
        return self._ranged.stream_times()

    def _frames(self, from_ns: int | None) -> Iterator[Frame]:
        begin = self._ranged.info.start_ns
        start_ns, end_ns = self.options.start_ns(begin), self.options.end_ns(begin)
        whole = replace(self.options, start_s=None, every=1)
        first: int | None = None
        with type(self._ranged)(self.path, whole) as source:
            for frame in _with_poses(source, self._lidar):
                if not start_ns <= frame.timestamp_ns <= end_ns:
                    continue
                first = frame.index if first is None else first
                late_enough = from_ns is None or frame.timestamp_ns >= from_ns
                if late_enough and (frame.index - first) % self.options.every == 0:
                    yield frame


def _with_poses(source: DriveSource, lidar: str) -> Iterator[Frame]:
    odometry, ego_from_lidar = LidarOdometry(), np.eye(4)
    sweep, pose = -1, None
    for frame in source:
        cloud = frame.clouds.get(lidar)
        if cloud is None or len(cloud) < _MINIMUM_POINTS:
            found = "none" if cloud is None else f"{len(cloud)} points"
            fault = Fault("ego_pose", "missing", f"expected a sweep of {lidar} for odometry, found {found}")
            yield replace(frame, faults=(*frame.faults, fault), world_origin=None)
            continue
        if cloud.timestamp_ns != sweep or pose is None:
            sweep = cloud.timestamp_ns
            ego_from_lidar = frame.calibration.sensors.get(lidar, ego_from_lidar)
            pose = ego_from_lidar @ odometry.add(cloud) @ invert_pose(ego_from_lidar)
        yield replace(frame, ego_pose=pose, world_origin=None)
