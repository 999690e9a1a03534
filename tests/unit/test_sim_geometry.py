"""Road, truth and picture of the simulator agree with hand-computed geometry and with each other."""

from __future__ import annotations

import numpy as np
import pytest

from perception.errors import PerceptionError
from perception.sim.sensors.camera import mounted_camera
from perception.sim.sensors.raycast import RayWorld
from perception.sim.sensors.render import pixel_rays, render, view_at
from perception.sim.truth import TruthConfig, lane_truth, trace_lanes
from perception.sim.world.builder import SceneConfig
from perception.sim.world.road import arc_road, make_road
from perception.sim.world.scene import Ego, Light, Scene, Surface
from perception.sim.world.section import LineMark, Section, simple_section

PLAIN = Surface(grain=0.0, mottle=0.0, streaks=0.0, tracks=0.0, oil=0.0)
SIZE = (640, 360)


def _camera(**changes):
    return mounted_camera(SIZE, **({"fov": 1.0, "height": 1.5, "forward": 0.0, "horizon": 0.4} | changes))


def _look(scene, camera, config=None):
    view = view_at(scene, camera)
    world = RayWorld(scene, view.station, 0.0)
    radiance, depth = render(scene, view, world, pixel_rays(camera))
    shape = (camera.height, camera.width)
    return radiance.reshape(*shape, 3), depth.reshape(shape), lane_truth(scene, view, world, config)


def test_straight_road_matches_the_pinhole_formula():
    scene = Scene(arc_road(), simple_section(lanes=2, width=4.0, ego_lane=0), PLAIN)
    camera = _camera()
    view = view_at(scene, camera)
    lanes, ids = trace_lanes(scene, view, RayWorld(scene, 0.0, 0.0))
    focal, horizon = 320 / np.tan(0.5), 0.4 * 360 - 0.5
    assert ids == (0, 1, 2)
    for lane, offset in zip(lanes.lanes, (2.0, -2.0, -6.0)):
        distance = focal * 1.5 / (lane[:, 1] - horizon)
        np.testing.assert_allclose(lane[:, 0], 319.5 - focal * offset / distance, atol=0.02)
        assert (np.diff(lane[:, 1]) < 0).all() and distance.max() < 90


def test_a_constant_curve_lies_on_its_circle():
    road = arc_road(radius=100.0)
    points = road.points(np.linspace(0, 120, 13), 2.0)
    np.testing.assert_allclose(np.hypot(points[:, 0], points[:, 1] - 100.0), 98.0, atol=1e-3)


@pytest.mark.parametrize(
    ("radius", "grade", "distortion"),
    [(np.inf, 0.0, (0.0, 0.0)), (120.0, 0.03, (0.0, 0.0)), (200.0, -0.02, (-0.1, 0.015))],
)
def test_bright_pixels_of_a_painted_line_are_centred_on_the_truth(radius, grade, distortion):
    camera = _camera(roll=0.01, yaw=0.02, distortion=distortion)
    scene = Scene(arc_road(radius, grade), _solid(simple_section()), PLAIN, Light(cloud=0.0), Ego(d=0.4, yaw=-0.01))
    image, depth, lanes = _look(scene, camera)
    checked = 0
    for lane in lanes.lanes:
        for x, y in lane:
            row, column = round(y), round(x)
            left, right = column - 20, column + 21
            if left < 0 or right > camera.width or depth[row, column] > 35:
                continue
            profile = image[row, left:right, 1]
            weight = np.clip(profile - 1.5 * np.percentile(profile, 25), 0, None)
            assert weight.sum() > 0
            assert abs((weight * np.arange(left, right)).sum() / weight.sum() - x) < 1.0
            checked += 1
    assert checked > 30


def _solid(section):
    marks = tuple(LineMark(mark.offset, "solid") for mark in section.marks)
    return Section(section.lanes, marks, section.strips, section.ego_lane)


