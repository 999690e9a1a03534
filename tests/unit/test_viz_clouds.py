"""LiDAR points fall on the pixels that see them."""

import numpy as np

from perception.geometry import Camera
from perception.geometry.transforms import CAMERA_AXES_IN_EGO, make_pose
from perception.viz import BevView, cloud_from_above, cloud_in_picture

CAMERA = Camera(
    "front", 40, 20, np.array([[20, 0, 20], [0, 20, 10], [0, 0, 1.0]]),
    ego_from_camera=make_pose(CAMERA_AXES_IN_EGO, np.array([0.0, 0.0, 1.0])),
)  # fmt: skip


def test_a_point_is_painted_where_the_camera_sees_it_and_near_ones_win():
    black = np.zeros((20, 40, 3), np.uint8)
    points = np.array([[5.0, 1.0, 1.5], [49.0, 9.8, 5.9], [-5.0, 0, 1]])  # the first two on one ray, the third behind
    picture = cloud_in_picture(black, points, CAMERA)
    assert np.argwhere(picture.any(2)).tolist() == [[8, 16], [8, 17]]
    red, _, blue = picture[8, 16].astype(int)
    assert red > blue and not black.any()
    assert not cloud_in_picture(black, np.zeros((0, 3)), CAMERA).any()


def test_from_above_a_point_ahead_lies_up_and_one_to_the_left_lies_left():
    view = BevView((0.0, 10.0), (-5.0, 5.0), 1.0)
    picture = cloud_from_above(np.zeros((10, 10, 3), np.uint8), np.array([[8.5, 3.5, 0.0], [99, 0, 0]]), view)
    assert np.argwhere(picture.any(2)).tolist() == [[1, 1], [1, 2]]
