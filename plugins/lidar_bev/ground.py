"""The road as a plane, so that heights mean the same on a slope and whatever origin a data set chose."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from perception.geometry.grid import GridSpec
from perception.ops.bev_rasterize import bev_statistics

_NEAR = GridSpec.centered(40, 2.0)
_STEPS = (1.0, 0.5, 0.25, 0.25)
_MAX_SLOPE = 0.15


def level_from_ego(points: Tensor) -> np.ndarray:
    """Fit the road around the car.

    The lowest points of cells of 2 m up to 40 m away are fitted by a plane that leaves out, in steps, what lies far
    above it. With fewer than ten such cells, or a plane steeper than any street, only the height is taken from them.

    Args:
        points: (N, C) float32 in the car's frame.

    Returns:
        (4, 4) float64 that maps the plane to z = 0 and turns nothing but what it has to.
    """
    low = bev_statistics(points[:, :3], _NEAR, (-8.0, 8.0))
    cells = (low.counts[0] > 1).numpy()
    xy = _NEAR.centers()[cells].astype(np.float64)
    z = low.low[0].numpy()[cells].astype(np.float64)
    if len(z) < 10:
        return _shifted(float(np.median(z)) if len(z) else 0.0)
    design = np.column_stack([xy, np.ones(len(xy))])
    plane = np.array([0.0, 0.0, np.quantile(z, 0.3)])
    for step in _STEPS:
        near = np.abs(z - design @ plane) < step
        if near.sum() < 10:
            break
        plane, *_ = np.linalg.lstsq(design[near], z[near], rcond=None)
    if np.hypot(plane[0], plane[1]) > _MAX_SLOPE:
        return _shifted(float(np.quantile(z, 0.3)))
    normal = np.array([-plane[0], -plane[1], 1.0])
    normal /= np.linalg.norm(normal)
    axis = np.cross(normal, [0.0, 0.0, 1.0])
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    level = np.eye(4)
    level[:3, :3] += skew + skew @ skew / (1 + normal[2])
    level[2, 3] = -plane[2] * normal[2]
    return level


def _shifted(height: float) -> np.ndarray:
    level = np.eye(4)
    level[2, 3] = -height
    return level
