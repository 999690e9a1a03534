"""Sensors whose clocks disagree: one of them shows the world as it was a moment earlier."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from perception.errors import PerceptionError, UnknownNameError
from perception.geometry.transforms import invert_pose
from perception.structures import Frame
from perception.structures.frame import PointCloud

__all__ = ["SENSORS", "desynchronise", "lagging_turn"]

SENSORS = ("lidar", "pose", "cameras")


def desynchronise(frames: Iterable[Frame], sensor: str = "lidar", delay_s: float = 0.05) -> Iterator[Frame]:
    """Frames in which one sensor lags by ``delay_s`` and says that it does not.

    ``pose`` is exact: the ego pose of a moment earlier, interpolated between frames. ``lidar`` is exact for what stands
    still: the cloud as seen from where the car was then; things that move are where they are now. ``cameras`` show the
    picture of the frame nearest to the earlier moment, so that a delay below half the time between frames changes
    nothing. The first frame stands in for what was before it.

    Args:
        frames: In the order of time, with poses for ``lidar`` and ``pose``.
        sensor: One of ``SENSORS``.
        delay_s: The lag in seconds, 0 or more.

    Raises:
        UnknownNameError: Another sensor.
        PerceptionError: A negative delay, or a frame without a pose where one is needed.
    """
    if sensor not in SENSORS:
        raise UnknownNameError("sensor that lags", sensor, SENSORS)
    if not 0 <= delay_s < np.inf:
        raise PerceptionError(f"desynchronise: expected delay_s >= 0, found {delay_s}")
    return _lagging(frames, sensor, round(delay_s * 1e9))


def _lagging(frames: Iterable[Frame], sensor: str, delay_ns: int) -> Iterator[Frame]:
    past: list[Frame] = []
    for frame in frames:
        past.append(frame)
        wanted = frame.timestamp_ns - delay_ns
        while len(past) > 2 and past[1].timestamp_ns <= wanted:
            past.pop(0)
        if sensor == "cameras":
            nearest = min(past, key=lambda one: abs(one.timestamp_ns - wanted))
            yield replace(frame, images=nearest.images)
            continue
        earlier = _pose_at(past, wanted)
        if sensor == "pose":
            yield replace(frame, ego_pose=earlier)
        else:
            assert frame.ego_pose is not None
            turn = invert_pose(earlier) @ frame.ego_pose
            yield replace(
                frame,
                clouds={
                    name: _moved(cloud, turn, frame.calibration.sensors.get(name))
                    for name, cloud in frame.clouds.items()
                },
            )


def _pose_at(past: list[Frame], wanted: int) -> np.ndarray:
    """(4, 4) pose between two frames; the first one's before it."""
    for frame in past:
        if frame.ego_pose is None:
            raise PerceptionError(f"desynchronise: frame {frame.index}: expected a pose, found none")
    return _between([np.asarray(frame.ego_pose) for frame in past], [frame.timestamp_ns for frame in past], wanted)


def lagging_turn(poses: Sequence[np.ndarray], times_ns: Sequence[int], number: int, delay_ns: int) -> np.ndarray:
    """(4, 4) that shows what stands still, of the car's frame at sweep ``number``, from where the car was before.

    Args:
        poses: (4, 4) ``world_from_ego`` of each sweep, in the order of time.
        times_ns: Time of each; the first pose stands in for what was before it.
        number: Which sweep.
        delay_ns: How much earlier.
    """
    earlier = _between(list(poses), list(times_ns), times_ns[number] - delay_ns)
    return invert_pose(earlier) @ np.asarray(poses[number])


def _between(poses: list[np.ndarray], times_ns: list[int], wanted: int) -> np.ndarray:
    """(4, 4) pose at a time, the first or last one's outside the times."""
    if len(poses) == 1:
        return poses[0]
    stack = np.stack(poses)
    times = np.array([time - times_ns[0] for time in times_ns], np.float64)
    at = float(np.clip(wanted - times_ns[0], 0, times[-1]))
    out = np.eye(4)
    out[:3, 3] = [np.interp(at, times, stack[:, k, 3]) for k in range(3)]
    out[:3, :3] = Slerp(times, Rotation.from_matrix(stack[:, :3, :3]))(at).as_matrix()
    return out


def _moved(cloud: PointCloud, turn: np.ndarray, mount: np.ndarray | None) -> PointCloud:
    """A cloud in its sensor's frame as seen from another place of the car."""
    place = np.eye(4) if mount is None else np.asarray(mount)
    step = (invert_pose(place) @ turn @ place).astype(np.float32)
    return replace(cloud, points=(cloud.points @ step[:3, :3].T + step[:3, 3]).astype(np.float32))
