"""Places on the road from which a camera sees signs: a drive alone passes too few of them to learn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perception.geometry.camera import Camera
from perception.sim.city.faces import SHAPES
from perception.sim.city.model import Element, Lane, Town
from perception.sim.city.terrain import place

__all__ = ["sign_stops"]

_REACH = (5.0, 60.0)
"""Metres between the camera and its sign."""
_TRIES = 20
_FREE = 4.0
"""Metres from the vehicle's origin to the middle of any other road user."""


def sign_stops(
    town: Town,
    camera: Camera,
    times: Sequence[float],
    rng: np.random.Generator,
    side: tuple[float, float] = (14.0, 110.0),
) -> list[np.ndarray]:
    """Poses of a vehicle on the lanes before signs, one for each moment.

    Shapes are drawn evenly, however often they stand in the town; the distance makes the sign's width log-uniform in
    pixels; the vehicle is not exactly in the middle of its lane nor exactly along it.

    Args:
        town: The town.
        camera: The camera, with its pose in the vehicle.
        times: Seconds in the town's time.
        rng: Source of randomness.
        side: Range of the width of the sign that is aimed at, pixels.

    Returns:
        (4, 4) float64 ``world_from_ego`` each; the sign is within the picture and no road user in the way of the
        vehicle, where that was found. None at all in a town without signs beside lanes.
    """
    beside = {e.id: found for e in town.elements if e.kind == "sign" and (found := _lane_of(town, e)) is not None}
    by_shape: dict[str, list[Element]] = {}
    for key in beside:
        by_shape.setdefault(town.elements[key].shape, []).append(town.elements[key])
    poses: list[np.ndarray] = []
    for time in times if by_shape else ():
        others = town.actors.at(time)[0]
        for _ in range(_TRIES):
            members = by_shape[sorted(by_shape)[int(rng.integers(len(by_shape)))]]
            sign = members[int(rng.integers(len(members)))]
            pixels = float(np.exp(rng.uniform(*np.log(side))))
            pose = _stop(town, camera, sign, beside[sign.id], pixels, rng)
            if _shows(camera, pose, sign) and (np.linalg.norm(others - pose[:3, 3], axis=1) > _FREE).all():
                break
        poses.append(pose)
    return poses


def _stop(
    town: Town, camera: Camera, sign: Element, spot: tuple[Lane, int], pixels: float, rng: np.random.Generator
) -> np.ndarray:
    """A pose from which a sign is about ``pixels`` wide."""
    pose = camera.ego_from_camera
    assert pose is not None
    ahead = np.clip(camera.intrinsics[0, 0] * SHAPES[sign.shape].width / pixels, *_REACH)
    middle, yaw = _before(town, *spot, float(ahead + pose[0, 3]))
    across = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
    return place(middle + across * rng.uniform(-0.5, 0.5), yaw + rng.normal(0, 0.04), town.ground)


def _shows(camera: Camera, ego: np.ndarray, sign: Element) -> bool:
    uv, valid = camera.project_ego((sign.corners - ego[:3, 3]) @ ego[:3, :3])
    return bool(valid.all() and (uv > 0).all() and (uv < np.array(camera.size) - 1).all())


def _lane_of(town: Town, sign: Element) -> tuple[Lane, int] | None:
    """The lane a sign speaks to and the point of it beside the sign: the nearest that runs towards its face."""
    middle = sign.corners.mean(0)
    normal = np.cross(sign.corners[1] - sign.corners[0], sign.corners[0] - sign.corners[3])[:2]
    best, found = 8.0, None
    for lane in town.lanes:
        if lane.intersection >= 0 or len(lane.centerline) < 2:
            continue
        distance = np.linalg.norm(lane.centerline[:, :2] - middle[:2], axis=1)
        index = int(distance.argmin())
        step = _step(lane.centerline, index)
        if distance[index] < best and step @ normal < -0.5 * np.linalg.norm(step) * np.linalg.norm(normal):
            best, found = float(distance[index]), (lane, index)
    return found


def _step(line: np.ndarray, index: int) -> np.ndarray:
    """(2,) direction of a line at a point."""
    index = max(index, 1)
    step: np.ndarray = line[index, :2] - line[index - 1, :2]
    return step


def _before(town: Town, lane: Lane, index: int, distance: float) -> tuple[np.ndarray, float]:
    """Point and heading ``distance`` metres before a point of a lane, back through the lanes that lead to it."""
    line = lane.centerline[: index + 1]
    while True:
        lengths = np.linalg.norm(np.diff(line[:, :2], axis=0), axis=1)
        back = np.cumsum(lengths[::-1])
        if (len(back) and back[-1] >= distance) or not lane.predecessors:
            break
        lane = town.lanes[lane.predecessors[0]]
        line = np.concatenate([lane.centerline, line[1:]])
    start = max(len(line) - 2 - int(np.searchsorted(back, distance)), 0)
    step = _step(line, start + 1)
    return line[start], float(np.arctan2(step[1], step[0]))
