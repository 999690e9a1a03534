"""Windows by hand, datasets from simulated layouts, targets and baselines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from perception.engine.collate import stack_samples
from perception.errors import InputError, PerceptionError
from perception.geometry import GridSpec
from perception.plugins.lidar_bev import tiny_data
from perception.plugins.lidar_bev.dataset import LidarBevDataset, drive_windows
from perception.plugins.lidar_bev.ground import level_from_ego
from perception.plugins.lidar_bev.sweeps import (
    GROUND,
    PERSON,
    SEG_CLASSES,
    STATIC,
    UNKNOWN,
    VEHICLE,
    Sweep,
    class_of,
    read_sweeps,
)
from perception.plugins.lidar_bev.windows import WindowSettings, choose_windows, class_map, make_window
from perception.structures import Boxes3D

GRID = GridSpec((-8.0, 8.0), (-8.0, 8.0), 1.0)
SETTINGS = WindowSettings(GRID, frames=2, horizons=(0.1, 0.2), level=False)
WINDOW = {"grid": {"x_range": (-25.6, 25.6), "y_range": (-25.6, 25.6), "resolution": 0.8}, "frames": 4}


def sweep(time: int, x: float, *points: tuple[float, float, float], boxes: Boxes3D | None = None) -> Sweep:
    pose = np.eye(4)
    pose[0, 3] = x
    cloud = torch.tensor(points, dtype=torch.float32).reshape(-1, 3)
    return Sweep(time * 10**8, cloud, pose, np.zeros(3), None, boxes)


def car(x: float, y: float, speed: float) -> Boxes3D:
    box = np.array([[x, y, 0.5, 2.0, 1.0, 1.0, 0.0]])
    return Boxes3D("ego", box, [1.0], [0], ("car",), [[speed, 0.0]])


# --- windows ----------------------------------------------------------------------------------------------------------


def test_a_window_by_hand():
    wall = (4.5, 2.5, 1.0)  # where it stands when the car is at 0
    past = [sweep(0, 0, wall), sweep(1, 1, (3.5, 2.5, 1.0), boxes=car(2.5, -2.5, 0.0))]
    ahead = [sweep(2, 2, (2.5, 2.5, 1.0), (0.5, -2.5, 1.0), boxes=car(1.5, -2.5, 5.0)), None]
    window = make_window(past, ahead, SETTINGS)
    cell = (8 + 3, 8 + 2)  # the wall in the frame of t
    assert window.inputs.shape == (2 + 5, 16, 16)
    assert [one.nonzero().tolist() for one in window.inputs[:2]] == [[list(cell)], [list(cell)]], "compensated"
    assert window.future[0].nonzero().tolist() == [[8 + 1, 8 - 3], list(cell)]
    assert window.stale[0].nonzero().tolist() == [[8 + 4, 8 + 2]], "the old map taken along by one metre"
    assert window.moving[0].nonzero().tolist() == [[9, 5], [10, 5], [11, 5]], "the car that moves, where it is then"
    assert window.mask[0][cell] == 1 and window.mask[0][8 + 6, 8 + 2] == 0
    assert window.future[1].sum() == window.mask[1].sum() == 0, "no sweep at that time"
    assert window.classes[9, 9] == GROUND, "a ray passes"
    assert window.classes[cell] == STATIC and window.classes[8 + 6, 8 + 2] == UNKNOWN


def test_classes_from_heights_and_boxes():
    boxes = car(2.5, -2.5, 0.0)
    points = ((1.5, 1.5, 0.0), (3.5, 1.5, 1.0), (2.2, -2.5, 0.5), (5.5, 5.5, 9.0))
    classes = class_map(sweep(0, 0, *points, boxes=boxes), np.eye(4), SETTINGS)
    assert classes[8 + 1, 8 + 1] == GROUND and classes[8 + 3, 8 + 1] == STATIC
    assert (classes == VEHICLE).nonzero().tolist() == [[9, 5], [10, 5], [11, 5]], "all of its footprint"
    assert (classes != UNKNOWN).sum() == 5, "too high a point says nothing"
    empty = class_map(sweep(0, 0, points[0], boxes=boxes), np.eye(4), SETTINGS)
    assert (empty == VEHICLE).sum() == 0, "a box without a point covers nothing"


def test_point_labels_win_over_heights():
    labelled = replace(sweep(0, 0, (1.5, 1.5, 0.0), (3.5, 1.5, 0.0)), labels=torch.tensor([PERSON, UNKNOWN]))
    classes = class_map(labelled, np.eye(4), SETTINGS)
    assert classes[9, 9] == PERSON and (classes != UNKNOWN).sum() == 1
    assert [SEG_CLASSES[i] for i in (0, 2, 17, 24, 28, 31)] == [UNKNOWN, PERSON, VEHICLE, GROUND, STATIC, UNKNOWN]
    names = ["vehicle.car", "human.pedestrian.adult", "REGULAR_VEHICLE", "PEDESTRIAN", "Cyclist", "BOLLARD"]
    assert [class_of(name) for name in names] == [VEHICLE, PERSON, VEHICLE, PERSON, VEHICLE, UNKNOWN]


def test_windows_have_no_gap_and_find_their_future():
    times = [i * 10**8 for i in (0, 1, 2, 3, 6, 7, 8)]
    found = list(choose_windows(times, SETTINGS))
    assert [past for past, _ in found] == [[0, 1], [1, 2], [4, 5]], "no gap, and some future"
    assert [ahead for _, ahead in found] == [[2, 3], [3, None], [6, None]]
    assert len(list(choose_windows(times, SETTINGS, need_future=False))) == 5
    assert list(choose_windows([], SETTINGS)) == []


def test_the_road_is_levelled():
    rng = np.random.default_rng(0)
    xy = rng.uniform(-35, 35, (4000, 2))
    road = np.column_stack([xy, 0.05 * xy[:, 0] - 0.02 * xy[:, 1] - 1.7 + rng.normal(0, 0.02, 4000)])
    walls = np.column_stack([rng.uniform(10, 30, (800, 2)), rng.uniform(0, 6, 800)])
    level = level_from_ego(torch.from_numpy(np.concatenate([road, walls])).float())
    heights = road @ level[2, :3] + level[2, 3]
    assert abs(heights.mean()) < 0.1 and heights.std() < 0.06
    assert np.allclose(level[:3, :3] @ level[:3, :3].T, np.eye(3))
    for nothing in (torch.zeros(0, 3), torch.full((9, 3), torch.nan)):
        assert np.array_equal(level_from_ego(nothing), np.eye(4))


def test_windows_of_nothing_are_empty_and_a_missing_pose_is_named():
    past = [sweep(0, 0), sweep(1, 0, (np.nan, 0.0, 0.0))]
    window = make_window(past, [sweep(2, 0), None], replace(SETTINGS, level=True))
    assert torch.isfinite(window.inputs).all() and window.inputs.sum() == 0 and (window.classes == UNKNOWN).all()
    lost = replace(past[0], pose=None)
    with pytest.raises(PerceptionError, match="expected poses"):
        make_window([lost, past[1]], [None, None], SETTINGS)
    assert make_window([lost, replace(past[1], pose=None)], [None] * 2, replace(SETTINGS, compensate=False)).time_ns


# --- datasets ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lidar") / "data"
    tiny_data.write(root, {}, scenes=2, sweeps=16)
    return root


def test_the_written_layout_is_read_back(scenes: Path):
    sweeps = list(read_sweeps(f"{scenes}#scene-0001"))
    truth = tiny_data.frame(1, 3)
    assert len(sweeps) == 16
    found = sweeps[3]
    assert np.allclose(found.pose, truth.ego_pose) and torch.equal(
        found.points, torch.tensor(truth.clouds["lidar"].points)
    )
    assert found.boxes is not None and found.labels is not None
    order = np.argsort(-found.boxes.boxes[:, 3])
    expected = truth.truth["ego/boxes_3d"]
    assert np.allclose(found.boxes.boxes[order], expected.boxes, atol=1e-4)  # type: ignore[attr-defined]
    assert np.allclose(found.boxes.velocities[order], expected.velocities, atol=1e-3)  # type: ignore[attr-defined]
    assert torch.bincount(found.labels + 1).tolist() == [0, 900, 400, 60, 60]


def test_dataset_parts_cache_and_flips(scenes: Path):
    train, val = (LidarBevDataset(str(scenes), WINDOW, part=part) for part in ("train", "val"))
    assert set(train.origin) == {f"{scenes}#scene-0000"} and set(val.origin) == {f"{scenes}#scene-0001"}
    assert len(train) == 16 - 3 - 1, "the last sweep has no future"
    cached = [LidarBevDataset(str(scenes), WINDOW, part="train", cache=".cache") for _ in range(2)]
    for data in cached:
        sample, expected = data[2], train[2]
        assert torch.equal(sample["inputs"], expected["inputs"])
        for name, value in expected["data_samples"].items():
            same = torch.equal(sample["data_samples"][name], value) if torch.is_tensor(value) else True
            assert same, name
    flipped = LidarBevDataset(str(scenes), WINDOW, part="train", flip=True, limit=3)
    torch.manual_seed(0)
    seen = {flipped[0]["data_samples"]["classes"].numpy().tobytes() for _ in range(20)}
    assert len(flipped) == 3 and len(seen) == 4
    batch = stack_samples([train[0], train[1]])
    assert batch["inputs"].shape[0] == len(batch["data_samples"]) == 2
    damaged = next((scenes / ".cache").rglob("*.npz"))
    damaged.write_bytes(b"PK")
    with pytest.raises(InputError, match="made again"):
        [cached[1].window(i) for i in range(len(cached[1]))]


def test_targets_of_the_tiny_scene(scenes: Path):
    settings = WindowSettings.of(WINDOW)
    window = drive_windows(f"{scenes}#scene-0000", settings)[4]
    assert {VEHICLE, PERSON, STATIC, GROUND} <= set(window.classes.unique().tolist())
    assert all(window.moving[k].sum() > 0 for k in range(3))
    both = (window.future & window.mask).bool()
    standing = both[1] & ~window.moving[1].bool()
    last, stale = window.inputs[3].bool(), window.stale[1].bool()
    assert (last & standing).sum() > (stale & standing).sum(), "compensation keeps the walls where they are"


def test_no_window_is_an_error_that_says_why(scenes: Path, tmp_path: Path):
    with pytest.raises(InputError, match="40 sweeps"):
        LidarBevDataset(str(scenes), {**WINDOW, "frames": 40})
    with pytest.raises(PerceptionError, match="part"):
        LidarBevDataset(str(scenes), WINDOW, part="tests")
    with pytest.raises(InputError):
        LidarBevDataset(str(tmp_path), WINDOW)
