"""Model, metric and stage: one batch is learnt, scores by hand, drives with trouble."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from perception.cli.convert import convert_checkpoint
from perception.errors import PerceptionError
from perception.metrics.bev import ClassCounts, OccupancyCounts, average_precision, histogram
from perception.plugins.lidar_bev import tiny_data
from perception.plugins.lidar_bev.metric import LidarBevMetric
from perception.plugins.lidar_bev.model import ParallelPerception
from perception.plugins.lidar_bev.networks import AutoencoderNet, PyramidNet
from perception.plugins.lidar_bev.stage import LidarBevStage
from perception.runtime.executor import SequentialExecutor
from perception.runtime.graph import Graph, Node
from perception.structures import BevGrid, Frame, PointCloud

WIDTHS = (6, 8, 8)


def model(**options) -> ParallelPerception:
    torch.manual_seed(0)
    common = {"frames": 3, "widths": WIDTHS, "head": "logits"}
    parts = {
        "segmentation": {"type": "PyramidNet", "outputs": 4, **common},
        "evolution": {"type": "AutoencoderNet", "outputs": 2, "skip": True, **common},
    }
    return ParallelPerception(**{**parts, **options})


def sample(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    occupied = torch.rand(16, 16, generator=generator) < 0.3
    future = torch.stack([occupied, occupied.roll(1, 0)]).to(torch.uint8)
    classes = torch.where(occupied, 1, 0)
    maps = {
        "classes": classes,
        "future": future,
        "mask": torch.ones_like(future),
        "moving": future * 0,
        "last": occupied,
    }
    return {"inputs": torch.stack([occupied.float()] * 3), **maps}


def test_one_batch_is_learnt():
    batch = [sample(0), sample(1)]
    inputs, network = torch.stack([one["inputs"] for one in batch]), model(class_weights=(1, 1, 1, 1))
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    history = []
    for _ in range(60):
        terms = network(inputs, batch, "loss")
        total = sum(value for name, value in terms.items() if "loss" in name)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(float(total.detach()))
    assert history[-1] < 0.25 * history[0]
    found = network(inputs, batch, "predict")
    right = [(one["predicted_classes"] == one["classes"]).float().mean().item() for one in found]
    assert min(right) > 0.9


def test_branches_can_stand_alone_and_published_keys_get_their_prefix():
    alone = model(evolution=None)
    assert list(alone.branches) == ["segmentation"]
    assert list(alone(torch.zeros(1, 3, 16, 16), [sample()], "loss")) == ["loss_class", "loss_class_iou"]
    plain = {key.removeprefix("pyrnet."): value for key, value in alone.state_dict().items()}
    assert alone.published_keys(plain).keys() == alone.state_dict().keys()
    evolution = model(segmentation=None)
    plain = {key.removeprefix("autonet."): value for key, value in evolution.state_dict().items()}
    assert evolution.published_keys(plain).keys() == evolution.state_dict().keys()
    assert model().published_keys(model().state_dict()).keys() == model().state_dict().keys()
    with pytest.raises(PerceptionError, match="neither"):
        model(segmentation=None, evolution=None)


def test_published_files_are_converted(tmp_path: Path):
    net = "frames=16, widths=(4, 4), outputs=1"
    config = tmp_path / "published.py"
    config.write_text(
        f"""
model = dict(type="ParallelPerception", segmentation=dict(type="PyramidNet", {net}, decoder="unchained"),
             evolution=dict(type="AutoencoderNet", {net}))
