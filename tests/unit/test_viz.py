"""Drawing: where the paint lands, and that nothing odd in the input breaks it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.errors import UnknownNameError
from perception.geometry import make_pose
from perception.geometry.transforms import CAMERA_AXES_IN_EGO
from perception.structures import (
    BevGrid,
    Boxes2D,
    Boxes3D,
    Calibration,
    Camera,
    DensityMap,
    Fault,
    Frame,
    LaneGraph,
    Lanes2D,
    LaneSegments,
    Result,
)
from perception.viz import (
    BevView,
    banner,
    bev_picture,
    boxes,
    color_of,
    dots,
    draw_frame,
    draw_result,
    fit,
    grid,
    heat_colors,
    heatmap,
    polygons,
    polylines,
    project_line,
    summary,
)

RED = (255, 0, 0)


def black(width: int = 120, height: int = 80) -> np.ndarray:
    return np.zeros((height, width, 3), dtype=np.uint8)


def camera(width: int = 640, height: int = 360, **keys: object) -> Camera:
    matrix = np.array([[500.0, 0, width / 2], [0, 500.0, height / 2], [0, 0, 1]])
    pose = make_pose(CAMERA_AXES_IN_EGO, np.array([1.5, 0.0, 1.4]))
    return Camera("front", width, height, matrix, ego_from_camera=pose, **keys)  # type: ignore[arg-type]


def straight(y: float, start: float = 3.0, end: float = 50.0) -> np.ndarray:
    x = np.linspace(start, end, 5)
    return np.stack([x, np.full(5, y), np.zeros(5)], axis=1)


def segments() -> LaneSegments:
    return LaneSegments(
        "ego",
        (straight(0.0), straight(3.5)),
        (straight(1.75), straight(5.25)),
        (straight(-1.75), straight(1.75)),
        np.array([[2, 1], [1, 2]]),
        np.ones(2),
        np.zeros((2, 2)),
        (np.array([[20.0, -3, 0], [23, -3, 0], [23, 6, 0], [20, 6, 0], [20, -3, 0]]),),
        np.array([1]),
        np.ones(1),
    )


def graph() -> LaneGraph:
    signs = Boxes2D("front", (640, 360), [[300, 60, 330, 90]], [0.9], [0], ("sign",))
    return LaneGraph("ego", (straight(0.0), straight(3.5)), np.ones(2), signs, np.eye(2)[::-1], np.array([[1.0], [0]]))


EMPTY: list[Result] = [
    Lanes2D("front", (640, 360)),
    Boxes2D("front", (640, 360), np.zeros((0, 4)), [], [], ("car",)),
    DensityMap("front", (640, 360), np.zeros((36, 64)), 10.0),
    LaneSegments("ego"),
    LaneGraph("ego"),
    Boxes3D("ego", [], [], [], ("car",)),
    BevGrid("ego", (0, 10), (-5, 5), 0.5, {}),
]


def test_a_line_hits_its_pixels_and_leaves_the_input_alone() -> None:
    image = black()
    out = polylines(image, [np.array([[10, 40], [100, 40]])], [RED], 1)
    assert (out[40, 11:100, 0] > 200).all() and not out[:, :, 1:].any()
    assert not out[[36, 44]].any()
    assert not image.any()


def test_fractions_of_pixels_are_kept() -> None:
    out = polylines(black(), [np.array([[10, 40.5], [100, 40.5]])], [RED], 1)
    assert abs(int(out[40, 50, 0]) - int(out[41, 50, 0])) <= 12
    assert out[40, 50, 0] > 80


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_a_bad_point_interrupts_the_line(bad: float) -> None:
    line = np.array([[5, 40], [30, 40], [bad, 40], [80, 40], [110, 40]])
    out = polylines(black(), [line], [RED], 1)
    assert out[40, 20].any() and out[40, 100].any()
    assert not out[:, 35:75].any()


def test_lines_without_two_finite_neighbours_show_nothing() -> None:
    lines = [np.zeros((0, 2)), np.array([[5.0, 5]]), np.full((4, 2), np.nan), np.array([[5, 5], [np.nan, 5], [9, 9]])]
    assert not polylines(black(), lines, [RED]).any()
    assert not polylines(black(), [], [RED]).any()


@pytest.mark.parametrize("far", [1e4, 1e7, 1e9])
def test_far_ends_do_not_bend_the_line(far: float) -> None:
    out = polylines(black(), [np.array([[-far, 40.0], [far, 40.0]])], [RED], 1)
    assert (out[40, 1:, 0] > 200).all() and not out[:38].any() and not out[43:].any()
    diagonal = polylines(black(), [np.array([[-far, -far], [far, far]])], [RED], 1)
    assert (diagonal[np.arange(1, 80), np.arange(1, 80), 0] > 100).all()
    outside = polylines(black(), [np.array([[-far, -far], [far, -far]]), np.array([[500.0, 0], [500, 80]])], [RED])
    assert not outside.any()


def test_alpha_mixes_with_what_is_below() -> None:
    out = polylines(np.full((80, 120, 3), 100, np.uint8), [np.array([[0, 40], [119, 40]])], [RED], 3, alpha=0.5)
    assert out[40, 60].tolist() == [178, 50, 50]


def test_a_dashed_line_paints_about_half() -> None:
    line = [np.array([[0.0, 40], [119, 40]])]
    share = polylines(black(), line, [RED], 1, dashed=True)[40, :, 0].astype(bool).mean()
    assert 0.4 < share < 0.8


def test_boxes_draw_edges_and_skip_nonfinite_corners() -> None:
    corners = np.array([[20, 30, 60, 70], [np.nan, 0, 5, 5], [-50, -50, 400, 400]])
    out = boxes(black(), corners, ["", "bad", "around"], [RED], 1)
    assert (out[[30, 70], 30:50, 0] > 200).all() and (out[40:60, [20, 60], 0] > 200).all()
    assert not out[35:65, 25:55].any()
    assert not boxes(black(), np.zeros((0, 4)), [], [RED]).any()


def test_captions_stay_inside_the_image() -> None:
    labelled = boxes(black(), np.array([[100.0, -10, 118, 20]]), ["a sign"], [RED], 1)
    plain = boxes(black(), np.array([[100.0, -10, 118, 20]]), [""], [RED], 1)
    rows, columns = np.nonzero((labelled != plain).any(2))
    assert len(rows) and columns.min() < 100 and rows.max() < 40


def test_dots_and_polygons_ignore_nonfinite_points() -> None:
    out = dots(black(), np.array([[50, 40], [np.nan, 1], [1e12, 1]]), RED, 2)
    assert out[40, 50].tolist() == [255, 0, 0] and not out[:, 60:].any()
    square = np.array([[10.0, 10], [30, 10], [30, 30], [10, 30]])
    out = polygons(black(), [square, np.full((3, 2), np.nan), square[:2]], RED, 1.0)
    assert (out[15:25, 15:25] == RED).all() and not out[40:].any()


def test_heat_lies_over_its_cell_only() -> None:
    values = np.zeros((8, 12))
    values[3, 5] = 2.0
    values[0, 0] = np.nan
    image = np.full((80, 120, 3), 90, np.uint8)
    out = heatmap(image, values, (10, 10))
    rows, columns = np.nonzero((out != image).any(2))
    assert (rows.mean(), columns.mean()) == pytest.approx((34.5, 54.5), abs=0.5)
    assert rows.min() >= 24 and rows.max() <= 45
    assert (heatmap(image, values * 0, (10, 10)) == image).all()
    assert (heatmap(image, np.zeros((0, 0)), (10, 10)) == image).all()


def test_heat_colors_run_from_blue_to_red() -> None:
    low, high = heat_colors(np.array([[0.0, 1.0]]))[0].astype(int)
    assert low[2] > low[0] and high[0] > high[2]
    assert heat_colors(np.zeros((2, 3))).shape == (2, 3, 3)


def test_banner_wraps_and_takes_any_text() -> None:
    short = banner(np.full((200, 300, 3), 200, np.uint8), [("one", RED)])
    long = banner(np.full((200, 300, 3), 200, np.uint8), [("spur größer 車線", RED)] * 6)
    assert (short[100:] == 200).all() and not (short[0] == 200).all()
    height = [int((picture[:, -1] != 200).any(1).sum()) for picture in (short, long)]
    assert height[1] >= 2 * height[0]
    assert (banner(short, []) == short).all()


def test_grid_places_tiles_and_keeps_aspect() -> None:
    tiles = [np.full((40, 80, 3), value, np.uint8) for value in (50, 100, 150)] + [np.full((80, 40, 3), 200, np.uint8)]
    sheet = grid(tiles, 2, 160)
    assert sheet.shape == (80, 160, 3)
    assert [int(sheet[y, x, 0]) for y, x in ((20, 40), (20, 120), (60, 40), (60, 120))] == [50, 100, 150, 200]
    assert not sheet[60, 85].any()
    assert grid([], 3, 64).shape == (1, 64, 3)


def test_fit_centres_on_black() -> None:
    out = fit(np.full((10, 20, 3), 255, np.uint8), 40, 40)
    assert out.shape == (40, 40, 3) and (out[11:29] == 255).all() and not out[:9].any()


@pytest.mark.parametrize("result", EMPTY, ids=lambda result: result.KIND)
def test_empty_results_can_be_drawn(result: Result) -> None:
    image = np.full((360, 640, 3), 77, np.uint8)
    for view in (None, camera()):
        out = result.draw(image, view)
        assert out.shape == image.shape and out is not image
        assert (image == 77).all()
    if result.frame_id == "front" and result.KIND != "density_map":
        assert (result.draw(image) == image).all()


def test_pixels_scale_to_the_image() -> None:
    lanes = Lanes2D("front", (60, 40), (np.array([[30.0, 0], [30, 39]]),))
    out = draw_result(black(), lanes)
    assert out[10:70, 60].any(1).all() and not out[:, :55].any()


def test_ego_lines_follow_the_projection() -> None:
    view = camera()
    image = np.zeros((360, 640, 3), np.uint8)
    out = draw_result(image, segments(), view)
    for y in (0.0, 3.5):
        uv, valid = view.project_ego(np.array([[15.0, y, 0.0]]))
        column, row = np.rint(uv[0]).astype(int)
        assert valid[0] and out[row, column].any()
    small = draw_result(np.zeros((180, 320, 3), np.uint8), segments(), view)
    assert small.any()


def test_projected_lines_stop_behind_the_camera() -> None:
    view = camera(lens="equidistant", distortion=np.array([0.1, 0.0, 0.0, 0.0]))
    line = project_line(straight(0.5, -30.0, 30.0), view)
    shown = line[np.isfinite(line).all(1)]
    assert len(shown) > 10 and len(shown) < len(line)
    assert (np.abs(shown) < 5000).all()
    assert not np.isfinite(project_line(straight(0.0, -30.0, -5.0), view)).any()
    assert project_line(np.full((3, 3), np.nan), view).shape == (0, 2)


def test_lane_graph_links_elements_to_lanes() -> None:
    image = np.zeros((360, 640, 3), np.uint8)
    linked = draw_result(image, graph(), camera())
    lone = LaneGraph("ego", graph().centerlines, np.ones(2), graph().elements, np.eye(2)[::-1], np.zeros((2, 1)))
    assert (linked != draw_result(image, lone, camera())).any()


def test_boxes_in_space_follow_the_projection() -> None:
    view, image = camera(), np.zeros((360, 640, 3), np.uint8)
    car = Boxes3D("ego", [[15.0, 1.0, 0.8, 4.0, 1.8, 1.6, 0.2]], [1.0], [0], ("car",), [[5.0, 0.0]])
    out = draw_result(image, car, view)
    uv, valid = view.project_ego(car.corners()[0])
    shown = np.argwhere(out.any(2))[:, ::-1]
    assert valid.all() and all(np.abs(shown - corner).max(1).min() <= 2 for corner in uv)
    assert shown.min(0) == pytest.approx(uv.min(0), abs=4) and shown.max(0) == pytest.approx(uv.max(0), abs=4)
    window = BevView((0.0, 30.0), (-10.0, 10.0), 8.0)
    added = bev_picture(car, window).astype(int) - bev_picture(LaneGraph("ego"), window)
    rows = np.nonzero(np.abs(added).max(2) > 20)[0]
    way = window.pixels(np.array([[13.0, 1.0], [22.0, 1.4]]))  # of the rear, and of where the front is a second later
    assert rows.min() == pytest.approx(way[1, 1], abs=4) and rows.max() == pytest.approx(way[0, 1], abs=4)
    lost = Boxes3D("world", car.boxes, car.scores, car.labels, car.class_names)
    assert draw_result(image, lost, view)[-20:, -20:].any()  # no pose: from above, in the corner
    assert summary(car) == "1 box"


def test_ego_results_without_a_pose_become_an_inset() -> None:
    image = np.zeros((360, 640, 3), np.uint8)
    for result in (segments(), graph()):
        out = draw_result(image, result)
        assert out[-20:, -20:].any() and not out[:100, :280].any()


def test_birds_eye_view_has_x_up_and_y_left() -> None:
    view = BevView((0.0, 20.0), (-10.0, 10.0), 4.0)
    ahead_left, origin = view.pixels(np.array([[10.0, 5.0, 0.0], [0.0, 0.0, 0.0]]))
    assert view.size == (80, 80)
    assert ahead_left[0] < origin[0] and ahead_left[1] < origin[1]


@pytest.mark.parametrize("cell", [(0, 0), (7, 3), (19, 39)])
def test_a_grid_cell_is_painted_at_its_place(cell: tuple[int, int]) -> None:
    layer = np.full((20, 40), -1)
    layer[cell] = 3
    result = BevGrid("ego", (0, 10), (-10, 10), 0.5, {"semantics": layer})
    view = BevView((0.0, 10.0), (-10.0, 10.0), 20.0)
    centre = np.array([[(cell[0] + 0.5) * 0.5, -10 + (cell[1] + 0.5) * 0.5, 0.0]])
    painted = (bev_picture(result, view) == color_of(3)).all(2)
    rows, columns = np.nonzero(painted)
    assert painted.sum() >= 60
    assert (columns.mean(), rows.mean()) == pytest.approx(tuple(view.pixels(centre)[0]), abs=1.0)


def test_probability_layers_are_heat() -> None:
    layer = np.zeros((20, 40), np.float32)
    layer[5:15, 10:30] = 1.0
    result = BevGrid("ego", (0, 10), (-10, 10), 0.5, {"occupancy": layer})
    assert (bev_picture(result).astype(int).max(2) > 100).sum() > 1000


def test_summaries() -> None:
    assert summary(Lanes2D("front", (4, 4), (np.zeros((2, 2)),))) == "1 lane"
    assert summary(Boxes2D("front", (4, 4), np.zeros((0, 4)), [], [], ())) == "0 boxes"
    assert summary(DensityMap("front", (4, 4), np.full((2, 2), 0.5))) == "2.0 people"


def test_an_unknown_kind_is_named() -> None:
    class Odd(Result):
        KIND = "test_viz_odd"
        frame_id = "front"

    with pytest.raises(UnknownNameError, match="test_viz_odd"):
        draw_result(black(), Odd())


def test_frames_show_results_on_their_camera() -> None:
    images = {name: np.zeros((360, 640, 3), np.uint8) for name in ("left", "cam_front")}
    frame = Frame(1_500_000_000, 3, images)
    lanes = {"lanes": Lanes2D("cam_front", (640, 360), (np.array([[320.0, 100], [320, 300]]),))}
    assert draw_frame(frame, lanes)[150:250, 320].any(1).all()
    assert not draw_frame(frame, lanes, cameras="left")[150:250, 320].any()
    assert draw_frame(frame, lanes, cameras="all", width=800).shape[1] == 800
    assert draw_frame(frame, {}, timings_ms={}, width=320).shape == (180, 320, 3)


def test_a_frame_without_images_says_so() -> None:
    plain = draw_frame(Frame(0), {}, [Fault("front", "missing")])
    assert plain.shape == (360, 640, 3) and plain[100:].any()
    rig = Frame(0, calibration=Calibration({"front": camera(320, 200)}))
    assert draw_frame(rig, {"segments": segments()}).shape == (200, 320, 3)


def test_on_a_real_picture(real_data: Path) -> None:
    path = real_data / "udacity_lanes" / "solidWhiteRight.jpg"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    image = np.ascontiguousarray(cv2.imread(str(path))[:, :, ::-1])
    height, width = image.shape[:2]
    lanes = Lanes2D("front", (width, height), (np.array([[140, height - 1], [440, 330.0]]),))
    changed = (draw_result(image, lanes) != image).any(2)
    assert 500 < changed.sum() < 0.05 * width * height
