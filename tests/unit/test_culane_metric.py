"""CULane F1: hand-computed overlaps, the pixels of OpenCV, the matching, files and the command."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.cli import main
from perception.errors import InputError
from perception.metrics import culane
from perception.metrics.assignment import kuhn_munkres
from perception.ops.lane_iou import iou_matrix, rasterize_lane, sample_spline


def vertical(x: float, bottom: float = 700, top: float = -100) -> np.ndarray:
    return np.array([[x, bottom], [x, top]], np.float32)


def draw_naively(lane: np.ndarray, width: int = 30, size: tuple[int, int] = (1640, 590)) -> np.ndarray:
    image = np.zeros((size[1], size[0]), np.uint8)
    corners = np.rint(sample_spline(np.asarray(lane, np.float32))).astype(int).tolist()
    for start, end in itertools.pairwise(corners):
        cv2.line(image, start, end, 1, width)
    return image


def on_image(lane: np.ndarray, width: int = 30, size: tuple[int, int] = (1640, 590)) -> np.ndarray:
    drawn = rasterize_lane(lane, width, size)
    image = np.zeros((size[1], size[0]), np.uint8)
    height, columns = drawn.mask.shape
    image[drawn.y : drawn.y + height, drawn.x : drawn.x + columns] = drawn.mask
    assert image.sum() == drawn.area
    return image


# --- pixels -----------------------------------------------------------------------------------------------------------


def test_a_vertical_lane_covers_15_columns_on_each_side():
    drawn = rasterize_lane(vertical(100))
    assert drawn.area == 31 * 590
    assert on_image(vertical(100))[300, 84:117].tolist() == [0] + [1] * 31 + [0]


@pytest.mark.parametrize(("shift", "common"), [(0, 31), (10, 21), (15, 16), (30, 1), (31, 0)])
def test_iou_of_parallel_lanes(shift: int, common: int):
    assert iou_matrix([vertical(400)], [vertical(400 + shift)])[0, 0] == common / (62 - common)


def test_lanes_are_cut_at_the_image_border():
    assert rasterize_lane(vertical(0)).area == 16 * 590
    assert rasterize_lane(vertical(-15)).area == 1 * 590
    assert rasterize_lane(vertical(-40)).area == 0
    assert rasterize_lane(vertical(1639)).area == 16 * 590


def test_two_lanes_without_pixels_have_no_iou():
    assert iou_matrix([vertical(-400)], [vertical(-400)])[0, 0] == 0.0


@pytest.mark.parametrize("seed", range(40))
def test_pixels_equal_those_of_opencv(seed: int):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 9))
    if seed % 2:
        lane = rng.uniform([-200, -100], [1840, 700], (count, 2))
    else:
        lane = np.linspace(rng.uniform(-100, 1740, 2), rng.uniform(-30, 620, 2), count) + rng.normal(0, 5, (count, 2))
    width = int(rng.choice([1, 7, 16, 30]))
    np.testing.assert_array_equal(on_image(lane, width), draw_naively(lane, width))


def test_dense_lane_with_a_turn_equals_opencv():
    angle = np.linspace(0, 1.5 * np.pi, 60)
    lane = np.stack([600 + 120 * np.cos(angle), 300 + 60 * np.sin(angle)], 1)
    np.testing.assert_array_equal(on_image(lane), draw_naively(lane))


def test_iou_does_not_depend_on_the_direction_of_a_lane():
    lane = np.array([[100, 580], [200, 450], [350, 330], [600, 290]], np.float32)
    assert iou_matrix([lane], [lane[::-1]])[0, 0] > 0.995


def test_spline_passes_through_its_points_and_is_straight_on_a_line():
    lane = np.array([[0, 0], [30, 40], [60, 80], [90, 120]], np.float32)
    samples = sample_spline(lane)
    assert samples.shape == (151, 2)
    np.testing.assert_allclose(samples[::50], lane, atol=1e-4)
    np.testing.assert_allclose(samples[:, 1], samples[:, 0] * 4 / 3, atol=1e-4)


def test_natural_spline_of_three_points_by_hand():
    # x over t = 0, 1, 2 would be 0, 1, 0; with chords of sqrt(2) the curvature at the middle gives x(1/2) = 11/16.
    samples = sample_spline(np.array([[0, 0], [1, 1], [0, 2]], np.float32))
    assert samples[25, 0] == pytest.approx(11 / 16, abs=1e-6)
    assert samples[25, 1] == pytest.approx(0.5, abs=1e-6)


def test_a_repeated_point_spoils_the_lane_as_in_the_official_tool():
    lane = np.array([[400, 580], [400, 580], [410, 400], [420, 300]], np.float32)
    samples = sample_spline(lane)
    assert np.isnan(samples[:-1]).any(1).all()
    assert iou_matrix([lane], [lane[1:]])[0, 0] < 0.1


# --- matching and counting --------------------------------------------------------------------------------------------


def test_assignment_prefers_the_larger_sum():
    assert kuhn_munkres(np.array([[0.9, 0.8], [0.8, 0.1]])).tolist() == [1, 0]
    assert kuhn_munkres(np.array([[0.2], [0.7], [0.1]])).tolist() == [-1, 0, -1]
    assert kuhn_munkres(np.zeros((0, 3))).tolist() == []
    assert kuhn_munkres(np.zeros((2, 0))).tolist() == [-1, -1]


def test_assignment_takes_the_first_of_nearly_equal_pairs():
    assert kuhn_munkres(np.array([[0.6, 0.609]])).tolist() == [0]
    assert kuhn_munkres(np.array([[0.6, 0.611]])).tolist() == [1]


def test_assignment_refuses_nan():
    with pytest.raises(ValueError, match="finite"):
        kuhn_munkres(np.array([[np.nan]]))


def test_iou_must_lie_strictly_above_the_threshold():
    assert culane.match_counts(np.array([[0.5]]), [0.5]) == [(0, 1, 1)]
    assert culane.match_counts(np.array([[0.5 + 1e-9]]), [0.5]) == [(1, 0, 0)]
    pair = [vertical(400)], [vertical(410)]
    assert culane.image_counts(*pair, iou=21 / 41) == (0, 1, 1)
    assert culane.image_counts(*pair, iou=0.5) == (1, 0, 0)


def test_a_lane_without_two_points_counts_but_never_matches():
    for short in (np.zeros((0, 2)), np.array([[400, 300]])):
        assert culane.image_counts([vertical(400), short], [vertical(400)]) == (1, 1, 0)
        assert culane.image_counts([vertical(400)], [vertical(400), short]) == (1, 0, 1)
        assert culane.image_counts([short], [short]) == (0, 1, 1)


def test_empty_sides():
    assert culane.image_counts([], []) == (0, 0, 0)
    assert culane.image_counts([], [vertical(1)] * 3) == (0, 0, 3)
    assert culane.image_counts([vertical(1)] * 2, []) == (0, 2, 0)


def test_f1_from_counts():
    assert culane.f1(3, 1, 2) == pytest.approx(2 * 3 / (2 * 3 + 1 + 2))
    assert culane.f1(0, 5, 0) == 0.0
    assert culane.precision_recall(0, 5, 0) == (0.0, -1.0)
    assert culane.f1(0, 0, 0) == 0.0


def test_scaling_to_the_official_size():
    (lane,) = culane.scale_lanes([np.array([[0, 0], [400, 160]])], (800, 320))
    assert lane.dtype == np.float32
    np.testing.assert_allclose(lane, [[0, 0], [820, 295]])


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_blank_line_is_a_lane_without_points():
    lanes = culane.parse_lanes("10 20 30 40 \n\n1.5 2.5\n")
    assert [lane.shape for lane in lanes] == [(2, 2), (0, 2), (1, 2)]
    assert culane.parse_lanes("") == []
    assert len(culane.parse_lanes("\n")) == 1
    assert len(culane.parse_lanes("1 2 3 4")) == 1


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1 2 3 4\n1 2 x 4\n", ["line 2", "'x'"]),
        ("1 2 3 4\n\n1 2 3\n", ["line 3", "even", "3 values"]),
        ("1 nan 3 4\n", ["line 1", "finite", "'nan'"]),
        ("1 2 3 inf\n", ["line 1", "finite", "'inf'"]),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, text: str, parts: list[str]):
    path = tmp_path / "bad.lines.txt"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        culane.read_lanes(path)
    for part in ["bad.lines.txt", *parts]:
        assert part in str(error.value)


def test_a_binary_file_is_refused(tmp_path: Path):
    path = tmp_path / "a.lines.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="offset 0"):
        culane.read_lanes(path)


def write(root: Path, name: str, lanes: list[np.ndarray]) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(" ".join(f"{v:.2f}" for v in lane.reshape(-1)) + "\n" for lane in lanes))


@pytest.fixture()
def dataset(tmp_path: Path) -> tuple[Path, Path]:
    pred, gt = tmp_path / "pred", tmp_path / "gt"
    write(gt, "d/0.lines.txt", [vertical(400), vertical(800)])
    write(pred, "d/0.lines.txt", [vertical(402), vertical(1200)])
    write(gt, "d/1.lines.txt", [vertical(400)])
    write(gt, "d/2.lines.txt", [])
    write(pred, "d/2.lines.txt", [vertical(50)])
    write(pred, "d/3.lines.txt", [vertical(50)])
    write(gt, "d/4.lines.txt", [])
    write(pred, "d/4.lines.txt", [])
    lists = gt / "list" / "test_split"
    lists.mkdir(parents=True)
    (lists / "test0_normal.txt").write_text("/d/0.jpg\nd/1.jpg 1 0 0 1\n")
    (lists / "test7_cross.txt").write_text("/d/2.jpg\n/d/3.jpg\n/d/4.jpg\n")
    return pred, gt


def test_folders_by_category(dataset: tuple[Path, Path]):
    report = culane.evaluate_folders(*dataset, ious=(0.5, 0.99))
    rows = report[0.5]
    assert list(rows) == ["normal", "cross", "total"]
    normal, cross, total = rows.values()
    assert (normal.images, normal.tp, normal.fp, normal.fn) == (2, 1, 1, 2)
    assert (cross.images, cross.tp, cross.fp, cross.fn, cross.recall) == (3, 0, 2, 0, -1.0)
    assert (total.tp, total.fp, total.fn) == (1, 3, 2)
    assert total.f1 == pytest.approx(2 / 7)
    assert report[0.99]["total"].tp == 0


def test_an_image_in_two_lists_counts_once_in_the_total(dataset: tuple[Path, Path]):
    lists = {"all": ["d/0.lines.txt", "d/1.lines.txt"], "first": ["d/0.lines.txt"]}
    rows = culane.evaluate_folders(*dataset, lists=lists)[0.5]
    assert rows["total"] == rows["all"]


def test_lists_may_not_leave_the_root(tmp_path: Path):
    path = tmp_path / "list.txt"
    path.write_text("/a/0.jpg\n/a/../../0.jpg\n")
    with pytest.raises(InputError, match="line 2"):
        culane.read_list(path)


def test_missing_folder_and_list_are_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"nowhere.*a folder"):
        culane.evaluate_folders(tmp_path / "nowhere", tmp_path)
    with pytest.raises(InputError, match=r"none\.txt"):
        culane.read_list(tmp_path / "none.txt")
    with pytest.raises(InputError, match="found none"):
        culane.default_lists(tmp_path)


def test_nine_categories_are_named_as_the_official_lists():
    files = [f"test{i}_{name}.txt" for i, name in enumerate(culane.CATEGORIES)]
    assert [culane.list_name(file) for file in files] == list(culane.CATEGORIES)
    assert len(files) == 9


def test_command(dataset: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "scores.json"
    assert main(["metric", "culane", *map(str, dataset), "--iou", "0.5", "0.3", "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    assert set(report["iou"]) == {"0.5", "0.3"}
    assert report["iou"]["0.5"]["total"]["tp"] == 1
    printed = capsys.readouterr().out
    assert "cross" in printed and "IoU > 0.3" in printed


def test_command_names_a_bad_file(dataset: tuple[Path, Path], capsys: pytest.CaptureFixture[str]):
    (dataset[0] / "d/0.lines.txt").write_text("1 2 3\n")
    assert main(["metric", "culane", *map(str, dataset)]) == 2
    assert "0.lines.txt: line 1" in capsys.readouterr().err
