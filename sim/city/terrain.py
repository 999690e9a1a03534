"""Heights of the ground, and poses of what stands on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from perception.sim.city.model import GroundMap


def sample_height(ground: GroundMap, xy: np.ndarray) -> np.ndarray:
    """(N,) float64 bilinear height at (N, 2) world ``xy``, clamped at the border."""
    rows, columns = ground.height.shape
    cell = (np.asarray(xy, np.float64).reshape(-1, 2) - ground.origin) / ground.height_step
    x = np.clip(cell[:, 0], 0, columns - 1)
    y = np.clip(cell[:, 1], 0, rows - 1)
    c = np.minimum(x.astype(int), columns - 2)
    r = np.minimum(y.astype(int), rows - 2)
    u, v = x - c, y - r
    low = ground.height[r, c] * (1 - u) + ground.height[r, c + 1] * u
    high = ground.height[r + 1, c] * (1 - u) + ground.height[r + 1, c + 1] * u
    return low * (1 - v) + high * v


def place(position: np.ndarray, yaw: float, ground: GroundMap | None = None) -> np.ndarray:
    """(4, 4) float64 pose at (3,) ``position`` with heading ``yaw``; tilted with the ground when one is given."""
    return place_many(np.asarray(position, np.float64)[None], np.array([yaw]), ground)[0]


def place_many(
    positions: np.ndarray, yaws: np.ndarray, ground: GroundMap | None = None, tilted: np.ndarray | None = None
) -> np.ndarray:
    """(N, 4, 4) float64 poses at (N, 3) ``positions`` with (N,) headings.

    Args:
        positions: World metres.
        yaws: Radians.
        ground: Tilts what stands on it.
        tilted: (N,) bool which are tilted; None tilts all.
    """
    zero = np.zeros(len(yaws))
    forward = np.stack([np.cos(yaws), np.sin(yaws), zero], -1)
    left = np.stack([-np.sin(yaws), np.cos(yaws), zero], -1)
    if ground is not None:
        pick = np.arange(len(yaws)) if tilted is None else np.flatnonzero(tilted)
        for axis in (forward, left):
            ahead, behind = (positions[pick, :2] + side * axis[pick, :2] for side in (1.0, -1.0))
            axis[pick, 2] = (sample_height(ground, ahead) - sample_height(ground, behind)) / 2
        forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    up = np.cross(forward, left)
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    poses = np.tile(np.eye(4), (len(yaws), 1, 1))
    poses[:, :3, 0], poses[:, :3, 1], poses[:, :3, 2], poses[:, :3, 3] = forward, np.cross(up, forward), up, positions
    return poses
