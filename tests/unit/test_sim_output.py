"""Samples, drives and files of the simulator: deterministic, consistent, readable."""

from __future__ import annotations

import hashlib
import itertools
import json

import cv2
import numpy as np
import pytest

from perception.cli import main
from perception.errors import PerceptionError, UnknownNameError
from perception.geometry.transforms import invert_pose
from perception.jobs import run_jobs
from perception.sim import SimulatedDrive, presets, render_lane_sample
from perception.sim.lanes import lane_category, lane_labels
from perception.sim.sensors.camera import Effects, develop, mounted_camera
from perception.sim.writers.culane import SPLITS, write_culane
from perception.sim.writers.mcap import write_drives
from perception.sim.writers.tusimple import LABELS, label_rows, write_tusimple
from perception.sources import open_drive
from perception.structures import Lanes2D

SMALL = (192, 108)


def _hashes(root):
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file()
    }


@pytest.mark.parametrize("preset", sorted(presets.PRESETS))
def test_samples_are_deterministic_and_well_formed(preset):
    for seed in (900_001, 900_002):
        first, second = (render_lane_sample(seed, preset, SMALL) for _ in range(2))
        assert first.image.shape == (108, 192, 3) and first.image.dtype == np.uint8 and first.image.std() > 3
        np.testing.assert_array_equal(first.image, second.image)
        assert len(first.lanes) == len(second.lanes) <= 4
        for lane, again in zip(first.lanes.lanes, second.lanes.lanes):
            np.testing.assert_array_equal(lane, again)
            assert lane.dtype == np.float32 and (np.diff(lane[:, 1]) < 0).all()
            assert (lane > -1).all() and (lane[:, 0] < 192).all() and (lane[:, 1] < 108).all()


def test_presets_keep_their_promise():
    assert all(render_lane_sample(seed, "night", SMALL, 0.8).meta["night"] for seed in range(3))
    assert all(render_lane_sample(seed, "rain", SMALL, 0.8).meta["wet"] > 0 for seed in range(3))
    assert not any(render_lane_sample(seed, "day", SMALL, 0.8).meta["night"] for seed in range(3))


def test_rows_above_the_crop_stay_black_and_truth_stays_the_same():
    whole, cropped = (render_lane_sample(7, "day", SMALL, rows_from) for rows_from in (0.0, 0.35))
    assert not cropped.image[:37].any() and cropped.image[37:].any()
    for a, b in zip(whole.lanes.lanes, cropped.lanes.lanes):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rows_from": 1.5}, "rows_from"),
        ({"size": (3, 3)}, "16x16"),
        ({"seed": -1}, "seed"),
        ({"preset": "dai"}, "did you mean 'day'"),
    ],
)
def test_samples_refuse_nonsense(arguments, words):
    with pytest.raises(PerceptionError, match=words):
        render_lane_sample(**({"seed": 0} | arguments))


def test_developing_a_grey_card_without_effects_is_smooth_and_neutral():
    rng = np.random.default_rng(0)
    card = np.full((40, 60, 3), 0.2, np.float32)
    picture = develop(card, Effects(noise=0.0, contrast=0.0), (60, 40), 0, rng, rng)
    assert picture.std() == 0 and 80 < picture.mean() < 170


def test_a_drive_moves_along_the_road_and_its_poses_integrate_its_speed():
    drive = SimulatedDrive(900_010, "day", n_frames=21, fps=10, size=SMALL)
    poses = [drive.view(i).world_from_ego for i in range(21)]
    travelled = sum(np.linalg.norm(b[:3, 3] - a[:3, 3]) for a, b in itertools.pairwise(poses))
    assert travelled == pytest.approx(drive.scene.ego.speed * 2.0, rel=0.03)
    for a, b in itertools.pairwise(poses):
        step = invert_pose(a) @ b
        assert step[0, 3] > 0 and abs(step[1, 3]) < 0.2 * step[0, 3]
        np.testing.assert_allclose(step[:3, :3] @ step[:3, :3].T, np.eye(3), atol=1e-9)


def test_frames_of_a_drive_do_not_depend_on_the_order_of_asking():
    first, second = (SimulatedDrive(5, "random", n_frames=30, fps=5, size=SMALL) for _ in range(2))
    late = first[25]
    frames = {i: second[i] for i in (0, 12, 25)}
    np.testing.assert_array_equal(late.images["front"], frames[25].images["front"])
    assert frames[12].timestamp_ns - frames[0].timestamp_ns == 12 * 200_000_000
    assert set(late.truth) == {"front/lanes_2d"} and late.calibration.cameras["front"].ego_from_camera is not None
    ids = first.lane_ids(25)
    assert len(ids) == len(late.truth["front/lanes_2d"]) and len(set(ids)) == len(ids)


