"""Sensor rigs: the Argoverse 2 ring, the nuScenes rig, one dash camera. Geometry is typical, not that of one car."""

from __future__ import annotations

import numpy as np

from perception.errors import PerceptionError, UnknownNameError
from perception.geometry.camera import Camera

_AV2 = {
    "ring_front_center": (0.0, (1.63, 0.0, 1.43), (1550, 2048), 1683.0),
    "ring_front_left": (45.5, (1.49, 0.26, 1.40), (2048, 1550), 1683.0),
    "ring_front_right": (-45.5, (1.49, -0.26, 1.40), (2048, 1550), 1683.0),
    "ring_rear_left": (153.0, (1.10, 0.12, 1.40), (2048, 1550), 1683.0),
    "ring_rear_right": (-153.0, (1.10, -0.12, 1.40), (2048, 1550), 1683.0),
    "ring_side_left": (99.0, (1.31, 0.28, 1.40), (2048, 1550), 1683.0),
    "ring_side_right": (-99.0, (1.31, -0.28, 1.40), (2048, 1550), 1683.0),
}
_NUSCENES = {
    "CAM_FRONT": (0.0, (1.70, 0.0, 1.51), (1600, 900), 1266.0),
    "CAM_FRONT_RIGHT": (-55.0, (1.55, -0.49, 1.51), (1600, 900), 1260.0),
    "CAM_FRONT_LEFT": (55.0, (1.52, 0.49, 1.51), (1600, 900), 1272.0),
    "CAM_BACK": (180.0, (0.03, 0.0, 1.57), (1600, 900), 809.0),
    "CAM_BACK_LEFT": (108.0, (1.04, 0.48, 1.56), (1600, 900), 1256.0),
    "CAM_BACK_RIGHT": (-110.0, (1.01, -0.48, 1.56), (1600, 900), 1259.0),
}
_DASH = {"front": (0.0, (1.60, 0.0, 1.35), (1920, 1080), 1150.0)}
RIGS = {"ring7": _AV2, "nuscenes6": _NUSCENES, "dash": _DASH}
"""Name of the rig -> camera -> yaw in degrees, position in the ego frame, (width, height), focal length in pixels."""

DEFAULT_SIZES = {"ring7": (512, 400), "nuscenes6": (800, 450), "dash": (960, 540)}
"""Size of pictures where none is given."""

LIDAR_MOUNT = (1.10, 0.0, 1.85)
"""Position of the LiDAR in the ego frame, metres."""


def make_rig(
    name: str, size: tuple[int, int] | None = None, pitch: float = 0.0, distortion: tuple[float, float] = (0.0, 0.0)
) -> dict[str, Camera]:
    """Cameras of a rig by name; the first looks ahead.

    Args:
        name: One of :data:`RIGS`.
        size: (width, height) of the landscape cameras; portrait ones are turned. Where the aspect differs from the
            sensor's, the picture is cut, never stretched. None keeps the full size.
        pitch: Degrees that all cameras look down.
        distortion: Radial coefficients k1 and k2 of all lenses.

    Raises:
        PerceptionError: Unknown rig, or a size of nothing.
    """
    if name not in RIGS:
        raise UnknownNameError("rig", name, RIGS)
    if size is not None and (min(size) < 16 or max(size) > 8192):
        raise PerceptionError(f"rig: size: expected 16 to 8192 pixels a side, found {size}")
    lens = "plumb_bob" if any(distortion) else "none"
    coefficients = np.array([*distortion, 0.0, 0.0, 0.0]) if any(distortion) else np.zeros(0)
    cameras = {}
    for camera, (yaw, position, full, focal) in RIGS[name].items():
        width, height = full
        if size is not None:
            width, height = size if full[0] > full[1] else size[::-1]
        f = focal * max(width / full[0], height / full[1])
        k = np.array([[f, 0, width / 2 - 0.5], [0, f, height / 2 - 0.5], [0, 0, 1]])
        pose = mount(yaw, position, pitch)
        cameras[camera] = Camera(camera, width, height, k, lens, coefficients, pose)
    return cameras


def mount(yaw: float, position: tuple[float, float, float], pitch: float = 0.0) -> np.ndarray:
    """(4, 4) ``ego_from_camera`` of a camera at ``position`` that looks towards ``yaw`` degrees (left positive)."""
    a, p = np.deg2rad(yaw), np.deg2rad(pitch)
    forward = np.array([np.cos(a) * np.cos(p), np.sin(a) * np.cos(p), -np.sin(p)])
    right = np.array([np.sin(a), -np.cos(a), 0.0])
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = right, np.cross(forward, right), forward, position
    return pose
