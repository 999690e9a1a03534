"""Towns: proofs of geometry, truth and poses."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from perception.errors import PerceptionError, UnknownNameError
from perception.geometry import yaw_of
from perception.geometry.transforms import invert_pose
from perception.sim import Category, LidarConfig, TownConfig, TownDrive, make_town
from perception.sim.city import truth_objects as objects
from perception.sim.city.actors import PEDESTRIAN
from perception.sim.city.elements import Furniture, put_up_elements
from perception.sim.city.faces import SHAPES
from perception.sim.city.layout import make_plan
from perception.sim.city.model import GroundMap
from perception.sim.city.network import make_lanes
from perception.sim.city.sensors.rigs import make_rig, mount
from perception.sim.city.terrain import place
from perception.sim.city.truth import Region, lane_segments
from perception.sim.sensors.camera import Effects
from perception.sim.sensors.render import pixel_rays
from perception.structures import Camera, LaneGraph

SMALL = TownConfig(blocks=(2, 2), signs=1.0)
WORLDS = {
    "wide": (900_103, TownConfig(wide=0.8, change=0.5)),
    "narrow": (900_102, TownConfig(blocks=(2, 2), wide=0.1, one_way=0.5)),
    "oval": (900_104, TownConfig("oval")),
}


@pytest.fixture(scope="module", params=list(WORLDS))
def town(request):
    seed, config = WORLDS[request.param]
    return make_town(seed, "day", seconds=6.0, config=config)


@pytest.fixture(scope="module")
def drive():
    return TownDrive(900_101, "day", 12, 5.0, "ring7", 64, (256, 200), SMALL, effects=Effects(noise=0.0))


@pytest.fixture(scope="module")
def sample(drive):
    return drive.sample(7)


def headings(line):
    steps = np.diff(line[[0, 1, -2, -1], :2], axis=0)[[0, 2]]
    return np.arctan2(steps[:, 1], steps[:, 0])


def test_centerlines_lie_between_their_boundaries(town):
    for lane in town.lanes:
        step = np.gradient(lane.centerline[:, :2], axis=0)
        step /= np.linalg.norm(step, axis=1, keepdims=True)
        for line, side in ((lane.left, 1), (lane.right, -1)):
            gap = (line - lane.centerline)[:, :2]
            across = side * (step[:, 0] * gap[:, 1] - step[:, 1] * gap[:, 0])
            assert across.min() > 1.0 and across.max() < 3.0
        width = np.linalg.norm(lane.left - lane.right, axis=1)
        middle = np.abs((lane.left + lane.right) / 2 - lane.centerline)[:, :2].max()
        assert width.min() > 2.4 and width.max() < 6 and middle < 0.35


def test_connected_lanes_share_ends_and_headings(town):
    joints = 0
    for lane in town.lanes:
        for successor in (town.lanes[k] for k in lane.successors):
            assert lane.id in successor.predecessors
            assert np.linalg.norm(lane.centerline[-1] - successor.centerline[0]) < 0.01
            turn = headings(lane.centerline)[1] - headings(successor.centerline)[0]
            assert abs((turn + np.pi) % (2 * np.pi) - np.pi) < np.deg2rad(5)
            joints += 1
    assert joints >= 24


def test_lanes_lie_on_the_ground_and_on_pavement(town):
    paved = (Category.ROAD, Category.LANE_MARK, Category.CROSSING)
    for lane in town.lanes:
        np.testing.assert_allclose(town.ground.height_at(lane.centerline[:, :2]), lane.centerline[:, 2], atol=1e-6)
        flat = lane.centerline[np.abs(lane.centerline[:, :2]).max(1) < -town.ground.origin[0] - 1, :2]
        cell = ((flat - town.ground.origin) / town.ground.resolution).astype(int)
        assert np.isin(town.ground.category[cell[:, 1], cell[:, 0]], paved).all()


def test_elements_rule_the_lanes_they_hang_over(town):
    ruled = {element for lane in town.lanes for element in lane.elements}
    kinds = {town.elements[element].kind for element in ruled}
    assert kinds <= {"light", "sign"} and bool(ruled) == any(lane.intersection >= 0 for lane in town.lanes)
    for element in town.elements:
        says = element.kind == "light" or element.attribute > 0
        assert says == (element.id in ruled) and 0 <= element.attribute <= 12
        assert (town.static_instance == element.instance).any()


def test_all_attributes_and_all_shapes_of_signs_occur():
    flat = GroundMap(np.array([-300.0, -300.0]), 1.0, np.zeros((1, 1, 3)), np.zeros((1, 1)), 600.0, np.zeros((2, 2)))
    attributes, shapes = set(), set()
    for seed in range(8):
        rng, config, parts = np.random.default_rng(seed), TownConfig(signs=1.0), Furniture()
        plan = make_plan(rng, config)
        put_up_elements(rng, config, plan, make_lanes(plan), flat, parts)
        attributes |= {element.attribute for element in parts.elements}
        shapes |= {element.shape for element in parts.elements if element.kind == "sign"}
        for element in parts.elements:
            if element.kind == "sign" and not element.attribute:
                height, width = (np.linalg.norm(element.corners[k] - element.corners[0]) for k in (3, 1))
                assert (height, width) == pytest.approx(SHAPES[element.shape][:2])
    assert attributes == set(range(13)) and shapes == set(SHAPES) and len(SHAPES) == 11


def test_poses_equal_the_integrated_motion():
    drive = TownDrive(900_104, "day", 60, 20.0, rig=None, config=SMALL)
    poses = [drive.pose(index) for index in range(60)]
    place, yaw = poses[0][:2, 3].copy(), yaw_of(poses[0])
    for before, after in itertools.pairwise(poses):
        step = invert_pose(before) @ after
        speed, rate = np.linalg.norm(step[:3, 3]), yaw_of(step)
        assert speed < 16 / 20 and abs(rate) < 1.0 / 20
        place += speed * np.array([np.cos(yaw + rate / 2), np.sin(yaw + rate / 2)])
        yaw += rate
    assert np.linalg.norm(place - poses[-1][:2, 3]) < 0.05 and abs(np.sin(yaw - yaw_of(poses[-1]))) < 2e-3
    assert np.linalg.norm(poses[-1][:3, 3] - poses[0][:3, 3]) > 8


def test_an_oval_is_banked_and_driven_fast():
    town = make_town(900_104, "day", seconds=6.0, config=TownConfig("oval", traffic=20))
    assert not any(lane.intersection >= 0 for lane in town.lanes) and len(town.actors) > 4
    tilt = [np.degrees(np.arcsin((lane.right - lane.left)[:, 2] / np.linalg.norm(lane.right - lane.left, axis=1)))
            for lane in town.lanes]  # fmt: skip
    assert 6 < max(slope.max() for slope in tilt) < 17 and min(np.abs(slope).min() for slope in tilt) < 1.5
    speed = np.linalg.norm(np.diff(town.ego.positions[:, :2], axis=0), axis=1) / 0.1
    assert speed.min() > 20 and speed.max() < 45
    assert np.linalg.norm(town.actors.velocities(3.0), axis=1).max() > 25


def test_towns_have_crossings_of_three_and_four_arms_merges_and_one_way_roads():
    town = make_town(900_103, "day", seconds=2.0, config=TownConfig(missing=0.3, change=0.6, one_way=0.4))
    ways = {}
    for lane in town.lanes:
        if lane.intersection >= 0:
            ways.setdefault(lane.intersection, set()).add(lane.turn)
    assert len(ways) >= 6 and {lane.turn for lane in town.lanes} == {"straight", "left", "right"}
    assert {lane.joins for lane in town.lanes} == {-1, 0, 1}  # splits off, plain, merges
    assert any(len(lane.predecessors) == 2 and lane.intersection < 0 for lane in town.lanes)
    assert {area.kind for area in town.areas} == {"crossing", "intersection"}
    assert np.ptp(town.ground.height) > 1


def test_lidar_points_hit_the_same_instance_in_the_cameras():
    """Without sweep motion and noise, every return that a (distorting) camera sees falls on its own instance."""
    rig = make_rig("ring7", (512, 400), distortion=(-0.12, 0.02))
    sensor = LidarConfig(64, 900, noise=0.0, dropout=0.0, period=0.0)
    drive = TownDrive(900_101, "day", 3, 10.0, rig, sensor, None, SMALL, (), effects=Effects(noise=0.0))
    same = free = 0
    for index in (1,):
        sample = drive.sample(index)
        cloud = sample.frame.clouds["lidar"]
        pose = sample.frame.calibration.sensors["lidar"]
        ego = cloud.points @ pose[:3, :3].T + pose[:3, 3]
        for name, camera in drive.cameras.items():
            uv, seen = camera.project_ego(ego)
            depth = ((ego - camera.ego_from_camera[:3, 3]) @ camera.ego_from_camera[:3, :3])[:, 2]
            column, row = np.rint(uv[seen]).astype(int).T
            view = sample.views[name]
            open_ = np.abs(view.depth[row, column] - depth[seen]) < 0.1 + 0.005 * depth[seen]
            free += open_.sum()
            same += (view.instance[row, column] == cloud.fields["instance"][seen])[open_].sum()
    assert free > 10_000 and same / free >= 0.995


def test_sweeps_are_sorted_into_rings_and_move_with_the_sensor(drive, sample):
    cloud = sample.frame.clouds["lidar"]
    assert len(cloud) > 20_000 and np.isfinite(cloud.points).all()
    assert set(np.unique(cloud.fields["ring"])) <= set(range(64))
    assert cloud.fields["time"].min() >= -0.1 and cloud.fields["time"].max() <= 0
    assert cloud.fields["intensity"].min() >= 0 and cloud.fields["intensity"].max() <= 1
    lidar = sample.frame.calibration.sensors["lidar"]
    world = (sample.ego @ lidar)[:3, :3] @ cloud.points.T.astype(float) + (sample.ego @ lidar)[:3, 3:]
    ground = np.isin(cloud.fields["category"], (Category.ROAD, Category.LANE_MARK))
    height = drive.town.ground.height_at(world[:2, ground].T)
    assert np.abs(world[2, ground] - height).max() < 0.15


def test_every_head_that_is_open_to_view_is_counted():
    config = TownConfig(blocks=(2, 2), crowd=200, people=0, traffic=0, parked=0)
    drive = TownDrive(900_102, "day", 2, 1.0, "dash", None, (960, 540), config, ("density_map",))
    sample = drive.sample(0)
    truth, camera = sample.frame.truth["front/density_map"], drive.cameras["front"]
    people = drive.town.actors.pick(np.flatnonzero(drive.town.actors.kind == PEDESTRIAN))
    assert len(people) == 200
    seen = np.intersect1d(np.unique(sample.views["front"].instance), people.instance)
    assert truth.count == len(truth.points) > 20
    assert truth.count <= len(seen) <= 200  # heads may hide while a body shows, never the other way round
    position, _ = people.at(sample.time)
    head = position + np.c_[np.zeros((200, 2)), people.head]
    uv, inside = camera.project_ego((head - sample.ego[:3, 3]) @ sample.ego[:3, :3])
    column, row = np.rint(np.where(inside[:, None], uv, 0)).astype(int).T
    own = inside & (sample.views["front"].instance[row, column] == people.instance)
    gaps = np.linalg.norm(uv[own][:, None] - truth.points[None], axis=-1)
    assert own.sum() > 20 and gaps.min(1).max() < 1e-3


def test_sign_corners_reproject_onto_the_rendered_sign(drive):
    """Every sign of a town, seen from 7 m ahead and a little aside: its outline is where its pixels are."""
    camera = Camera("eye", 320, 240, [[500, 0, 159.5], [0, 500, 119.5], [0, 0, 1]], ego_from_camera=mount(0, (0, 0, 0)))
    rays, shapes = pixel_rays(camera), []
    for sign in (element for element in drive.town.elements if element.kind == "sign"):
        middle, across = sign.corners.mean(0), sign.corners[1] - sign.corners[0]
        ahead = np.cross(sign.corners[3] - sign.corners[0], across)
        eye = middle + 7 * ahead / np.linalg.norm(ahead) + 0.9 * across
        ego = place(eye, float(np.arctan2(*(middle - eye)[1::-1])))
        view = drive.painter.render(camera, ego, rays)
        for seen in objects.signs_in_picture(drive.town, camera, ego, view, 0.97, 100):
            if seen.element is sign:
                rows, columns = np.nonzero(view.instance == sign.instance)
                edge = [columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5]
                np.testing.assert_allclose(seen.box, edge, atol=1.0)
                outline = objects.face_pixels(sign.outline, camera, ego)
                if sign.shape != "circle":  # the keypoints of a circle are the corners of the square around it
                    gaps = np.linalg.norm(outline[:, None] - seen.keypoints[None], axis=-1)
                    assert gaps.min(0).max() < 1e-6
                inside = cv2.fillPoly(np.zeros((240, 320), np.uint8), [np.rint(outline).astype(int)], 1)
                mask = (view.instance == sign.instance).astype(np.uint8)
                assert not (mask & (1 - cv2.dilate(inside, np.ones((3, 3))))).any()
                hidden = cv2.erode(inside, np.ones((3, 3))) & (1 - mask)  # by a leaf or a post
                assert hidden.sum() < 0.05 * mask.sum()
                shapes.append(sign.shape)
    assert len(shapes) >= 20 and len(set(shapes)) >= 6


def test_boxes_hold_what_the_sensors_see(drive, sample):
    truth = sample.frame.truth["ego/boxes_3d"]
    cloud = sample.frame.clouds["lidar"]
    lidar = sample.frame.calibration.sensors["lidar"]
    ego = cloud.points @ lidar[:3, :3].T + lidar[:3, 3]
    checked = 0
    for box, track in zip(truth.boxes, truth.track_ids):
        points = ego[cloud.fields["instance"] == track] - box[:3]
        c, s = np.cos(-box[6]), np.sin(-box[6])
        local = np.abs(np.c_[points[:, 0] * c - points[:, 1] * s, points[:, 0] * s + points[:, 1] * c, points[:, 2]])
        assert (local <= box[3:6] / 2 + 0.35).all()
        checked += len(points)
    assert checked > 100
    seen = {int(track) for track in truth.track_ids}
    for view in sample.views.values():
        near = (view.depth < 60) & np.isin(view.category, (Category.VEHICLE, Category.PERSON))
        assert set(np.unique(view.instance[near]).tolist()) <= seen


def test_velocities_are_those_of_the_tracks(drive):
    first, second = (drive.sample(index).frame for index in (4, 5))
    worlds = [frame.truth["ego/boxes_3d"].moved(frame.ego_pose, "world") for frame in (first, second)]
    rows = {int(track): i for i, track in enumerate(worlds[1].track_ids)}
    moved = 0
    for box, speed, track in zip(worlds[0].boxes, worlds[0].velocities, worlds[0].track_ids):
        if int(track) in rows:
            step = (worlds[1].boxes[rows[int(track)]] - box)[:2] * 5.0
            assert np.linalg.norm(step - speed) < 1.2  # some brake
            moved += np.linalg.norm(speed) > 1
    assert moved > 0


def test_boxes_in_pictures_are_tight(drive, sample):
    camera, view = drive.cameras["ring_front_center"], sample.views["ring_front_center"]
    seen = objects.boxes_in_picture(drive.town, camera, view)
    assert len(seen.boxes)
    for box, instance in zip(seen.boxes.boxes, seen.instances):
        rows, columns = np.nonzero(view.instance == instance)
        edge = [columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5]
        np.testing.assert_allclose(box, edge)


def test_lane_truth_is_cut_at_the_region_and_keeps_its_links(drive, sample):
    segments, graph = (sample.frame.truth[f"ego/{kind}"] for kind in ("lane_segments", "lane_graph"))
    assert isinstance(graph, LaneGraph) and len(segments) == len(graph) > 4
    np.testing.assert_array_equal(segments.lane_lane, graph.lane_lane)
    for line in segments.centerlines:
        assert (np.abs(line[:, 0]) < 50.01).all() and (np.abs(line[:, 1]) < 25.01).all()
    for i, j in np.argwhere(segments.lane_lane > 0):
        gap = np.linalg.norm(segments.centerlines[i][-1] - segments.centerlines[j][0])
        assert gap < 0.01 or np.abs(segments.centerlines[i][-1][:2]).max() > 24.9
    assert {1, 2} >= set(segments.area_labels.tolist())
    small = lane_segments(drive.town, sample.ego, Region((0, 20), (-5, 5)))
    assert 0 < len(small) < len(segments)


def test_frames_do_not_depend_on_the_order_of_asking():
    first, second = (TownDrive(7, "random", 4, 10.0, "dash", 32, (160, 96), SMALL) for _ in range(2))
    late = first[3]
    for index in (0, 3):
        again = second[index]
    np.testing.assert_array_equal(late.images["front"], again.images["front"])
    np.testing.assert_array_equal(late.clouds["lidar"].points, again.clouds["lidar"].points)


def test_noisy_poses_leave_the_truth_alone():
    drive = TownDrive(7, "day", 4, 10.0, None, None, config=SMALL, pose_noise=(0.5, 0.02))
    sample = drive.sample(2)
    error = invert_pose(sample.ego) @ sample.frame.ego_pose
    assert 0.01 < np.linalg.norm(error[:3, 3]) < 3 and 0 < abs(yaw_of(error)) < 0.1
    exact = lane_segments(drive.town, sample.ego)
    np.testing.assert_array_equal(exact.centerlines[0], sample.frame.truth["ego/lane_segments"].centerlines[0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n_frames": 0}, "n_frames >= 1"),
        ({"rig": "ring8"}, "did you mean 'ring7'"),
        ({"lidar": 65}, "32, 64, 128"),
        ({"size": (4, 4)}, "16 to 8192"),
        ({"preset": "dai"}, "did you mean 'day'"),
        ({"truth": ("lanes",)}, "kind of truth"),
        ({"pose_noise": (-1.0, 0)}, "pose_noise"),
        ({"seed": -1}, "seed"),
    ],
)
def test_drives_refuse_nonsense(arguments, words):
    with pytest.raises(PerceptionError, match=words):
        TownDrive(**{"seed": 0, "n_frames": 2, **arguments})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"blocks": (0, 1)}, "at least one intersection"),
        ({"crowd": 10_000}, "0 to 1500 people"),
        ({"lane_width": (1.0, 2.0)}, "found"),
        ({"signals": 1.5}, "odds"),
        ({"people": -1}, "counts of 0 or more"),
    ],
)
def test_configs_refuse_nonsense(arguments, words):
    with pytest.raises(PerceptionError, match=words):
        TownConfig(**arguments)


def test_a_camera_under_the_road_is_refused():
    camera = make_rig("dash", (160, 96))["front"]
    pose = camera.ego_from_camera.copy()
    pose[2, 3] = -1.0
    buried = type(camera)("front", *camera.size, camera.intrinsics, ego_from_camera=pose)
    with pytest.raises(PerceptionError, match="above the road"):
        TownDrive(0, n_frames=1, rig={"front": buried})
    with pytest.raises(UnknownNameError, match="rig"):
        make_rig("ring")