def test_truth_of_a_drive_lies_on_the_road_that_its_pose_and_calibration_describe():
    drive = SimulatedDrive(900_012, "day", 3, camera=mounted_camera((640, 360), pitch=0.02))
    view, frame = drive.view(2), drive[2]
    lanes, camera = frame.truth["front/lanes_2d"], frame.calibration.cameras["front"]
    for lane, mark in zip(lanes.lanes, drive.lane_ids(2)):
        stations = view.station + np.linspace(3, 60, 300)
        points = drive.scene.road.points(stations, drive.scene.section.marks[mark].at(stations))
        ego = (points - frame.ego_pose[:3, 3]) @ frame.ego_pose[:3, :3]
        uv, valid = camera.project_ego(ego)
        near = uv[valid][:, None] - lane[None]
        inside = (uv[valid][:, 1] < lane[0, 1]) & (uv[valid][:, 1] > lane[-1, 1])
        assert inside.any() and np.linalg.norm(near, axis=2).min(1)[inside].max() < 30


def test_a_camera_without_a_pose_is_refused():
    camera = mounted_camera(SMALL)
    bare = type(camera)("front", *camera.size, camera.intrinsics)
    with pytest.raises(PerceptionError, match="ego_from_camera"):
        SimulatedDrive(0, "day", 2, camera=bare)


def test_the_culane_tree_reads_back_and_does_not_depend_on_workers(tmp_path):
    for workers in (1, 2):
        list(write_culane(tmp_path / str(workers), scenes=10, frames=1, seed=40, size=SMALL, workers=workers))
    assert _hashes(tmp_path / "1") == _hashes(tmp_path / "2")
    root = tmp_path / "1"
    lists = {name: (root / "list" / f"{name}.txt").read_text().split() for name in ("train", "val", "test")}
    assert {name: len(rows) for name, rows in lists.items()} == {"train": 8, "val": 1, "test": 1}
    assert len(list((root / "list" / "test_split").iterdir())) == len(SPLITS) == 9
    for row in lists["train"]:
        path = root / row.lstrip("/")
        assert cv2.imread(str(path)).shape == (108, 192, 3)
        sample = render_lane_sample(int(path.parent.name.rsplit("_", 1)[1]), "random", SMALL)
        lanes = Lanes2D.from_culane_text(path.with_suffix(".lines.txt").read_text(), SMALL)
        assert len(lanes) == len(sample.lanes)
        for read, made in zip(lanes.lanes, sample.lanes.lanes):
            np.testing.assert_allclose(read, made, atol=0.006)


def test_the_tusimple_tree_reads_back_and_resumes(tmp_path):
    root = tmp_path / "tree"
    list(write_tusimple(root, scenes=10, frames=1, seed=40, size=SMALL))
    before = _hashes(root)
    records = {name: [json.loads(row) for row in (root / name).read_text().splitlines()] for name in LABELS}
    assert [len(rows) for rows in records.values()] == [4, 4, 1, 1]
    for record in records["label_data_0313.json"]:
        assert set(record) == {"raw_file", "lanes", "h_samples"} and record["h_samples"] == label_rows(108)
        assert cv2.imread(str(root / record["raw_file"])).shape == (108, 192, 3)
        truth = lane_labels(int(record["raw_file"].split("/")[1][4:]), "random", SMALL)
        read = Lanes2D.from_tusimple(record, SMALL)
        for lane in read.lanes:  # whole pixels, so half a pixel off the truth of one of the lanes
            errors = [np.abs(np.interp(lane[:, 1], t[::-1, 1], t[::-1, 0]) - lane[:, 0]).max() for t in truth.lanes]
            assert min(errors) < 1.0
    kept = next(root.rglob("20.jpg"))
    written = kept.stat().st_mtime_ns
    list(write_tusimple(root, scenes=10, frames=1, seed=40, size=SMALL))
    assert _hashes(root) == before and kept.stat().st_mtime_ns == written
    assert label_rows(720) == list(range(160, 720, 10))


