"""What a flat board does to a LiDAR sweep."""

from __future__ import annotations

import numpy as np

from perception.errors import PerceptionError

__all__ = ["cast_on_board"]


def cast_on_board(points: np.ndarray, sensor: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put a board in front of a sensor: returns behind it become returns on it, along the same rays.

    Rays that came back with nothing are not in a sweep, so a board against the sky gets fewer returns than a real one.

    Args:
        points: (N, 3) returns.
        sensor: (3,) where the rays start, in the same frame.
        corners: (4, 3) of a parallelogram, in order around it.

    Returns:
        (N, 3) float32 returns, and (N,) bool which of them are now on the board.

    Raises:
        PerceptionError: Corners that span no area, are not a parallelogram, or are not finite.
    """
    corners = np.asarray(corners, np.float64)
    if corners.shape != (4, 3) or not np.isfinite(corners).all():
        raise PerceptionError(f"board: expected (4, 3) finite corners, found {corners.shape}")
    base, across, along = corners[0], corners[1] - corners[0], corners[3] - corners[0]
    normal = np.cross(across, along)
    if np.linalg.norm(normal) < 1e-6 or not np.allclose(corners[2], base + across + along, atol=1e-3):
        raise PerceptionError("board: expected the corners of a parallelogram with an area")
    rays = np.asarray(points, np.float64) - sensor
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = ((base - sensor) @ normal) / (rays @ normal)
        spot = sensor + reach[:, None] * rays
        hit = (reach > 1e-6) & (reach < 1)
        offset = spot - base
    gram = np.array([[across @ across, across @ along], [across @ along, along @ along]])
    with np.errstate(invalid="ignore"):
        inside = np.stack([offset @ across, offset @ along], 1) @ np.linalg.inv(gram)
        hit &= ((inside >= 0) & (inside <= 1)).all(1)
    return np.where(hit[:, None], spot, points).astype(np.float32), hit
