"""Cameras, rigid transforms, grids and polylines. Conventions: ``perception/conventions.md``."""

from perception.geometry.camera import Camera
from perception.geometry.grid import GridSpec
from perception.geometry.polyline import resample
from perception.geometry.transforms import (
    interpolate_pose,
    invert_pose,
    make_pose,
    matrix_to_quaternion,
    quaternion_to_matrix,
    rotation_from_euler,
    yaw_of,
)

__all__ = [
    "Camera",
    "GridSpec",
    "interpolate_pose",
    "invert_pose",
    "make_pose",
    "matrix_to_quaternion",
    "quaternion_to_matrix",
    "resample",
    "rotation_from_euler",
    "yaw_of",
]
