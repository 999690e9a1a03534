"""WGS-84: latitude, longitude and height -> metres on a plane that touches the earth where the drive began."""

from __future__ import annotations

import numpy as np

__all__ = ["east_north_up", "ecef_from_geodetic", "enu_from_ecef", "geodetic_from_ecef"]

_A = 6378137.0
_F = 1 / 298.257223563
_E2 = _F * (2 - _F)


def ecef_from_geodetic(latitude: np.ndarray, longitude: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Degrees and metres above the ellipsoid -> (..., 3) float64 earth-centred metres."""
    lat, lon = np.radians(np.asarray(latitude, np.float64)), np.radians(np.asarray(longitude, np.float64))
    height = np.asarray(height, np.float64)
    normal = _A / np.sqrt(1 - _E2 * np.sin(lat) ** 2)
    x, y = (normal + height) * np.cos(lat) * np.cos(lon), (normal + height) * np.cos(lat) * np.sin(lon)
    return np.stack([x, y, (normal * (1 - _E2) + height) * np.sin(lat)], axis=-1)


def enu_from_ecef(origin: np.ndarray) -> np.ndarray:
    """(4, 4) ``enu_from_ecef`` of the plane (east, north, up) that touches the ellipsoid below an earth-centred point.

    Args:
        origin: (3,) earth-centred metres; becomes the origin.
    """
    x, y, z = np.asarray(origin, np.float64)
    lon, across = np.arctan2(y, x), np.hypot(x, y)
    lat = np.arctan2(z, across * (1 - _E2))
    for _ in range(6):  # converges by a factor of 150 a step near the ground
        normal = _A / np.sqrt(1 - _E2 * np.sin(lat) ** 2)
        lat = np.arctan2(z + _E2 * normal * np.sin(lat), across)
    sin_lat, cos_lat, sin_lon, cos_lon = np.sin(lat), np.cos(lat), np.sin(lon), np.cos(lon)
    rotation = np.array(
        [
            [-sin_lon, cos_lon, 0],
            [-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat],
            [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat],
        ]
    )
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -rotation @ np.array([x, y, z])
    return pose


def east_north_up(latitude: np.ndarray, longitude: np.ndarray, height: np.ndarray) -> np.ndarray:
    """(N,) degrees and metres -> (N, 3) metres east, north and up of the first one."""
    ecef = ecef_from_geodetic(latitude, longitude, height).reshape(-1, 3)
    if not len(ecef):
        return ecef
    pose = enu_from_ecef(ecef[0])
    return ecef @ pose[:3, :3].T + pose[:3, 3]


def geodetic_from_ecef(points: np.ndarray) -> np.ndarray:
    """(N, 3) earth-centred metres -> (N, 3) latitude and longitude in degrees, metres above the ellipsoid."""
    x, y, z = np.asarray(points, np.float64).reshape(-1, 3).T
    across = np.hypot(x, y)
    lat = np.arctan2(z, across * (1 - _E2))
    for _ in range(6):
        normal = _A / np.sqrt(1 - _E2 * np.sin(lat) ** 2)
        lat = np.arctan2(z + _E2 * normal * np.sin(lat), across)
    normal = _A / np.sqrt(1 - _E2 * np.sin(lat) ** 2)
    height = across * np.cos(lat) + z * np.sin(lat) - _A**2 / normal
    return np.stack([np.degrees(lat), np.degrees(np.arctan2(y, x)), height], axis=-1)
