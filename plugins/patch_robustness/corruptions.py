"""Weather, camera and sensor faults as seeded ``Frame -> Frame``, in five severities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from perception.errors import PerceptionError, UnknownNameError
from perception.geometry.camera import Camera
from perception.structures import Frame
from perception.structures.frame import PointCloud

__all__ = [
    "CORRUPTIONS",
    "IMAGE_CORRUPTIONS",
    "check_severity",
    "corrupt",
    "corrupt_image",
    "kept_points",
    "turned_camera",
]

Step = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def _fog(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """A bright veil, thicker towards the horizon and uneven."""
    height, width = image.shape[:2]
    uneven = cv2.resize(rng.random((4, 6)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    rows = 1 - np.abs(np.linspace(-1, 1, height, dtype=np.float32))[:, None]
    veil = np.clip((0.12 * severity) * (0.6 + 0.6 * rows + 0.3 * (uneven - 0.5)), 0, 0.95)[..., None]
    return image * (1 - veil) + 205 * veil


def _rain(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Bright slanted streaks and a little haze."""
    height, width = image.shape[:2]
    streaks = (rng.random((height, width)) < 0.002 * severity).astype(np.float32)
    length = 7 + 4 * severity
    kernel = np.zeros((length, length), np.float32)
    cv2.line(kernel, (length // 2 - 1, 0), (length // 2 + 1, length - 1), 1.0)
    layer = np.clip(cv2.filter2D(streaks, -1, kernel), 0, 1)[..., None] * 0.5
    return (image * (1 - layer) + 220 * layer) * (1 - 0.03 * severity) + 6 * severity


def _blur(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Motion blur in a random direction."""
    length = 1 + 4 * severity
    angle = rng.uniform(0, np.pi)
    reach = length // 2
    step = np.rint(reach * np.array([np.cos(angle), np.sin(angle)])).astype(int)
    kernel = np.zeros((length, length), np.float32)
    cv2.line(kernel, (reach - step[0], reach - step[1]), (reach + step[0], reach + step[1]), 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def _noise(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian and shot noise of a sensor."""
    shot = np.sqrt(np.maximum(image, 0)) * 0.4 * severity
    return image + rng.normal(0, 1, image.shape) * (4 * severity + shot)


def _exposure(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Too bright or too dark by up to two stops."""
    stops = 0.4 * severity * (1 if rng.random() < 0.5 else -1)
    return image * 2.0**stops


def _jpeg(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Strong compression."""
    quality = (40, 25, 15, 9, 5)[severity - 1]
    _, code = cv2.imencode(".jpg", np.clip(image, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.float32)


_IMAGE: dict[str, Step] = {
    "fog": _fog,
    "rain": _rain,
    "blur": _blur,
    "noise": _noise,
    "exposure": _exposure,
    "jpeg": _jpeg,
}
IMAGE_CORRUPTIONS = tuple(_IMAGE)
"""Kinds that change pictures."""
CORRUPTIONS = (*_IMAGE, "lost_camera", "lidar_dropout", "calibration")
"""All kinds."""


def _check(kind: str, severity: int) -> None:
    if kind not in CORRUPTIONS:
        raise UnknownNameError("corruption", kind, CORRUPTIONS)
    check_severity(kind, severity)


def check_severity(kind: str, severity: int) -> None:
    """Refuse a severity outside 1 to 5.

    Raises:
        PerceptionError: It is another number.
    """
    if severity not in (1, 2, 3, 4, 5):
        raise PerceptionError(f"corruption {kind}: expected severity 1 to 5, found {severity}")


def corrupt_image(image: np.ndarray, kind: str, severity: int, seed: int = 0) -> np.ndarray:
    """Corrupt one (H, W, 3) uint8 image; the same seed gives the same pixels.

    Raises:
        UnknownNameError: Not a corruption of images.
        PerceptionError: Severity outside 1 to 5.
    """
    _check(kind, severity)
    if kind not in _IMAGE:
        raise UnknownNameError("corruption of images", kind, _IMAGE)
    changed = _IMAGE[kind](image.astype(np.float32), severity, np.random.default_rng(seed))
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def corrupt(frame: Frame, kind: str, severity: int, seed: int = 0) -> Frame:
    """Corrupt a frame; every image and cloud has its own draw, which depends on the seed and the frame's time only.

    Args:
        frame: The frame; it is not changed.
        kind: One of ``CORRUPTIONS``. ``lost_camera`` removes one camera, or as many as ``severity`` where there are
            more; ``lidar_dropout`` removes 15 % of the points a severity; ``calibration`` turns every camera's pose by
            0.25, 0.5, 1, 2 or 4 degrees about a random axis.
        severity: 1 to 5.
        seed: Of the draws.

    Raises:
        UnknownNameError: Unknown kind.
        PerceptionError: Severity outside 1 to 5.
    """
    _check(kind, severity)
    rng = np.random.default_rng([seed, severity, int(frame.timestamp_ns) & 0x7FFFFFFF])
    if kind == "lost_camera":
        names = sorted(frame.images)
        lost = set(rng.permutation(names)[: min(severity, max(len(names) - 1, 1))].tolist()) if names else set()
        return replace(frame, images={name: image for name, image in frame.images.items() if name not in lost})
    if kind == "lidar_dropout":
        clouds = {}
        for name, cloud in frame.clouds.items():
            clouds[name] = _thinned(cloud, kept_points(len(cloud.points), severity, rng))
        return replace(frame, clouds=clouds)
    if kind == "calibration":
        return _turned(frame, severity, rng)
    images = {
        name: corrupt_image(image, kind, severity, int(rng.integers(1 << 31)))
        for name, image in sorted(frame.images.items())
    }
    return replace(frame, images=images)


def kept_points(count: int, severity: int, rng: np.random.Generator) -> np.ndarray:
    """(N,) bool of the returns that a LiDAR which loses 15 % a severity still has."""
    kept: np.ndarray = rng.random(count) >= 0.15 * severity
    return kept


def turned_camera(camera: Camera, severity: int, rng: np.random.Generator) -> Camera:
    """A camera whose pose is wrong by 0.25, 0.5, 1, 2 or 4 degrees about a random axis.

    Raises:
        PerceptionError: It has no pose.
    """
    if camera.ego_from_camera is None:
        raise PerceptionError(f"corruption calibration: camera {camera.name!r}: expected a pose, found none")
    axis, angle = rng.normal(size=3), np.radians(0.25 * 2 ** (severity - 1))
    error = np.eye(4)
    error[:3, :3] = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix()
    return replace(camera, ego_from_camera=camera.ego_from_camera @ error)


def _turned(frame: Frame, severity: int, rng: np.random.Generator) -> Frame:
    if not frame.calibration.cameras:
        raise PerceptionError("corruption calibration: expected a calibrated frame, found none")
    cameras = {name: turned_camera(one, severity, rng) for name, one in sorted(frame.calibration.cameras.items())}
    return replace(frame, calibration=replace(frame.calibration, cameras=cameras))


def _thinned(cloud: PointCloud, keep: np.ndarray) -> PointCloud:
    fields = {name: values[keep] for name, values in cloud.fields.items()}
    return replace(cloud, points=cloud.points[keep], fields=fields)
