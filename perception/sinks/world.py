"""Lines and boxes of results in the world frame, and on the earth where its origin is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from perception.errors import PerceptionError
from perception.geometry.geodesy import ecef_from_geodetic, enu_from_ecef, geodetic_from_ecef
from perception.geometry.transforms import invert_pose
from perception.sinks.items import Item, items_of
from perception.structures import Boxes3D, Frame, Lanes2D, Result

__all__ = ["Earth", "in_world", "world_items"]


class Earth:
    """Where the world frame touches the earth: x east, y north, z up.

    Args:
        origin: Latitude and longitude in degrees, and height in metres (0 when left out) of the world's origin.

    Raises:
        PerceptionError: It is no place on earth.
    """

    def __init__(self, origin: Sequence[float]) -> None:
        values = [float(value) for value in origin]
        if len(values) not in (2, 3) or not np.isfinite(values).all() or abs(values[0]) > 90 or abs(values[1]) > 180:
            raise PerceptionError(
                f"origin: expected latitude, longitude[, height] in degrees and metres, found {origin}"
            )
        self.origin = (values[0], values[1], values[2] if len(values) == 3 else 0.0)
        self._ecef_from_enu = invert_pose(enu_from_ecef(ecef_from_geodetic(*np.array(self.origin))))

    def geodetic(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) metres of the world frame -> (N, 3) latitude, longitude, height."""
        pose = self._ecef_from_enu
        return geodetic_from_ecef(np.asarray(points, np.float64) @ pose[:3, :3].T + pose[:3, 3])


def world_items(frame: Frame, result: Result) -> Iterator[tuple[int, Item, np.ndarray]]:
    """What of a result has a place in the world.

    2-D lanes are laid onto the road where their camera knows its pose; boxes in space become the outline of their
    ground. Without an ego pose nothing of the ego frame has a place.

    Yields:
        Number of the item in the result, the item, and its (N, 3) float64 points in the world frame.
    """
    if isinstance(result, Lanes2D):
        camera = frame.calibration.cameras.get(result.frame_id)
        if camera is None or camera.ego_from_camera is None or camera.size != result.image_size:
            return
        for number, (item, lane) in enumerate(zip(items_of(result), result.to_ground(camera))):
            points = None if lane is None else in_world(frame, "ego", lane.points)
            if points is not None:
                yield number, replace(item, frame_id="ego"), points
        return
    corners = result.corners()[:, [0, 1, 2, 3, 0]] if isinstance(result, Boxes3D) else None
    for number, item in enumerate(items_of(result)):
        points = in_world(frame, item.frame_id, item.points if corners is None else corners[number])
        if points is not None and len(points) >= 2:
            yield number, item, points


def in_world(frame: Frame, frame_id: str, points: np.ndarray) -> np.ndarray | None:
    """Finite points in the world frame, None where that is not known."""
    if frame_id not in ("ego", "world") or np.ndim(points) != 2 or np.shape(points)[1] != 3:
        return None
    points = np.asarray(points, np.float64)
    points = points[np.isfinite(points).all(1)]
    if frame_id == "world":
        return points
    if frame.ego_pose is None:
        return None
    return points @ frame.ego_pose[:3, :3].T + frame.ego_pose[:3, 3]