def test_far_thin_lines_keep_their_mean_brightness():
    """A 1.2 m wide average over a line 60 m away is as bright as near the car: nothing breaks up, nothing gets lost."""
    camera = _camera()
    light = Light(cloud=0.0, fog=0.0)
    section = _solid(simple_section())
    image, depth, lanes = _look(Scene(arc_road(), section, PLAIN, light), camera)
    bare, _, _ = _look(Scene(arc_road(), Section(section.lanes, (), section.strips, 1), PLAIN, light), camera)
    extra = (image - bare)[..., 1]
    lane = lanes.lanes[1]
    excess = []
    for x, y in lane[:: max(1, len(lane) // 12)]:
        row, column = round(y), round(x)
        half = max(3, int(0.3 * camera.intrinsics[0, 0] / depth[row, column]) + 2)
        band = extra[row, column - half : column + half + 1]
        excess.append(band.sum() * depth[row, column])
    assert np.std(excess) / np.mean(excess) < 0.15


def test_truth_ends_at_a_crest_and_where_lines_merge():
    crest = make_road(np.zeros(3), np.array([0.06, 0.06, -0.08]), np.array([-40.0, 20.0, 60.0]))
    flat = arc_road()
    camera, config = _camera(), TruthConfig(reach=200.0)
    ends = {}
    for name, road in (("crest", crest), ("flat", flat)):
        scene = Scene(road, simple_section(), PLAIN)
        view = view_at(scene, camera)
        lanes = lane_truth(scene, view, RayWorld(scene, 0.0, 0.0), config)
        ends[name] = lanes.lanes
    focal, horizon = camera.intrinsics[0, 0], 0.4 * 360 - 0.5
    gap = 3.5 * (ends["flat"][1][-1, 1] - horizon) / 1.5
    assert gap >= 2.0 and focal * 1.5 / (ends["flat"][1][-1, 1] - horizon) < 200
    widths = [lane[:, 0].min() for lane in ends["crest"]]
    assert all(np.diff(widths) > 20), "beyond the crest lines would run together"


def test_only_the_nearest_lines_unless_all_are_asked_for():
    scene = Scene(arc_road(), simple_section(lanes=5, width=3.0, ego_lane=2), PLAIN)
    view = view_at(scene, _camera(fov=1.6))
    world = RayWorld(scene, 0.0, 0.0)
    assert len(lane_truth(scene, view, world)) == 4
    assert len(lane_truth(scene, view, world, TruthConfig(lines_per_side=None))) == 6


def test_lines_that_are_not_painted_are_not_labelled():
    section = simple_section()
    scene = Scene(arc_road(), Section(section.lanes, (), section.strips, 1), PLAIN)
    view = view_at(scene, _camera())
    assert len(lane_truth(scene, view, RayWorld(scene, 0.0, 0.0))) == 0


def test_mirroring_keeps_lines_in_place_and_turns_their_styles():
    section = Section(
        simple_section().lanes, (LineMark(1.75, "solid_dashed", taper=(10.0, 20.0, 1.0)),), simple_section().strips, 1
    )
    mark = section.mirrored().marks[0]
    assert (mark.offset, mark.style) == (-1.75, "dashed_solid")
    assert float(mark.at(np.array(30.0))) == pytest.approx(-2.75)
    assert section.mirrored().mirrored().marks == section.marks


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: simple_section(lanes=0), "zero lanes"),
        (lambda: simple_section(lanes=2, ego_lane=5), "ego lane 5 of 2"),
        (lambda: simple_section(width=-3.0), "ordered from right to left|lane widths"),
        (lambda: arc_road(radius=-80.0), "radius above 10 m, found -80"),
        (lambda: make_road(np.zeros(2), np.zeros(3), np.arange(2.0)), "profiles"),
        (lambda: make_road(np.zeros(1), np.zeros(1), np.zeros(1), start=0, end=-5), "end > start"),
        (lambda: mounted_camera(SIZE, height=-1.0), "height of 0.1 to 20 m"),
        (lambda: mounted_camera((4, 4)), "16x16"),
        (lambda: mounted_camera(SIZE, fov=4.0), "field of view"),
        (lambda: LineMark(0.0, "zigzag"), "unknown style 'zigzag'"),
        (lambda: LineMark(0.0, width=-0.1), "positive sizes"),
        (lambda: SceneConfig(night=2.0), "night: expected a probability"),
        (lambda: SceneConfig(families=("moon",), weights=(1.0,)), "known families"),
        (lambda: SceneConfig(min_radius=-80.0), "min_radius"),
    ],
)
def test_nonsense_is_refused_with_the_reason(make, words):
    with pytest.raises(PerceptionError, match=words):
        make()
