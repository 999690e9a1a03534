"""Results: validation at the border, json round trips, standard formats, the lift to the road."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from perception.errors import PerceptionError, UnknownNameError
from perception.geometry import Camera, interpolate_pose, make_pose, resample, rotation_from_euler, yaw_of
from perception.geometry.transforms import CAMERA_AXES_IN_EGO, invert_pose
from perception.structures import (
    BevGrid,
    Boxes2D,
    Boxes3D,
    Calibration,
    DensityMap,
    Fault,
    Frame,
    LaneGraph,
    Lanes2D,
    LaneSegments,
    PointCloud,
    result_from_dict,
)

LINE = np.array([[10.25, 90.0], [20.5, 50.0], [30.125, 10.0]], dtype=np.float32)
BOXES = Boxes2D("front", (200, 100), [[1, 2, 11, 22], [5, 5, 6, 7]], [0.5, 0.25], [1, 0], ("car", "sign"))
PATH = np.arange(12, dtype=np.float32).reshape(4, 3)
EXAMPLES = [
    Lanes2D("front", (200, 100), (LINE, LINE[:2]), [0.9, 0.1]),
    Lanes2D("front", (200, 100)),
    BOXES,
    Boxes2D("front", (200, 100), [], [], [], ("car",)),
    DensityMap("front", (200, 100), np.random.default_rng(0).random((90, 80)), 2.0, [[3, 4]]),
    BevGrid("ego", (0, 10), (-5, 5), 0.5, {"semantics": np.full((20, 20), -1, np.int8)}, ("ground",)),
    LaneSegments("ego", (PATH,), (PATH + 1,), (PATH - 1,), [[1, 2]], [0.5], [[0.0]], (PATH,), [1], [0.7]),
    LaneGraph("ego", (PATH, PATH), [1, 0.5], BOXES, np.eye(2), np.ones((2, 2))),
    LaneGraph("ego"),
    Boxes3D(
        "ego", [[5, 1, 0.8, 4.5, 1.8, 1.6, 0.5]] * 2, [1, 0.5], [1, 0], ("car", "person"), [[1, 2], [0, 0]], [7, 9]
    ),
    Boxes3D("world", [], [], [], ("car",)),
]


def same(a, b) -> bool:
    left, right = a.arrays(), b.arrays()
    return left.keys() == right.keys() and all(
        left[key].dtype == right[key].dtype and np.array_equal(left[key], right[key]) for key in left
    )


@pytest.mark.parametrize("result", EXAMPLES, ids=lambda r: f"{r.KIND}-{len(r.arrays())}")
def test_json_round_trip_loses_nothing(result):
    again = result_from_dict(json.loads(json.dumps(result.to_dict())))
    assert type(again) is type(result) and same(result, again)


def test_unknown_kind_and_wrong_keys_are_named():
    with pytest.raises(UnknownNameError, match="lanes_2d"):
        result_from_dict({"kind": "lanes2d"})
    with pytest.raises(PerceptionError, match=r"missing keys \['scores'\], unexpected keys \['score'\]"):
        result_from_dict({"kind": "lanes_2d", "frame_id": "f", "image_size": [1, 1], "lanes": [], "score": []})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Lanes2D("f", (1, 1), ([[1, 2]],)), r"lanes\[0\]: expected at least 2 points, found 1"),
        (lambda: Lanes2D("f", (1, 1), ([[1, 2, 3], [1, 2, 3]],)), r"expected shape \(N, 2\), found \(2, 3\)"),
        (lambda: Lanes2D("f", (1, 1), (LINE,), [1, 2]), r"scores: expected shape \(1\), found \(2,\)"),
        (lambda: Boxes2D("f", (1, 1), [[0, 0, 1, 1]], [1], [3], ("a",)), r"expected 0..0, found 3..3"),
        (lambda: Boxes3D("front", [], [], [], ()), "expected 'ego' or 'world', found 'front'"),
        (lambda: Boxes3D("ego", [[0, 0, 0, 1, 1, 1]], [1], [0], ("a",)), r"expected shape \(N, 7\), found \(1, 6\)"),
        (lambda: Boxes3D("ego", [[0, 0, 0, -1, 1, 1, 0]], [1], [0], ("a",)), "expected sizes of 0 or more, found -1"),
        (lambda: Boxes3D("ego", [[0] * 7], [1], [2], ("a",)), r"expected 0..0, found 2..2"),
        (lambda: Boxes3D("ego", [[0] * 7], [1], [0], ("a",), [[1, 2]] * 2), r"velocities: expected shape \(1, 2\)"),
        (lambda: BevGrid("ego", (0, 1), (0, 1), 0.5, {"a": np.zeros((3, 2))}), r"expected shape \(2, 2\)"),
        (lambda: LaneSegments("ego", (PATH,)), "expected 1 left and right boundaries, found 0 and 0"),
        (lambda: PointCloud(np.zeros((2, 4))), r"expected shape \(N, 3\), found \(2, 4\)"),
        (lambda: PointCloud(np.zeros((2, 3)), {"ring": np.zeros(3)}), r"fields\[ring\]"),
        (lambda: Frame(0, images={"f": np.zeros((2, 2), np.uint8)}), "uint8 RGB"),
        (lambda: Frame(0, ego_pose=np.eye(3)), r"expected shape \(4, 4\)"),
        (lambda: Fault("x", "odd"), "expected one of"),
        (lambda: Calibration(sensors={"lidar": np.eye(3)}), r"sensors\[lidar\]"),
    ],
)
def test_wrong_shapes_are_refused(build, message):
    with pytest.raises(PerceptionError, match=message):
        build()


def test_results_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        EXAMPLES[0].lanes[0][0, 0] = 1.0


def test_culane_text_has_one_point_a_row_and_reads_back():
    doubled = np.concatenate([LINE[:1], LINE])
    text = Lanes2D("front", (200, 100), (doubled,)).to_culane_text()
    assert text == "10.25 90.00 20.50 50.00 30.12 10.00\n"
    np.testing.assert_allclose(Lanes2D.from_culane_text(text, (200, 100)).lanes[0], LINE, atol=0.01)
    assert len(Lanes2D.from_culane_text("\n1 2\n", (200, 100))) == 0


@pytest.mark.parametrize("text", ["1 2 x 4", "1 2 3", "1 2 nan 4"])
def test_bad_culane_text_names_the_line(text):
    with pytest.raises(PerceptionError, match="line 2: expected"):
        Lanes2D.from_culane_text("1 2 3 4\n" + text, (200, 100))


def test_tusimple_record_interpolates_rows_and_marks_absent_ones():
    record = Lanes2D("front", (1280, 720), ([[100, 700], [200, 600]],)).to_tusimple([590, 600, 650, 700, 710], "a.jpg")
    assert record["lanes"] == [[-2, 200, 150, 100, -2]]
    lane = Lanes2D.from_tusimple(record).lanes[0]
    np.testing.assert_array_equal(lane, [[100, 700], [150, 650], [200, 600]])


def test_coco_round_trip():
    records = BOXES.to_coco(7)
    assert records[0] == {"image_id": 7, "category_id": 2, "bbox": [1.0, 2.0, 10.0, 20.0], "score": 0.5}
    assert same(Boxes2D.from_coco(records, (200, 100), BOXES.class_names), BOXES)


@pytest.mark.parametrize(
    ("offset", "heading", "curvature"), [(1.8, 0.0, 0.0), (-1.7, 0.02, 0.004), (0.0, -0.03, -0.01)]
)
def test_lanes_are_lifted_to_the_road(offset, heading, curvature):
    pose = make_pose(rotation_from_euler(0, 0.02, 0) @ CAMERA_AXES_IN_EGO, [1.2, 0.0, 1.4])
    camera = Camera("front", 960, 540, [[800, 0, 480], [0, 800, 270], [0, 0, 1]], ego_from_camera=pose)
    x = np.linspace(6, 40, 40)
    y = offset + np.tan(heading) * x + 0.5 * curvature * (1 + np.tan(heading) ** 2) ** 1.5 * x**2
    uv, _ = camera.project_ego(np.stack([x, y, np.zeros_like(x)], axis=1))
    (lane,) = Lanes2D("front", (960, 540), (uv,)).to_ground(camera)
    assert lane is not None
    assert lane.lateral_offset == pytest.approx(offset, abs=1e-3)
    assert lane.heading == pytest.approx(heading, abs=1e-4)
    assert lane.curvature == pytest.approx(curvature, abs=1e-5)


def test_lane_above_the_horizon_has_no_ground():
    pose = make_pose(CAMERA_AXES_IN_EGO, [0, 0, 1.4])
    camera = Camera("front", 200, 100, [[100, 0, 100], [0, 100, 50], [0, 0, 1]], ego_from_camera=pose)
    assert Lanes2D("front", (200, 100), ([[10, 40], [20, 10]],)).to_ground(camera) == [None]
    with pytest.raises(PerceptionError, match="size"):
        Lanes2D("front", (20, 10), ([[1, 4], [2, 1]],)).to_ground(camera)


def test_pose_interpolation_is_linear_and_clamped():
    poses = np.stack([make_pose(rotation_from_euler(0, 0, yaw), [yaw * 10, 0, 0]) for yaw in (0.0, 1.0)])
    half = interpolate_pose([0, 10], poses, 5)
    assert yaw_of(half) == pytest.approx(0.5) and half[0, 3] == pytest.approx(5.0)
    np.testing.assert_allclose(interpolate_pose([0, 10], poses, 99), poses[1])
    np.testing.assert_allclose(interpolate_pose([3], poses[:1], 99), poses[0])
    np.testing.assert_allclose(invert_pose(half) @ half, np.eye(4), atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-7, 0.3, 2.5, 3.0, np.pi - 1e-6])
def test_rotations_are_interpolated_at_constant_speed(angle: float) -> None:
    start = rotation_from_euler(0.3, -0.2, 1.0)
    axis = np.array([2.0, -1.0, 2.0]) / 3
    ends = [make_pose(start @ Rotation.from_rotvec(share * angle * axis).as_matrix(), np.zeros(3)) for share in (0, 1)]
    expected = start @ Rotation.from_rotvec(0.25 * angle * axis).as_matrix()
    np.testing.assert_allclose(interpolate_pose([0, 4], np.stack(ends), 1)[:3, :3], expected, atol=1e-9)


def test_resample_spaces_points_by_arc_length():
    np.testing.assert_allclose(resample([[0, 0], [0, 0], [4, 0], [4, 4]], 5), [[0, 0], [2, 0], [4, 0], [4, 2], [4, 4]])


def test_corners_and_frames_of_boxes_in_space():
    car = Boxes3D("ego", [[10, 2, 1, 4, 2, 1.5, np.pi / 2]], [1], [0], ("car",), [[0, 3]])
    corners = car.corners()[0]
    assert np.allclose(corners[0], [9, 4, 0.25]) and np.allclose(corners[1], [11, 4, 0.25])  # front left, front right
    assert np.allclose(corners[4:], corners[:4] + [0, 0, 1.5])
    pose = make_pose(rotation_from_euler(0, 0, np.pi / 2), [100, 0, 0])
    world = car.moved(pose, "world")
    assert np.allclose(world.boxes, [[98, 10, 1, 4, 2, 1.5, -np.pi]]) or np.allclose(world.boxes[0, 6], np.pi)
    assert np.allclose(world.velocities, [[-3, 0]], atol=1e-6) and world.track_ids.tolist() == [-1]
    back = world.moved(invert_pose(pose), "ego")
    assert np.allclose(back.boxes, car.boxes, atol=1e-5) and np.allclose(back.corners(), car.corners(), atol=1e-5)
