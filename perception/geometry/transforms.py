"""Rigid transforms as 4x4 float64 matrices; ``a_from_b`` maps points of frame b into frame a."""

from __future__ import annotations

import math

import numpy as np

from perception.errors import PerceptionError

__all__ = [
    "check_pose",
    "interpolate_pose",
    "invert_pose",
    "make_pose",
    "matrix_to_quaternion",
    "quaternion_to_matrix",
    "rotation_from_euler",
    "yaw_of",
]

CAMERA_AXES_IN_EGO = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""(3, 3) rotation ego_from_camera of a camera that looks straight ahead: x right, y down, z forward."""


def make_pose(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """(3, 3) rotation and (3,) translation in metres -> (4, 4) pose."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, translation
    return pose


def invert_pose(pose: np.ndarray) -> np.ndarray:
    """Inverse of a rigid (4, 4) pose."""
    rotation = pose[:3, :3].T
    return make_pose(rotation, -rotation @ pose[:3, 3])


def quaternion_to_matrix(xyzw: np.ndarray) -> np.ndarray:
    """Quaternion (x, y, z, w), any norm but 0 -> (3, 3) rotation; (N, 4) -> (N, 3, 3).

    ROS and Foxglove use this order; nuScenes has w first.

    Raises:
        PerceptionError: A number is not finite, or the norm is 0.
    """
    xyzw = np.asarray(xyzw, dtype=np.float64)
    norm = np.linalg.norm(xyzw, axis=-1)
    if not np.isfinite(norm).all() or (norm < 1e-9).any():
        raise PerceptionError(f"quaternion: expected finite numbers of a norm above 0, found {xyzw.tolist()}")
    from scipy.spatial.transform import Rotation

    return Rotation.from_quat(xyzw).as_matrix()


def matrix_to_quaternion(rotation: np.ndarray) -> np.ndarray:
    """(3, 3) rotation -> (4,) unit quaternion (x, y, z, w) with w >= 0."""
    diagonal, trace = np.diagonal(rotation), float(np.trace(rotation))
    i = int(np.argmax([*diagonal, trace]))
    out = np.empty(4)
    if i == 3:
        out[:3] = rotation[[2, 0, 1], [1, 2, 0]] - rotation[[1, 2, 0], [2, 0, 1]]
        out[3] = 1 + trace
    else:
        j, k = (i + 1) % 3, (i + 2) % 3
        out[i], out[3] = 1 + 2 * diagonal[i] - trace, rotation[k, j] - rotation[j, k]
        out[j], out[k] = rotation[j, i] + rotation[i, j], rotation[k, i] + rotation[i, k]
    return out / (np.linalg.norm(out) * (-1 if out[3] < 0 else 1))


def check_pose(pose: np.ndarray) -> np.ndarray:
    """A (4, 4) matrix that is a rigid transform; rounding as in text files is let through.

    Raises:
        PerceptionError: It is not.
    """
    turn = pose[:3, :3]
    if np.isfinite(pose).all() and np.abs(turn @ turn.T - np.eye(3)).max() < 0.01 and np.linalg.det(turn) > 0:
        return pose
    raise PerceptionError(f"expected a pose (rotation and translation), found {pose[:3].tolist()}")


def rotation_from_euler(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """Rotation in radians: yaw about z (left positive), then pitch about y (nose down positive), then roll about x."""
    (a, b, c), (x, y, z) = np.cos((roll, pitch, yaw)), np.sin((roll, pitch, yaw))
    return np.array(
        [
            [c * b, c * y * x - z * a, c * y * a + z * x],
            [z * b, z * y * x + c * a, z * y * a - c * x],
            [-y, b * x, b * a],
        ]
    )


def yaw_of(pose: np.ndarray) -> float:
    """Heading of a (4, 4) pose in radians, counter-clockwise from x towards y, in (-pi, pi]."""
    return float(np.arctan2(pose[1, 0], pose[0, 0]))


def interpolate_pose(times: np.ndarray, poses: np.ndarray, time: float) -> np.ndarray:
    """Pose at ``time`` between samples: translation linear, rotation by slerp.

    Args:
        times: (N,) ascending, any unit, N >= 1.
        poses: (N, 4, 4).
        time: In the unit of ``times``; outside the range the nearest sample is returned.
    """
    times = np.asarray(times, dtype=np.float64)
    time = float(np.clip(time, times[0], times[-1]))
    right = int(np.clip(np.searchsorted(times, time), 1, max(len(times) - 1, 1)))
    if len(times) == 1 or times[right] == times[right - 1]:
        return np.asarray(poses[min(right, len(times) - 1)], dtype=np.float64)
    share = (time - times[right - 1]) / (times[right] - times[right - 1])
    before, behind = (np.asarray(poses[place], dtype=np.float64) for place in (right - 1, right))
    return make_pose(_slerp(before, behind, share), (1 - share) * before[:3, 3] + share * behind[:3, 3])


def _slerp(before: np.ndarray, behind: np.ndarray, share: float) -> np.ndarray:
    """(3, 3) rotation a share of the way between two poses; scipy's ``Slerp`` costs five times as much for one pair."""
    start = before[:3, :3]
    turn = start.T @ behind[:3, :3]
    axis = 0.5 * np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    sine, cosine = float(np.sqrt(axis @ axis)), 0.5 * (float(np.trace(turn)) - 1)
    if cosine < -0.9:  # near half a turn the axis is lost in rounding
        from scipy.spatial.transform import Rotation, Slerp

        return Slerp([0.0, 1.0], Rotation.from_matrix(np.stack([start, behind[:3, :3]])))(share).as_matrix()
    if sine < 1e-15:
        return start
    x, y, z = axis / sine
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = share * math.atan2(sine, cosine)
    return start @ (np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross))
