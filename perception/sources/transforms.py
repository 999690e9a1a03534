"""A small transform tree: where the sensors sit on the vehicle, and where the vehicle is in the world."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence

import numpy as np

from perception.geometry import interpolate_pose, invert_pose
from perception.geometry.transforms import check_pose
from perception.sources.messages import Transform
from perception.sources.sync import CLOCK_STEP_NS

__all__ = ["EGO_FRAMES", "WORLD_FRAMES", "PoseTrack", "TransformTree"]

EGO_FRAMES = ("base_link", "ego", "ego_vehicle", "base_footprint")
WORLD_FRAMES = ("map", "world", "odom", "earth", "global")


class PoseTrack:
    """The latest poses of one moving frame, at most ``capacity`` of them.

    Args:
        capacity: Samples kept; older ones are forgotten.
        gap_ns: Samples at most this far apart are interpolated.
        tolerance_ns: Elsewhere, also before the first and behind the last sample, the nearest one this close is taken.
    """

    def __init__(self, capacity: int = 2000, gap_ns: int = 1_000_000_000, tolerance_ns: int = 100_000_000) -> None:
        self.capacity, self.gap_ns, self.tolerance_ns = capacity, gap_ns, tolerance_ns
        self.times: list[int] = []
        self.poses: list[np.ndarray] = []

    @classmethod
    def of(cls, times_ns: Sequence[int], poses: Sequence[np.ndarray], gap_ns: int = 1_000_000_000) -> PoseTrack:
        """A track of all the given poses, in any order; of several with one time the first stays.

        Raises:
            PerceptionError: One is no rigid transform.
        """
        times, first = np.unique(np.asarray(times_ns, dtype=np.int64), return_index=True)
        track = cls(max(len(times), 1), gap_ns)
        track.times, track.poses = times.tolist(), [check_pose(poses[index]) for index in first]
        return track

    def add(self, stamp_ns: int, pose: np.ndarray) -> None:
        """Add a (4, 4) pose; samples may arrive out of order, a step back of over a second forgets the older ones."""
        if self.times and self.times[-1] - stamp_ns > CLOCK_STEP_NS:
            self.times.clear()
            self.poses.clear()
        place = bisect.bisect_left(self.times, stamp_ns)
        if place < len(self.times) and self.times[place] == stamp_ns:
            self.poses[place] = pose
            return
        self.times.insert(place, stamp_ns)
        self.poses.insert(place, pose)
        if len(self.times) > self.capacity:
            del self.times[0], self.poses[0]

    def at(self, stamp_ns: int) -> np.ndarray | None:
        """Pose interpolated at a time (translation linear, rotation by slerp), None when no sample is close enough."""
        right = bisect.bisect_left(self.times, stamp_ns)
        if 0 < right < len(self.times) and self.times[right] - self.times[right - 1] <= self.gap_ns:
            offsets = np.array([time - stamp_ns for time in self.times[right - 1 : right + 1]], dtype=np.float64)
            return interpolate_pose(offsets, np.stack(self.poses[right - 1 : right + 1]), 0.0)
        near = range(max(right - 1, 0), min(right + 1, len(self.times)))
        nearest = min(near, key=lambda place: abs(self.times[place] - stamp_ns), default=None)
        if nearest is None or abs(self.times[nearest] - stamp_ns) > self.tolerance_ns:
            return None
        return self.poses[nearest]


class TransformTree:
    """Frames by name; static edges hold one value, moving edges a :class:`PoseTrack`."""

    def __init__(self) -> None:
        self.static: dict[str, tuple[str, np.ndarray]] = {}
        self.moving: dict[str, tuple[str, PoseTrack]] = {}

    def add(self, transforms: Iterable[Transform], static: bool, log_ns: int = 0) -> None:
        """Add edges. A moving edge without a stamp is taken to be of its log time."""
        for item in transforms:
            if not item.child or item.child == item.parent:
                continue
            if static:
                self.static[item.child] = (item.parent, item.matrix)
            elif item.child not in self.static:
                parent, track = self.moving.get(item.child, ("", PoseTrack()))
                if parent != item.parent:
                    track = PoseTrack()
                track.add(item.stamp_ns or log_ns, item.matrix)
                self.moving[item.child] = (item.parent, track)

    @property
    def frames(self) -> set[str]:
        """All frame names."""
        edges = [(child, value[0]) for child, value in (*self.static.items(), *self.moving.items())]
        return {name for edge in edges for name in edge}

    def parent(self, frame: str) -> str | None:
        """Parent of a frame, None for a root."""
        edge = self.static.get(frame) or self.moving.get(frame)
        return edge[0] if edge else None

    def chain(self, frame: str) -> list[str]:
        """The frame and its ancestors up to the root; loops are cut."""
        names = [frame]
        while (parent := self.parent(names[-1])) is not None and parent not in names:
            names.append(parent)
        return names

    def lookup(self, target: str, source: str, stamp_ns: int | None = None) -> np.ndarray | None:
        """``target_from_source`` (4, 4).

        Args:
            target: Frame to map into.
            source: Frame to map from.
            stamp_ns: Time for moving edges; None takes their latest value, for edges that are rigid in truth.

        Returns:
            The transform, or None when the frames are not connected or a moving edge is unknown at that time.
        """
        up, down = self.chain(source), self.chain(target)
        common = next((name for name in up if name in down), None)
        if common is None:
            return None
        source_part = self._product(up[: up.index(common)], stamp_ns)
        target_part = self._product(down[: down.index(common)], stamp_ns)
        if source_part is None or target_part is None:
            return None
        return invert_pose(target_part) @ source_part

    def ego_frame(self) -> str | None:
        """The vehicle's frame: the first of :data:`EGO_FRAMES` that exists."""
        return next((name for name in EGO_FRAMES if name in self.frames), None)

    def world_frame(self, ego: str) -> str | None:
        """The frame to state poses in: the first of :data:`WORLD_FRAMES` above ``ego``, else the root above it."""
        above = [name for name in self.chain(ego)[1:] if name not in EGO_FRAMES]
        return next((name for name in WORLD_FRAMES if name in above), above[-1] if above else None)

    def without_motion(self) -> TransformTree:
        """A tree with the same static edges and no samples of the moving ones."""
        tree = TransformTree()
        tree.static = dict(self.static)
        return tree

    def _product(self, chain: Sequence[str], stamp_ns: int | None) -> np.ndarray | None:
        result = np.eye(4)
        for name in chain:
            if name in self.static:
                step: np.ndarray | None = self.static[name][1]
            else:
                track = self.moving[name][1]
                step = track.poses[-1] if stamp_ns is None else track.at(stamp_ns)
            if step is None:
                return None
            result = step @ result
        return result
