"""LiDAR points in pictures and from above."""

from __future__ import annotations

import numpy as np

from perception.geometry import Camera
from perception.viz.bev import BevView
from perception.viz.colors import heat_colors

__all__ = ["cloud_from_above", "cloud_in_picture"]


def cloud_in_picture(image: np.ndarray, points: np.ndarray, camera: Camera, far: float = 50.0) -> np.ndarray:
    """Points on an image, near ones red and on top.

    Args:
        image: (H, W, 3) uint8 RGB.
        points: (N, 3) ego metres.
        camera: Calibration with a pose, of any image size with the same field of view.
        far: Distance of the darkest blue, metres.

    Returns:
        A new image; points outside are left out.
    """
    if camera.size != (image.shape[1], image.shape[0]):
        camera = camera.resized(image.shape[1], image.shape[0])
    assert camera.ego_from_camera is not None
    points = np.asarray(points, np.float64).reshape(-1, 3)
    uv, inside = camera.project_ego(points)
    distance = np.linalg.norm(points[inside] - camera.ego_from_camera[:3, 3], axis=1)
    return _paint(image, uv[inside], 1 - np.clip(distance / far, 0, 1), -distance)


def cloud_from_above(image: np.ndarray, points: np.ndarray, view: BevView, high: float = 3.0) -> np.ndarray:
    """Points on a bird's-eye picture of ``view``, coloured by height up to ``high`` metres; a new image."""
    points = np.asarray(points, np.float64).reshape(-1, 3)
    return _paint(image, view.pixels(points), 0.15 + 0.85 * np.clip(points[:, 2] / high, 0, 1), points[:, 2])


def _paint(image: np.ndarray, uv: np.ndarray, heat: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Two pixels a point, those of high ``order`` last."""
    out, size = image.copy(), (image.shape[1], image.shape[0])
    if not len(uv):
        return out
    uv = np.rint(uv[np.argsort(order, kind="stable")]).astype(np.int64)
    colors = heat_colors(heat[np.argsort(order, kind="stable"), None], 1.0)[:, 0]
    for shift in (0, 1):
        column, row = uv[:, 0] + shift, uv[:, 1]
        kept = (column >= 0) & (column < size[0]) & (row >= 0) & (row < size[1])
        out[row[kept], column[kept]] = colors[kept]
    return out
