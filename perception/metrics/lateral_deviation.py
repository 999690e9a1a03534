"""What a lane error does to a car: the lateral deviation in metres after driving by one frame's lanes.

In the manner of the per-frame simulated lateral deviation (PSLD) of Sato and Chen, "Towards Driving-Oriented Metric for
Lane Detection Models" (CVPR 2022): the lines of the ego lane are put on the ground, a car follows the middle between
them, and its path is compared with the one it takes by the true lines. The controller and its constants are ours (the
specification names the metric, not its constants), so figures compare with each other, not with the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perception.errors import PerceptionError
from perception.geometry.camera import Camera
from perception.structures.lanes2d import Lanes2D

__all__ = ["Car", "drive", "lane_center", "lateral_deviation"]


@dataclass(frozen=True)
class Car:
    """A kinematic bicycle that follows a path by pure pursuit.

    Attributes:
        speed: m/s.
        seconds: How long it drives by the lanes of one frame.
        wheelbase: Metres.
        lookahead: Distance of the point it steers for, seconds of driving.
        max_steer: Largest steering angle, radians.
        step: Of the simulation, seconds.
        lane_width: Metres; places the middle where only one line of the lane is known.
    """

    speed: float = 20.0
    seconds: float = 1.0
    wheelbase: float = 2.7
    lookahead: float = 1.0
    max_steer: float = 0.6
    step: float = 0.02
    lane_width: float = 3.6

    def __post_init__(self) -> None:
        """Refuse a car that cannot drive."""
        for name in ("speed", "seconds", "wheelbase", "lookahead", "max_steer", "step", "lane_width"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise PerceptionError(f"Car.{name}: expected a positive number, found {value}")


def lane_center(lanes: Sequence[np.ndarray], car: Car | None = None, reach: float = 60.0) -> np.ndarray | None:
    """Middle of the ego lane.

    Args:
        lanes: Lines on the ground, (N, 3) or (N, 2) metres, ego frame (x forward, y left), any order of points.
        car: For the width of a lane with one line only.
        reach: Farthest x used, metres.

    Returns:
        (M, 2) float64 xy from near to far at 1 m steps, or None when there is no line on either side. Of each side the
        line nearest to the car (at the nearest x that all lines reach) counts.
    """
    width = (car or Car()).lane_width
    lines = [_by_x(line, reach) for line in lanes]
    lines = [line for line in lines if len(line) >= 2]
    if not lines:
        return None
    near = max(line[0, 0] for line in lines)
    at = np.array([np.interp(near, line[:, 0], line[:, 1]) for line in lines])
    left = lines[int(np.where(at > 0, at, np.inf).argmin())] if (at > 0).any() else None
    right = lines[int(np.where(at <= 0, at, -np.inf).argmax())] if (at <= 0).any() else None
    sides = [side for side in (left, right) if side is not None]
    x = np.arange(max(side[0, 0] for side in sides), min(side[-1, 0] for side in sides), 1.0)
    if len(x) < 2:
        sides = [max(sides, key=len)]
        x = np.linspace(sides[0][0, 0], sides[0][-1, 0], max(2, int(np.ptp(sides[0][:, 0]))))
    offsets = [np.interp(x, side[:, 0], side[:, 1]) for side in sides]
    if len(sides) == 2:
        return np.stack([x, (offsets[0] + offsets[1]) / 2], axis=1)
    return np.stack([x, offsets[0] + (-width / 2 if sides[0] is left else width / 2)], axis=1)


def _by_x(line: np.ndarray, reach: float) -> np.ndarray:
    """(N, 2) points of a line with finite, strictly increasing x in (0, reach]."""
    points = np.asarray(line, np.float64).reshape(len(line), -1)[:, :2]
    points = points[np.isfinite(points).all(1) & (points[:, 0] > 0) & (points[:, 0] <= reach)]
    points = points[np.argsort(points[:, 0], kind="stable")]
    return points[np.append(True, np.diff(points[:, 0]) > 1e-6)] if len(points) else points


def drive(path: np.ndarray | None, car: Car | None = None) -> np.ndarray:
    """Where a car at the origin goes that follows a path.

    Args:
        path: (M, 2) xy metres, near to far, continued straight at both ends; None keeps the car straight.
        car: The car.

    Returns:
        (T, 2) float64 positions after every step.
    """
    car = car or Car()
    x = y = yaw = 0.0
    out = np.empty((max(1, round(car.seconds / car.step)), 2))
    for i in range(len(out)):
        if path is not None:
            ahead = car.speed * car.lookahead
            target = np.array([x + ahead * np.cos(yaw), 0.0])
            target[1] = _extended(path, target[0])
            dx, dy = target[0] - x, target[1] - y
            across = -np.sin(yaw) * dx + np.cos(yaw) * dy
            steer = np.arctan2(2 * car.wheelbase * across, dx * dx + dy * dy)
            yaw += car.speed / car.wheelbase * np.tan(np.clip(steer, -car.max_steer, car.max_steer)) * car.step
        x += car.speed * np.cos(yaw) * car.step
        y += car.speed * np.sin(yaw) * car.step
        out[i] = x, y
    return out


def _extended(path: np.ndarray, x: float) -> float:
    """Y of a path at ``x``, continued along its first or last 10 m."""
    if path[0, 0] <= x <= path[-1, 0]:
        return float(np.interp(x, path[:, 0], path[:, 1]))
    near = path[:11] if x < path[0, 0] else path[-11:]
    slope, start = np.polyfit(near[:, 0], near[:, 1], 1)
    return float(start + slope * x)


def lateral_deviation(predicted: Lanes2D, truth: Lanes2D, camera: Camera, car: Car | None = None) -> float | None:
    """Largest lateral distance in metres between driving by predicted and by true lanes.

    Args:
        predicted: Lanes in pixels of the camera.
        truth: True lanes in pixels of the camera.
        camera: With its pose in the ego frame; the ground is the plane z = 0 of that frame.
        car: The car.

    Returns:
        Metres, 0 or more; None when the truth has no line to drive by. A prediction without lines lets the car drive
        straight on.

    Raises:
        PerceptionError: The camera has no pose in the ego frame.
    """
    car = car or Car()
    wanted = lane_center(_on_ground(truth, camera), car)
    if wanted is None:
        return None
    driven = drive(lane_center(_on_ground(predicted, camera), car), car)
    return float(np.abs(driven[:, 1] - drive(wanted, car)[:, 1]).max())


def _on_ground(lanes: Lanes2D, camera: Camera) -> list[np.ndarray]:
    return [ground.points for ground in lanes.to_ground(camera) if ground is not None]
