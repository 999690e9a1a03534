"""The shipped weights, trained in simulated towns only, on real sweeps; skipped where there are no recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from perception.plugin import load
from perception.plugins.lidar_bev.sweeps import GROUND, sweep_of
from perception.plugins.lidar_bev.windows import WindowSettings, make_window
from perception.registry import STAGES
from perception.sources import drives_in, open_drive

AV2 = "av2/sensor/val/7fab2350-7eaf-3b7e-a39d-6937a4c1bede"


@pytest.fixture(scope="module")
def stage_class() -> type:
    load("lidar_bev")
    return STAGES.get("LidarBevStage")


def frames_of(path: Path) -> list:
    found = []
    for uri in drives_in(path) or [str(path)]:
        with open_drive(uri) as drive:
            found += [frame for frame in drive if frame.clouds]
    return found


@pytest.mark.parametrize("name", ["kitti_object/training", AV2, "drives_repackaged/nuscenes_frame_ros2.mcap"])
def test_real_sweeps_give_sensible_grids(stage_class: type, real_data: Path, name: str):
    stage = stage_class("lidar_bev/ppn_tiny_sim.py", "ppn_tiny_sim.safetensors", compensate=False)
    frames = frames_of(real_data / name)
    assert frames
    for frame in frames[:2]:
        stage.reset()
        grid = stage(frame, {})
        sweep = sweep_of(frame)
        window = make_window([sweep] * stage.settings.frames, [None] * 4, stage.settings)
        seen, truth = grid.layers["semantics"] >= 0, window.classes.numpy()
        found = grid.layers["semantics"]
        for ours, theirs, least in ((found == GROUND, truth == GROUND, 0.8), (found > GROUND, truth > GROUND, 0.4)):
            a, b = ours & seen & (truth >= 0), theirs & seen
            assert (a & b).sum() > least * (a | b).sum()


def test_the_second_sweep_of_an_argoverse_log_against_persistence(stage_class: type, real_data: Path):
    stage = stage_class("lidar_bev/ppn_tiny_sim.py", "ppn_tiny_sim.safetensors")
    first, second = (sweep_of(frame) for frame in frames_of(real_data / AV2))
    settings: WindowSettings = stage.settings
    window = make_window([first] * settings.frames, [second, None, None, None], settings)
    with torch.inference_mode():
        probability = stage.branches(window.inputs[None])["evolution"][0, 0].sigmoid().numpy()
    mask, truth = window.mask[0].numpy() > 0, window.future[0].numpy() > 0
    scores = {}
    last = window.inputs[settings.frames - 1].numpy() > 0
    for who, map_ in (("network", probability >= 0.5), ("persistence", last)):
        scores[who] = float((map_ & truth & mask).sum() / ((map_ | truth) & mask).sum())
    print(scores)
    assert scores["network"] > 0.5 * scores["persistence"], "sees the scene; one pair says no more"
    assert np.isfinite(probability).all()