def test_labels_without_the_picture_are_those_of_the_picture():
    for seed in (900_003, 900_004):
        sample, lanes = render_lane_sample(seed, "random", SMALL), lane_labels(seed, "random", SMALL)
        assert len(lanes) == len(sample.lanes)
        assert all(np.array_equal(a, b) for a, b in zip(lanes.lanes, sample.lanes.lanes))


def test_pictures_fall_into_the_test_categories_of_culane():
    found = {lane_category(seed, "random", SMALL, empty=False) for seed in range(900_000, 900_024)}
    assert found >= {"normal", "crowd", "curve", "night"} and found <= set(SPLITS)
    assert lane_category(900_000, "day", SMALL, empty=True) in ("cross", "noline")


def test_writing_a_dataset_resumes_where_it_stopped(tmp_path):
    paths = list(write_culane(tmp_path, scenes=1, frames=2, size=SMALL))
    before = _hashes(tmp_path)
    paths[0].unlink()
    kept = paths[1].stat().st_mtime_ns
    list(write_culane(tmp_path, scenes=1, frames=2, size=SMALL))
    assert _hashes(tmp_path) == before and paths[1].stat().st_mtime_ns == kept


def test_training_pictures_come_in_several_sizes_and_only_in_the_rows_that_are_used(tmp_path, capsys):
    arguments = ["simulate", str(tmp_path), "--frames", "3", "--size", "mixed", "--rows-from", "0.4"]
    assert main([*arguments, "--format", "culane"]) == 0
    pictures = [cv2.imread(str(path)) for path in sorted(tmp_path.rglob("*.jpg"))]
    assert {(picture.shape[1], picture.shape[0]) for picture in pictures} <= set(presets.TRAINING_SIZES)
    assert len({picture.shape for picture in pictures}) > 1
    for picture in pictures:
        dark, height = picture.max(axis=(1, 2)) < 30, len(picture)
        assert dark[: int(0.4 * height) - 8].all() and not dark[int(0.4 * height) + 8 :].any()
    assert main(arguments) == 2 and "for --format culane" in capsys.readouterr().err
    assert main([*arguments[:-1], "1", "--format", "culane"]) == 2
    assert "rows_from" in capsys.readouterr().err


def test_drives_are_written_as_mcap_that_sources_read(tmp_path):
    (path,) = write_drives(tmp_path / "a", scenes=1, frames=4, seed=900_020, preset="day", size=SMALL)
    (again,) = write_drives(tmp_path / "b", scenes=1, frames=4, seed=900_020, preset="day", size=SMALL)
    assert path.read_bytes() == again.read_bytes()
    made = list(SimulatedDrive(900_020, "day", 4, size=SMALL))
    with open_drive(str(path)) as drive:
        read = list(drive)
    assert [f.timestamp_ns for f in read] == [f.timestamp_ns for f in made]
    for a, b in zip(read, made):
        np.testing.assert_allclose(a.ego_pose, b.ego_pose, atol=1e-6)
        assert np.abs(a.images["front"].astype(int) - b.images["front"]).mean() < 4
        lanes, truth = a.truth["front/lanes_2d"], b.truth["front/lanes_2d"]
        assert len(lanes) == len(truth)
        camera = a.calibration.cameras["front"]
        np.testing.assert_allclose(camera.ego_from_camera, b.calibration.cameras["front"].ego_from_camera, atol=1e-6)


def test_the_command_writes_and_reports_wrong_use(tmp_path, capsys):
    arguments = ["simulate", str(tmp_path), "--frames", "2", "--preset", "day", "--size", "64x48"]
    assert main(arguments) == 0
    assert (tmp_path / "day_0000000.mcap").is_file()
    assert main([*arguments, "--format", "culane"]) == 0 and "2 pictures" in capsys.readouterr().out
    assert main([*arguments, "--format", "tusimple"]) == 0 and (tmp_path / LABELS[0]).is_file()
    assert main([*arguments[:-1], "mixed", "--format", "tusimple"]) == 2
    assert main(["simulate", str(tmp_path), "--preset", "snow"]) == 2
    assert main(["simulate", str(tmp_path), "--scenes", "0"]) == 2
    assert "scenes, frames >= 1" in capsys.readouterr().err


def _fail(job):
    raise UnknownNameError("thing", str(job), ["known"])


def test_errors_of_workers_come_back_as_text():
    with pytest.raises(PerceptionError, match="unknown thing '1'"):
        list(run_jobs(_fail, [1, 2], workers=1))
    with pytest.raises(PerceptionError, match="workers"):
        list(run_jobs(_fail, [1], workers=-1))
