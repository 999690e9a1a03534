"""Patches fixed in the world: a rectangle on the road or an upright board, as every camera of every frame sees it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from perception.errors import PerceptionError
from perception.geometry.camera import Camera
from perception.geometry.transforms import invert_pose
from perception.structures import Frame

from .lighting import Lighting, identity_lighting
from .surfaces import Surface

__all__ = ["PlacedView", "board_corners", "moved_corners", "place", "preview", "road_corners"]


def road_corners(ahead: float, lateral: float, size_m: tuple[float, float]) -> np.ndarray:
    """(4, 3) corners of a rectangle on the road in the ego frame, as a driver reads it: far left first, clockwise.

    Args:
        ahead: Distance of its middle in metres.
        lateral: Offset of its middle to the left in metres.
        size_m: Length along the road and width.
    """
    near, far = ahead - size_m[0] / 2, ahead + size_m[0] / 2
    left, right = lateral + size_m[1] / 2, lateral - size_m[1] / 2
    return np.array([[far, left, 0], [far, right, 0], [near, right, 0], [near, left, 0]], np.float64)


def board_corners(ahead: float, lateral: float, size_m: tuple[float, float], below: float = 1.0) -> np.ndarray:
    """(4, 3) corners of an upright board that faces the vehicle, ``below`` metres above the road; upper left first."""
    left, right = lateral + size_m[1] / 2, lateral - size_m[1] / 2
    top = below + size_m[0]
    return np.array([[ahead, left, top], [ahead, right, top], [ahead, right, below], [ahead, left, below]], np.float64)


def place(
    corners: np.ndarray,
    size_m: tuple[float, float],
    camera: Camera,
    anchor: np.ndarray | None = None,
    ego_pose: np.ndarray | None = None,
    lighting: Lighting | None = None,
    surface_id: str = "placed",
    view: int = 0,
) -> Surface | None:
    """The surface as one camera sees it.

    Args:
        corners: (4, 3) in the ego frame at the moment of placing.
        size_m: Height (length) and width.
        camera: The camera, with its pose in the ego frame.
        anchor: (4, 4) ``world_from_ego`` at the moment of placing; None: it moves with the vehicle.
        ego_pose: (4, 4) ``world_from_ego`` now; needed with ``anchor``.
        lighting: Light on it.
        surface_id: Name of the object.
        view: Index of the image.

    Returns:
        None where a corner is behind the camera or beyond what its lens model covers, or the whole lies outside the
        picture.

    Raises:
        PerceptionError: Only one of the two poses.
    """
    if (anchor is None) != (ego_pose is None):
        raise PerceptionError("placing: expected both poses, of the moment of placing and of now, or neither")
    if anchor is not None and ego_pose is not None:
        corners = moved_corners(corners, anchor, ego_pose)
    uv, valid = camera.project_ego(corners, anywhere=True)
    if not valid.all() or not np.isfinite(uv).all():
        return None
    low, high = uv.min(0), uv.max(0)
    if (high < 0).any() or (low > np.array(camera.size) - 1).any():
        return None
    quad = torch.from_numpy(uv.astype(np.float32))
    return Surface(quad, "rect", size_m, lighting or identity_lighting(), view, surface_id)


def moved_corners(corners: np.ndarray, anchor: np.ndarray, ego_pose: np.ndarray) -> np.ndarray:
    """(4, 3) corners of the ego frame at ``anchor`` in that at ``ego_pose`` (``world_from_ego``)."""
    moved = invert_pose(np.asarray(ego_pose)) @ np.asarray(anchor)
    return corners @ moved[:3, :3].T + moved[:3, 3]


@dataclass(frozen=True, eq=False)
class PlacedView:
    """A placed patch in one picture of a drive.

    Attributes:
        index: Number of the frame, from 0.
        slot: Camera.
        image: (H, W, 3) uint8 RGB as recorded.
        surface: The patch in it, None where it is not seen.
        frame: The whole frame.
        corners: (4, 3) of the patch in the ego frame of this frame.
    """

    index: int
    slot: str
    image: np.ndarray
    surface: Surface | None
    frame: Frame
    corners: np.ndarray


def preview(
    frames: Iterable[Frame], slots: Sequence[str] | None, corners: np.ndarray, size_m: tuple[float, float]
) -> Iterator[PlacedView]:
    """Every frame and camera with the patch, fixed in the world where poses are known.

    Args:
        frames: Of a calibrated drive.
        slots: Cameras; None takes all of each frame.
        corners: (4, 3) in the ego frame of the first frame.
        size_m: Height (length) and width.

    Raises:
        PerceptionError: A frame has no image or no calibration for a camera.
    """
    anchor = None
    for index, frame in enumerate(frames):
        if index == 0:
            anchor = frame.ego_pose
        known = anchor is not None and frame.ego_pose is not None
        here = moved_corners(corners, anchor, frame.ego_pose) if known else corners  # type: ignore[arg-type]
        cameras = frame.calibration.cameras
        for slot in sorted(frame.images) if slots is None else slots:
            if slot not in cameras:
                raise PerceptionError(f"placing: frame {index} has no calibration for camera {slot!r}")
            if slot not in frame.images:
                raise PerceptionError(f"placing: frame {index} has no image of camera {slot!r}")
            yield PlacedView(index, slot, frame.images[slot], place(here, size_m, cameras[slot]), frame, here)
