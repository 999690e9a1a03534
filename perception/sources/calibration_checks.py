"""What can be told about a calibration without a target: numbers no camera has, clouds that do not fit the image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import cv2
import numpy as np

from perception.geometry import Camera, rotation_from_euler
from perception.structures import Fault, Frame, PointCloud

__all__ = ["camera_checks", "camera_faults", "lidar_image_faults"]

_FOCAL_RANGE = (0.2, 6.0)
"""Focal length over image width: 0.2 is a fisheye of 136 degrees, 6.0 a telephoto lens of 10."""
_JUMP_M = 1.0
_NEAR_PIXELS = 8.0
_MINIMUM_EDGES = 150
_TURNS_DEG = (-6.0, -4.0, -2.5, -1.25, 0.0, 1.25, 2.5, 4.0, 6.0)
_AS_IT_IS = _TURNS_DEG.index(0.0)
_MARGIN, _FEW_FRAMES_MARGIN = 1.12, 1.2


def camera_faults(camera: Camera, image_size: tuple[int, int] | None = None) -> list[Fault]:
    """Faults of kind ``calibration`` or ``size`` for numbers that no mounted camera has.

    Args:
        camera: What to judge.
        image_size: (width, height) of its images, where one has been seen.
    """
    found = []
    fx, fy, cx, cy = camera.intrinsics[0, 0], camera.intrinsics[1, 1], camera.intrinsics[0, 2], camera.intrinsics[1, 2]
    low, high = (limit * camera.width for limit in _FOCAL_RANGE)
    if not low <= fx <= high:
        found.append(
            f"a focal length between {low:.0f} and {high:.0f} pixels for {camera.width} of width, found {fx:.1f}"
        )
    if not 0.7 <= fx / fy <= 1.4:
        found.append(f"pixels that are nearly square, found focal lengths {fx:.1f} and {fy:.1f}")
    if not (-0.1 * camera.width <= cx <= 1.1 * camera.width and -0.1 * camera.height <= cy <= 1.1 * camera.height):
        found.append(f"a principal point inside {camera.width}x{camera.height}, found {cx:.1f}, {cy:.1f}")
    pose = camera.ego_from_camera
    if pose is not None:
        turn = pose[:3, :3]
        if np.abs(turn @ turn.T - np.eye(3)).max() > 0.01 or np.linalg.det(turn) < 0:
            found.append("a rotation as mounting pose, found a matrix that is none")
        elif np.linalg.norm(pose[:3, 3]) > 30:
            found.append(f"a camera on the vehicle, found one {np.linalg.norm(pose[:3, 3]):.1f} m from its origin")
    faults = [Fault(camera.name, "calibration", f"expected {text}") for text in found]
    if image_size is not None and image_size != camera.size:
        expected, size = f"{camera.width}x{camera.height}", f"{image_size[0]}x{image_size[1]}"
        faults.append(Fault(camera.name, "size", f"expected {expected} as calibrated, found images of {size}"))
    return faults


def lidar_image_faults(frames: Iterable[Frame]) -> list[Fault]:
    """Judge the direction of cameras by how edges of the clouds lie on edges of the images.

    Where neighbouring points of a ring jump in range, an object ends, and images mostly have an edge there. If such
    points lie clearly nearer to image edges after the camera was turned by some degrees of yaw, the calibration is off
    by about that. Few edges or a small difference give no fault, so errors below about two degrees pass, and pitch is
    not judged: trees and facades have edges everywhere above and below. A camera that no point of a cloud around the
    vehicle falls into has a fault as well.

    Args:
        frames: A handful from different places of a drive.

    Returns:
        Faults of kind ``calibration`` by camera.
    """
    scores: dict[str, np.ndarray] = {}
    counts: dict[str, int] = {}
    seen: dict[str, int] = {}
    around = False
    for frame in frames:
        edges = [_range_edges(cloud, frame.calibration.sensors[name]) for name, cloud in frame.clouds.items()
                 if name in frame.calibration.sensors]  # fmt: skip
        if not edges:
            continue
        points = np.concatenate(edges)
        azimuths = np.arctan2(points[:, 1], points[:, 0])
        around |= len(np.unique(np.floor(azimuths / (np.pi / 6)))) == 12
        for name, image in frame.images.items():
            camera = frame.calibration.cameras.get(name)
            if camera is None or camera.ego_from_camera is None or image.shape[1::-1] != camera.size:
                continue
            count, score = _scores(points, image, camera)
            counts[name], seen[name] = counts.get(name, 0) + count, seen.get(name, 0) + 1
            scores[name] = scores.get(name, np.zeros(len(score))) + count * score
    faults = []
    for name, total in scores.items():
        if counts[name] < _MINIMUM_EDGES:
            if counts[name] == 0 and around:
                faults.append(Fault(name, "calibration", "expected points of the cloud in the image, found none"))
            continue
        best = 1 + int(total[1:-1].argmax())
        peak = total[best] > max(total[best - 1], total[best + 1])
        margin = _MARGIN if seen[name] >= 3 else _FEW_FRAMES_MARGIN
        if best != _AS_IT_IS and peak and total[best] > margin * total[_AS_IT_IS]:
            often = f"{total[best] / total[_AS_IT_IS]:.2f} times as often"
            turned = f"after a turn by about {_TURNS_DEG[best]:+.1f} degrees of yaw"
            text = f"expected edges of the cloud on edges of the image, found them {often} {turned}"
            faults.append(Fault(name, "calibration", text))
    return faults


def _scores(points: np.ndarray, image: np.ndarray, camera: Camera) -> tuple[int, np.ndarray]:
    """How many edge points lie in the image, and for every turn their mean nearness to image edges in [0, 1]."""
    assert camera.ego_from_camera is not None
    nearness = _edge_nearness(image)
    pose = np.linalg.inv(camera.ego_from_camera)
    local = points @ pose[:3, :3].T + pose[:3, 3]
    found, count = [], 0
    for yaw in _TURNS_DEG:
        turn = rotation_from_euler(0.0, -np.radians(yaw), 0.0)  # y points down: a camera turns left by less of it
        uv, valid = camera.project(local @ turn)
        pixels = np.round(uv[valid]).astype(int)
        count = max(count, len(pixels))
        found.append(float(nearness[pixels[:, 1], pixels[:, 0]].mean()) if len(pixels) else 0.0)
    return count, np.array(found)


def _edge_nearness(image: np.ndarray) -> np.ndarray:
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1.5)
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    strength = np.hypot(across, down)
    edges = (strength > np.quantile(strength, 0.93)).astype(np.uint8)
    return np.exp(-cv2.distanceTransform(1 - edges, cv2.DIST_L2, 3) / _NEAR_PIXELS)


def _range_edges(cloud: PointCloud, ego_from_sensor: np.ndarray) -> np.ndarray:
    """(N, 3) ego points at which a ring jumps back in range: the nearer point of each jump."""
    points = cloud.points.astype(np.float64)
    ranges = np.linalg.norm(points, axis=1)
    ring = _rings(cloud, points, ranges)
    order = np.lexsort((np.arctan2(points[:, 1], points[:, 0]), ring))
    ranges, ring, points = ranges[order], ring[order], points[order]
    jump, same = np.diff(ranges), np.diff(ring) == 0
    nearer = np.concatenate([np.flatnonzero(same & (jump > _JUMP_M)), np.flatnonzero(same & (jump < -_JUMP_M)) + 1])
    nearer = nearer[(ranges[nearer] > 2) & (ranges[nearer] < 40)]
    return points[nearer] @ ego_from_sensor[:3, :3].T + ego_from_sensor[:3, 3]


def _rings(cloud: PointCloud, points: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    if "ring" in cloud.fields and len(np.unique(cloud.fields["ring"])) > 1:
        return np.asarray(cloud.fields["ring"]).astype(np.int64)
    return np.round(np.degrees(np.arcsin(points[:, 2] / np.maximum(ranges, 1e-3))) / 0.4).astype(np.int64)


def camera_checks(cameras: Mapping[str, Camera], sizes: Mapping[str, tuple[int, int] | None]) -> list[Fault]:
    """:func:`camera_faults` of a rig."""
    return [fault for name, camera in cameras.items() for fault in camera_faults(camera, sizes.get(name))]
