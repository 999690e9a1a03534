"""The camera model against OpenCV and against numbers worked out by hand."""

import cv2
import numpy as np
import pytest

from perception.errors import PerceptionError, UnknownNameError
from perception.geometry import Camera, make_pose
from perception.geometry.transforms import CAMERA_AXES_IN_EGO

K = np.array([[700.0, 0.0, 420.0], [0.0, 690.0, 230.0], [0.0, 0.0, 1.0]])
LENSES = {
    "none": [],
    "plumb_bob": [-0.28, 0.09, 0.0011, -0.0007, -0.01],
    "rational_polynomial": [0.21, -0.11, 0.0005, -0.0004, 0.02, 0.52, -0.06, 0.01],
    "equidistant": [0.03, -0.011, 0.004, -0.0008],
}


def points_in_front(count: int = 200) -> np.ndarray:
    rng = np.random.default_rng(0)
    z = rng.uniform(2.0, 40.0, count)
    return np.stack([z * rng.uniform(-0.5, 0.5, count), z * rng.uniform(-0.3, 0.3, count), z], axis=1)


def opencv_project(points: np.ndarray, lens: str, distortion: list[float]) -> np.ndarray:
    zero = np.zeros(3)
    if lens == "equidistant":
        return cv2.fisheye.projectPoints(points[:, None], zero, zero, K, np.array(distortion))[0][:, 0]
    return cv2.projectPoints(points, zero, zero, K, np.array(distortion, dtype=np.float64))[0][:, 0]


@pytest.mark.parametrize("lens", LENSES)
def test_projects_as_opencv(lens):
    points = points_in_front()
    uv, valid = Camera("front", 840, 460, K, lens, LENSES[lens]).project(points)
    np.testing.assert_allclose(uv, opencv_project(points, lens, LENSES[lens]), atol=1e-6)
    assert valid.sum() > 150


@pytest.mark.parametrize("lens", LENSES)
def test_unproject_inverts_project(lens):
    camera = Camera("front", 840, 460, K, lens, LENSES[lens])
    points = points_in_front()
    uv, valid = camera.project(points)
    np.testing.assert_allclose(camera.unproject(uv[valid]), (points / points[:, 2:])[valid], atol=1e-6)


@pytest.mark.parametrize("lens", ["plumb_bob", "rational_polynomial", "equidistant"])
def test_rectifies_as_opencv(lens):
    image = np.random.default_rng(1).integers(0, 255, (460, 840, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 3)
    distortion = np.array(LENSES[lens])
    if lens == "equidistant":
        theirs = cv2.fisheye.undistortImage(image, K, distortion, Knew=K)
    else:
        theirs = cv2.undistort(image, K, distortion)
    ours = Camera("front", 840, 460, K, lens, distortion).rectify(image)
    assert np.abs(ours.astype(int) - theirs.astype(int))[20:-20, 20:-20].max() <= 2


def test_points_behind_the_camera_and_outside_are_invalid():
    camera = Camera("front", 100, 100, [[100, 0, 49.5], [0, 100, 49.5], [0, 0, 1]])
    uv, valid = camera.project([[0, 0, 5], [0, 0, -5], [5, 0, 5], [0, 0, 0]])
    assert valid.tolist() == [True, False, False, False]
    assert np.isnan(uv[1]).all()


def test_points_folded_back_by_the_lens_polynomial_are_invalid():
    camera = Camera("front", 840, 460, K, "plumb_bob", [-0.28, 0.0, 0.0, 0.0])
    # r (1 - 0.28 r^2) grows up to r = 1.09: a ray at r = 1.8 would land inside the image again
    uv, valid = camera.project([[1.8, 0.0, 1.0]])
    assert uv[0, 0] < camera.width and not valid[0]


def test_ground_points_meet_the_road_and_nothing_above_the_horizon():
    pose = make_pose(CAMERA_AXES_IN_EGO, [1.0, 0.2, 1.6])
    camera = Camera("front", 800, 400, [[400, 0, 400], [0, 400, 200], [0, 0, 1]], ego_from_camera=pose)
    ground = camera.ground_points([[400, 240], [440, 240], [400, 150]])
    # 40 px below the horizon: distance = f * height / 40 = 16 m ahead of the camera
    np.testing.assert_allclose(ground[0], [17.0, 0.2, 0.0], atol=1e-9)
    np.testing.assert_allclose(ground[1], [17.0, 0.2 - 1.6, 0.0], atol=1e-9)
    assert np.isnan(ground[2]).all()


def test_resize_and_crop_move_projections_as_they_move_pixels():
    camera = Camera("front", 800, 400, K)
    points = points_in_front(20)
    uv, _ = camera.project(points)
    np.testing.assert_allclose(camera.cropped(50, 30, 700, 390).project(points)[0], uv - [50, 30])
    np.testing.assert_allclose(camera.resized(400, 100).project(points)[0], (uv + 0.5) * [0.5, 0.25] - 0.5)


def test_dict_and_ros_yaml_round_trip(tmp_path):
    camera = Camera("cam0", 840, 460, K, "plumb_bob", LENSES["plumb_bob"], make_pose(CAMERA_AXES_IN_EGO, [1, 2, 3]))
    again = Camera.from_dict(camera.to_dict())
    assert again.to_dict() == camera.to_dict()
    path = tmp_path / "cam.yaml"
    path.write_text(
        "image_width: 840\nimage_height: 460\ncamera_name: cam0\n"
        f"camera_matrix: {{rows: 3, cols: 3, data: {K.ravel().tolist()}}}\n"
        f"distortion_model: plumb_bob\ndistortion_coefficients: {{rows: 1, cols: 5, data: {LENSES['plumb_bob']}}}\n"
    )
    read = Camera.from_yaml(path)
    np.testing.assert_array_equal(read.intrinsics, K)
    assert (read.lens, read.size, read.name) == ("plumb_bob", (840, 460), "cam0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "positive size"),
        ({"intrinsics": np.eye(4)}, r"expected shape \(3, 3\), found \(4, 4\)"),
        ({"intrinsics": np.full((3, 3), np.nan)}, "finite"),
        ({"intrinsics": np.diag([0.0, 1.0, 1.0])}, "positive focal"),
        ({"lens": "plumb_bob", "distortion": [1, 2, 3]}, "expected 4 or 5 coefficients, found 3"),
    ],
)
def test_wrong_calibration_is_named(change, message):
    arguments = {"name": "front", "width": 840, "height": 460, "intrinsics": K} | change
    with pytest.raises(PerceptionError, match=message):
        Camera(**arguments)


def test_unknown_lens_suggests_a_close_name():
    with pytest.raises(UnknownNameError, match="plumb_bob"):
        Camera("front", 840, 460, K, "plum_bob", np.zeros(5))


def test_rectify_refuses_an_image_of_another_size():
    with pytest.raises(PerceptionError, match="840x460, found 100x50"):
        Camera("front", 840, 460, K, "plumb_bob", np.zeros(5)).rectify(np.zeros((50, 100, 3), np.uint8))