"""
    )
    torch.manual_seed(1)
    whole = {"frames": 16, "widths": (4, 4)}
    both = {"pyrnet": PyramidNet(**whole), "autonet": AutoencoderNet(**whole)}
    state = {f"{name}.{key}": value for name, net in both.items() for key, value in net.state_dict().items()}
    torch.save(state, tmp_path / "both.pth")
    report = convert_checkpoint(tmp_path / "both.pth", config, tmp_path / "both.safetensors")
    assert (report.written, report.unused, report.missing) == (len(state), (), ())
    torch.save(both["pyrnet"].state_dict(), tmp_path / "segnet.pth")
    with pytest.raises(PerceptionError, match="missing"):
        convert_checkpoint(tmp_path / "segnet.pth", config, tmp_path / "no.safetensors")


# --- scores -----------------------------------------------------------------------------------------------------------


def test_class_iou_by_hand():
    counts = ClassCounts(3)
    counts.add(np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, -1]), np.array([1, 1, 1, 1, 1]))
    counts.add(np.array([2]), np.array([0]), np.array([0]))
    assert counts.iou()[:2].tolist() == pytest.approx([1 / 2, 2 / 3]) and math.isnan(counts.iou()[2])


def test_occupancy_scores_by_hand():
    counts = OccupancyCounts()
    counts.add(np.array([1, 1, 0, 0, 1]), np.array([1, 0, 1, 0, 1]), np.array([1, 1, 1, 1, 0]))
    assert (counts.iou, counts.precision, counts.recall) == (1 / 3, 1 / 2, 1 / 2)
    assert math.isnan(OccupancyCounts().iou) and math.isnan(OccupancyCounts().precision)
    probability, truth = np.array([0.9, 0.8, 0.4, 0.1]), np.array([1, 0, 1, 0])
    assert average_precision(histogram(probability, truth, np.ones(4))) == pytest.approx((1 + 2 / 3) / 2)
    assert math.isnan(average_precision(histogram(probability, truth * 0, np.ones(4))))


def test_metric_reports_all_baselines():
    one, zero = torch.ones(4, 4, dtype=torch.bool), torch.zeros(4, 4, dtype=torch.bool)
    row = zero.clone()
    row[1] = True
    moving = torch.stack([row, row])
    entry = {
        "name": "a", "horizons": (0.1, 0.5), "classes": torch.where(row, 2, 0), "seen": one.to(torch.uint8),
        "future": torch.stack([row, row]).to(torch.uint8), "mask": torch.stack([one, one]).to(torch.uint8),
        "moving": moving.to(torch.uint8), "stale": torch.stack([zero, one]).to(torch.uint8), "last": row, "union": one,
        "predicted_classes": torch.where(row, 2, 1),
        "predicted_occupancy": torch.stack([row.float(), zero.float()]),
    }  # fmt: skip
    metric = LidarBevMetric()
    metric.process(None, [entry])
    scores = metric.compute_metrics(metric.results)
    assert (scores["IoU_vehicle"], scores["IoU_ground"]) == (1, 0)
    assert scores["mIoU"] == pytest.approx(1 / 3), "ground and static 0, vehicle 1"
    assert [scores[f"IoU@0.1s{name}"] for name in ("", "_stale", "_persistence", "_union", "_empty")] == [
        1,
        0,
        1,
        0.25,
        0,
    ]
    assert scores["IoU@0.5s"] == 0 and scores["moving_IoU"] == 0.5 and scores["moving_IoU_persistence"] == 1
    assert scores["AP@0.1s"] == 1


# --- stage ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.py"
    path.write_text(
        """
window = dict(grid=dict(x_range=(-12.8, 12.8), y_range=(-12.8, 12.8), resolution=0.8), frames=3, horizons=(0.1, 0.5))
net = dict(frames=8, widths=(4, 4), head="logits")
model = dict(type="ParallelPerception", segmentation=dict(type="PyramidNet", outputs=4, **net),
             evolution=dict(type="AutoencoderNet", outputs=2, **net))
"""
    )
    return path


def run(stage: LidarBevStage, frames: list[Frame]) -> list:
    return list(SequentialExecutor(Graph.of([Node("bev", stage)]), {}).run(frames))


def changed(frame: Frame, **values) -> Frame:
    kept = {name: getattr(frame, name) for name in ("timestamp_ns", "index", "clouds", "calibration", "ego_pose")}
    return Frame(**{**kept, **values})


def test_a_drive_gives_grids(config: Path):
    stage = LidarBevStage(config)
    stage.warmup()
    outputs = run(stage, [tiny_data.frame(0, i) for i in range(4)])
    grid = outputs[-1].results["bev"]
    assert isinstance(grid, BevGrid) and grid.shape == (32, 32)
    assert set(grid.layers) == {"semantics", "occupancy_0.1s", "occupancy_0.5s"}
    assert grid.layers["semantics"].min() == -1 and grid.layers["semantics"].max() <= 3
    assert not any(output.faults for output in outputs) and len(stage.buffer) == 3


def test_trouble_on_a_drive_is_recorded_or_borne(config: Path):
    good = [tiny_data.frame(0, i) for i in range(6)]
    cloud = good[1].clouds["lidar"]
    nan = PointCloud(np.zeros((0, 3), np.float32), {}, cloud.timestamp_ns, "lidar")
    frames = [
        good[0],
        changed(good[1], clouds={"lidar": nan}),
        changed(good[2], ego_pose=None),
        changed(good[3], clouds={}),
        good[4],
        changed(good[5], timestamp_ns=good[4].timestamp_ns),
    ]
    outputs = run(LidarBevStage(config), frames)
    assert [bool(output.results) for output in outputs] == [True, True, False, False, True, True]
    assert [fault.kind for output in outputs for fault in output.faults] == ["missing", "missing"]
    assert "ego pose" in outputs[2].faults[0].message
    free = LidarBevStage(config, compensate=False)
    assert all(output.results for output in run(free, [changed(frame, ego_pose=None) for frame in good]))


def test_executors_give_the_same_grid(config: Path):
    frames = [tiny_data.frame(0, i) for i in range(2)]
    grids = []
    for executor in ("sequential", "threads"):
        torch.manual_seed(3)
        grids.append(run(LidarBevStage(config, executor=executor), frames)[-1].results["bev"])
    for name, layer in grids[0].layers.items():
        assert np.array_equal(layer, grids[1].layers[name]), name
