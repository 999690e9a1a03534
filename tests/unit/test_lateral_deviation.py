"""Lateral deviation by hand: straight lanes, a shift, a missing line."""

from __future__ import annotations

import numpy as np
import pytest

from perception.errors import PerceptionError
from perception.geometry.camera import Camera
from perception.metrics.lateral_deviation import Car, drive, lane_center, lateral_deviation
from perception.structures import Lanes2D

X = np.arange(4.0, 50.0)
LEFT, RIGHT = np.stack([X, np.full_like(X, 1.8)], 1), np.stack([X, np.full_like(X, -1.8)], 1)


def test_the_middle_lies_between_the_nearest_lines_of_both_sides():
    far = LEFT + (0, 3.6)
    center = lane_center([far, RIGHT, LEFT[::-1]])
    assert center is not None
    np.testing.assert_allclose(center[:, 1], 0, atol=1e-12)


def test_one_line_is_completed_by_the_width_of_a_lane():
    center = lane_center([RIGHT], Car(lane_width=3.0))
    assert center is not None
    np.testing.assert_allclose(center[:, 1], -0.3)
    assert lane_center([]) is None
    assert lane_center([np.full((3, 2), np.nan)]) is None


def test_a_car_in_the_middle_goes_straight_and_a_shifted_path_pulls_it_over():
    straight = drive(np.array([[0.0, 0.0], [50.0, 0.0]]))
    np.testing.assert_allclose(straight[-1], [20, 0], atol=1e-9)
    pulled = drive(np.array([[0.0, 1.0], [100.0, 1.0]]), Car(seconds=10.0))
    assert 0.95 < pulled[-1, 1] < 1.05
    np.testing.assert_allclose(drive(None)[-1], [20, 0])


def test_the_first_step_steers_by_pure_pursuit():
    car = Car(seconds=0.02)
    end = drive(np.array([[0.0, 1.0], [100.0, 1.0]]), car)[-1]
    curvature = 2 * 1.0 / (20.0**2 + 1.0)  # of the circle through the car and the point 20 m ahead, 1 m left
    np.testing.assert_allclose(end[1], 20 * 0.02 * np.sin(20 * 0.02 * curvature), rtol=1e-6)


def camera() -> Camera:
    pose = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]], float)
    k = np.array([[800, 0, 480], [0, 800, 270], [0, 0, 1]], float)
    return Camera("front", 960, 540, k, ego_from_camera=pose)


def pixels(*lines: np.ndarray) -> Lanes2D:
    flat = [np.c_[line, np.zeros(len(line))] for line in lines]
    return Lanes2D("front", (960, 540), tuple(camera().project_ego(line)[0].astype(np.float32)[::-1] for line in flat))


def test_deviation_of_pictures():
    truth = pixels(LEFT[4:], RIGHT[4:])
    assert lateral_deviation(truth, truth, camera()) == pytest.approx(0, abs=1e-9)
    shifted = lateral_deviation(pixels(LEFT[4:] + (0, 0.5), RIGHT[4:] + (0, 0.5)), truth, camera())
    assert shifted == pytest.approx(abs(drive(np.array([[0.0, 0.5], [60.0, 0.5]]))[-1, 1]), rel=0.02)
    assert lateral_deviation(truth, pixels(), camera()) is None
    assert lateral_deviation(pixels(), truth, camera()) == pytest.approx(0, abs=1e-3), "straight on is right here"


def test_a_car_without_speed_is_refused():
    with pytest.raises(PerceptionError, match="speed"):
        Car(speed=0)
