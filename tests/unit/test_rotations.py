"""Angles, matrices and quaternions agree with scipy."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from perception.geometry import matrix_to_quaternion, quaternion_to_matrix, rotation_from_euler


def test_angles_turn_as_documented():
    roll, pitch, yaw = 0.3, -0.7, 2.1
    expected = Rotation.from_euler("ZYX", [yaw, pitch, roll]).as_matrix()
    np.testing.assert_allclose(rotation_from_euler(roll, pitch, yaw), expected, atol=1e-15)
    np.testing.assert_allclose(rotation_from_euler(0, 0, np.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-15)  # left


def test_quaternions_of_matrices():
    turns = Rotation.random(50, np.random.default_rng(0)).as_matrix()
    halves = [np.diag(signs) for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))]
    for turn in [*turns, *np.array(halves, float)]:
        found = matrix_to_quaternion(turn)
        np.testing.assert_allclose(quaternion_to_matrix(found), turn, atol=1e-14)
        assert found[3] >= 0
        np.testing.assert_allclose(found, Rotation.from_matrix(turn).as_quat(canonical=True), atol=1e-14)
