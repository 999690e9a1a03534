"""What stands in front of a placed patch: from the LiDAR of a drive, or from masks of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import cKDTree

from perception.attack import AttackSample
from perception.errors import InputError, PerceptionError
from perception.geometry.camera import Camera
from perception.structures import Frame

__all__ = ["REACH_DEG", "hidden_by_lidar", "hidden_by_mask", "occlusion_note", "points_in_ego", "read_mask"]

REACH_DEG = 1.0
"""A pixel farther than this from every return is taken as visible: nothing is known there."""
_CLOSE_DEG = 0.35
"""A return this close to a pixel hides it, whatever else the LiDAR, which looks from elsewhere, saw beside it."""
_PREFERENCE = 1.5
"""How many times farther than a return of the surface one before it may be and still hide the pixel."""


def points_in_ego(frame: Frame) -> np.ndarray:
    """(N, 3) float64 returns of all LiDARs of a frame in the ego frame."""
    parts: list[np.ndarray] = [np.zeros((0, 3))]
    for name, cloud in frame.clouds.items():
        mount = np.asarray(frame.calibration.sensors.get(name, np.eye(4)), np.float64)
        parts.append(cloud.points.astype(np.float64) @ mount[:3, :3].T + mount[:3, 3])
    return np.concatenate(parts)


def hidden_by_lidar(points: np.ndarray, corners: np.ndarray, camera: Camera, margin: float = 0.3) -> np.ndarray:
    """Pixels of a patch that something hides from a camera.

    Every pixel of the patch goes by the returns near it in the picture: one that lies before the plane of the patch,
    as the camera looks, hides it, unless one of the surface is nearer by far. Returns are sparse, so that edges are as
    coarse as their spacing.

    Args:
        points: (N, 3) returns in the ego frame, of about the moment of the picture.
        corners: (4, 3) corners of the patch in the ego frame.
        camera: The camera, with its pose in the ego frame.
        margin: Metres before the plane from which a return counts as something else than the surface.

    Returns:
        (H, W) bool.

    Raises:
        PerceptionError: The camera has no pose.
    """
    if camera.ego_from_camera is None:
        raise PerceptionError(f"occlusion: camera {camera.name!r}: expected a pose, found none")
    hidden = np.zeros((camera.height, camera.width), bool)
    inside = _outline(corners, camera)
    rows, columns = np.nonzero(inside)
    focal = float(camera.intrinsics[0, 0])
    reach, close = (np.tan(np.radians(angle)) * focal for angle in (REACH_DEG, _CLOSE_DEG))
    uv, valid = camera.project_ego(points)
    finite = valid & np.isfinite(uv).all(1)
    if not len(rows) or not finite.any():
        return hidden
    uv, points = uv[finite], np.asarray(points, np.float64)[finite]
    low = np.array([columns.min(), rows.min()]) - reach
    high = np.array([columns.max(), rows.max()]) + reach
    near = ((uv >= low) & (uv <= high)).all(1)
    uv, points = uv[near], points[near]
    before = _before_plane(points, corners, np.asarray(camera.ego_from_camera)[:3, 3]) > margin
    pixels = np.stack([columns, rows], 1)
    to_object, to_surface = (_distances(pixels, uv[chosen]) for chosen in (before, ~before))
    hidden[rows, columns] = (to_object <= reach) & (to_object <= np.maximum(_PREFERENCE * to_surface, close))
    return hidden


def _distances(pixels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N,) distance of each pixel from the nearest of some places, infinite when there are none."""
    if not len(others):
        return np.full(len(pixels), np.inf)
    found: np.ndarray = cKDTree(others).query(pixels)[0]
    return found


def _outline(corners: np.ndarray, camera: Camera) -> np.ndarray:
    """(H, W) bool of the pixels that the patch covers."""
    uv, valid = camera.project_ego(corners, anywhere=True)
    canvas = np.zeros((camera.height, camera.width), np.uint8)
    if valid.all() and np.isfinite(uv).all() and np.abs(uv).max() < 1e6:
        cv2.fillConvexPoly(canvas, np.rint(uv).astype(np.int32), 1)
    return canvas > 0


def _before_plane(points: np.ndarray, corners: np.ndarray, eye: np.ndarray) -> np.ndarray:
    """(N,) metres of points from the plane of a patch, positive on the side of the eye."""
    normal = np.cross(corners[1] - corners[0], corners[3] - corners[0])
    normal = normal / np.linalg.norm(normal)
    away = (points - corners[0]) @ normal
    return away * np.sign((eye - corners[0]) @ normal)


def hidden_by_mask(folder: Path, camera: str, index: int, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of a picture ``FOLDER/<camera>/<frame>.png`` whose pixels above 127 hide the patch.

    Args:
        folder: Of the masks.
        camera: Slot.
        index: Number of the frame, five digits in the name; a missing file hides nothing.
        size: (width, height) of the camera's pictures.

    Raises:
        InputError: Not a picture of that size.
    """
    path = folder / camera / f"{index:05d}.png"
    return read_mask(path, size) if path.exists() else np.zeros((size[1], size[0]), bool)


def read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of a picture of (width, height) ``size``, true where it is above 127.

    Raises:
        InputError: Not a picture of that size.
    """
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None or mask.shape != (size[1], size[0]):
        found = "no picture" if mask is None else f"{mask.shape[1]} x {mask.shape[0]}"
        raise InputError(path, "", f"a mask of {size[0]} x {size[1]} pixels", found)
    return np.asarray(mask > 127)


def occlusion_note(samples: Sequence[AttackSample]) -> str:
    """How many samples say what stands in front of their patches, for a report."""
    known = sum(sample.hidden is not None for sample in samples)
    if not known:
        return "ignored"
    rest = "" if known == len(samples) else ", ignored in the others"
    return f"from masks or LiDAR in {known} of {len(samples)} samples{rest}"
