"""Ego poses from satellite fixes, with the orientation of an inertial unit where there is one."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from perception.geometry import make_pose, quaternion_to_matrix, rotation_from_euler
from perception.geometry.geodesy import ecef_from_geodetic, enu_from_ecef
from perception.sources.log import MessageLog
from perception.sources.wire import MessageError, fitting

__all__ = ["GnssPoses", "first_fix"]

_COURSE_M = 1.0
_IMU_GAP_NS = 200_000_000
_HELD = 600


class GnssPoses:
    """Fixes -> ``world_from_ego``; the world is east, north and up of its origin, the first fix.

    The heading is that of the inertial unit if it gives an orientation, else the course over ground, which is known
    once the vehicle has moved by a metre: fixes before that wait for it, and while standing the last course stays.
    Without an orientation the vehicle is taken to be level.

    Args:
        ego_from_antenna: (4, 4), or None when the antenna is taken to be the ego origin.
        origin: Latitude, longitude and height of the drive's first fix, for drives that are not read from their begin;
            None takes the first one that is added.
    """

    def __init__(self, ego_from_antenna: np.ndarray | None = None, origin: Sequence[float] | None = None) -> None:
        self._antenna = np.zeros(3) if ego_from_antenna is None else ego_from_antenna[:3, 3]
        self._enu = None if origin is None else enu_from_ecef(ecef_from_geodetic(*np.array(origin)))
        self._turns: deque[tuple[int, np.ndarray]] = deque(maxlen=400)
        self._anchor: np.ndarray | None = None
        self._course: np.ndarray | None = None
        self._held: deque[tuple[int, np.ndarray]] = deque(maxlen=_HELD)

    @fitting
    def add_imu(self, stamp_ns: int, message: Any) -> None:
        """Take in an orientation; messages that carry none (covariance -1, or a quaternion of 0) are ignored."""
        covariance = np.ravel(getattr(message, "orientation_covariance", np.zeros(9)))
        turn = np.array([getattr(message.orientation, axis) for axis in "xyzw"], dtype=np.float64)
        if (covariance.size and covariance[0] == -1) or not np.isfinite(turn).all() or not turn.any():
            return
        self._turns.append((stamp_ns, quaternion_to_matrix(turn)))

    @fitting
    def add_fix(self, stamp_ns: int, message: Any) -> list[tuple[int, np.ndarray]]:
        """Take in a fix; gives the poses that are known by it, oldest first.

        Raises:
            MessageError: It is no place on earth.
        """
        place = _place(message)
        if place is None:
            return []
        ecef = ecef_from_geodetic(*np.array(place))
        if self._enu is None:
            self._enu = enu_from_ecef(ecef)
        position = self._enu[:3, :3] @ ecef + self._enu[:3, 3]
        self._follow_course(position)
        self._held.append((stamp_ns, position))
        if self._course is None and self._orientation(stamp_ns) is None:
            return []
        known = [(stamp, self._pose(stamp, at)) for stamp, at in self._held]
        self._held.clear()
        return known

    def _follow_course(self, position: np.ndarray) -> None:
        if self._anchor is None:
            self._anchor = position
        step = position - self._anchor
        if np.hypot(step[0], step[1]) >= _COURSE_M:
            self._course = rotation_from_euler(0, 0, float(np.arctan2(step[1], step[0])))
            self._anchor = position

    def _orientation(self, stamp_ns: int) -> np.ndarray | None:
        near = min(self._turns, key=lambda entry: abs(entry[0] - stamp_ns), default=None)
        return near[1] if near is not None and abs(near[0] - stamp_ns) <= _IMU_GAP_NS else None

    def _pose(self, stamp_ns: int, position: np.ndarray) -> np.ndarray:
        turn = self._orientation(stamp_ns)
        turn = self._course if turn is None else turn
        turn = np.eye(3) if turn is None else turn
        return make_pose(turn, position - turn @ self._antenna)


def first_fix(log: MessageLog, topic: str) -> tuple[float, float, float] | None:
    """Latitude and longitude in degrees and height in metres of the first usable fix, None when there is none."""
    for record in log.messages([topic]):
        try:
            place = _place(record.message())
        except MessageError:
            continue
        if place is not None:
            return place
    return None


@fitting
def _place(message: Any) -> tuple[float, float, float] | None:
    """Latitude, longitude in [-180, 180) and height; None without a fix."""
    if getattr(getattr(message, "status", None), "status", 0) < 0:
        return None
    latitude, longitude, height = (float(getattr(message, key)) for key in ("latitude", "longitude", "altitude"))
    if not np.isfinite([latitude, longitude]).all() or abs(latitude) > 90 or abs(longitude) > 360:
        raise MessageError(f"expected latitude and longitude in degrees, found {latitude}, {longitude}")
    longitude = longitude if abs(longitude) <= 180 else (longitude + 180) % 360 - 180
    return latitude, longitude, height if np.isfinite(height) else 0.0
