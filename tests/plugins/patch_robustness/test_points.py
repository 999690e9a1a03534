"""Attacks on LiDAR sweeps: boards by hand, cells against the shipped networks, placements on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from perception.attack_points import PointAttackTarget, PointSample
from perception.errors import InputError, PerceptionError, UnknownNameError
from perception.geometry.board import cast_on_board
from perception.geometry.transforms import make_pose
from perception.plugins.lidar_bev import tiny_data
from perception.plugins.lidar_bev.attack_scenes import moments
from perception.plugins.lidar_bev.attack_target import LidarBevTarget
from perception.plugins.lidar_bev.sweeps import VEHICLE, sweep_of
from perception.plugins.patch_robustness.comparisons import corruption_table
from perception.plugins.patch_robustness.evaluate import summary
from perception.plugins.patch_robustness.points import (
    PointAttackConfig,
    attacked_sample,
    control_placement,
    craft_points,
)
from perception.plugins.patch_robustness.points_commands import evaluate_points, load_placement, save_placement
from perception.plugins.patch_robustness.report import write_report
from perception.plugins.patch_robustness.victim import fingerprint

CONFIG = "lidar_bev/ppn_tiny_sim.py"
BOARD = np.array([[5, -1, 0], [5, 1, 0], [5, 1, 2], [5, -1, 2]], float)


def two_sweeps(name: str = "a") -> PointSample:
    """The car drives 1 m between two sweeps of one point each."""
    clouds = (np.array([[11, 0, 1]], np.float32), np.array([[10, 0, 1]], np.float32))
    poses = (np.eye(4), make_pose(np.eye(3), [1, 0, 0]))
    sensors = (np.array([0, 0, 1.0]), np.array([0, 0, 1.0]))
    return PointSample(name, clouds, poses, sensors, (0, 100_000_000))


# --- geometry ---------------------------------------------------------------------------------------------------------


def test_returns_behind_a_board_come_back_from_it():
    sensor = np.array([0, 0, 1.0])
    points = [[10, 0, 1], [10, 3, 1], [10, 1.5, 2], [4, 0, 1], [-10, 0, 1], [5, 0, 0.5], [10, 0, 4], [np.nan, 0, 0]]
    found, hit = cast_on_board(np.array(points, np.float32), sensor, BOARD)
    # in front, beside, through the corner area, before the board, behind the sensor, on it, above, broken
    assert hit.tolist() == [True, False, True, False, False, False, False, False]
    assert found[0].tolist() == [5, 0, 1] and found[2].tolist() == pytest.approx([5, 0.75, 1.5])
    assert np.array_equal(found[~hit], np.array(points, np.float32)[~hit], equal_nan=True)
    empty, none = cast_on_board(np.zeros((0, 3), np.float32), sensor, BOARD)
    assert empty.shape == (0, 3) and none.shape == (0,)


@pytest.mark.parametrize("corners", [np.zeros((4, 3)), BOARD[:3], BOARD[[0, 2, 1, 3]], BOARD * np.nan])
def test_boards_that_are_none(corners):
    with pytest.raises(PerceptionError, match="board: expected"):
        cast_on_board(np.zeros((1, 3), np.float32), np.zeros(3), corners)


def test_placements_stand_still_in_the_world():
    sample = two_sweeps()
    board = PointAttackConfig(kind="board", size_m=(2.0, 2.0), below=0.0)
    shown = attacked_sample(sample, {"": np.array([5.0, 0.0, 0.0])}, board)
    assert shown.clouds[1].tolist() == [[5, 0, 1]] and shown.clouds[0].tolist() == [[6, 0, 1]]
    assert shown.added.tolist() == [[5, 0, 1]]
    turned = attacked_sample(sample, {"": np.array([5.0, 1.2, 0.0])}, board)
    assert turned.clouds[1].tolist() == [[10, 0, 1]] and len(turned.added) == 0, "it stands beside the ray"
    spot = {"a": np.array([[3.0, 2.0, 1.0]])}
    newest = attacked_sample(sample, spot, PointAttackConfig())
    assert [len(cloud) for cloud in newest.clouds] == [1, 2]
    both = attacked_sample(sample, spot, PointAttackConfig(past=True))
    assert both.clouds[0][1].tolist() == [4, 2, 1] and both.clouds[1][1].tolist() == [3, 2, 1]
    with pytest.raises(PerceptionError, match="no placement"):
        attacked_sample(two_sweeps("b"), spot, PointAttackConfig())


# --- the shipped networks ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def target() -> LidarBevTarget:
    return LidarBevTarget(CONFIG, "ppn_tiny_sim.safetensors")


@pytest.fixture(scope="module")
def samples(target) -> list[PointSample]:
    sweeps = [sweep_of(tiny_data.frame(0, index)) for index in range(12)]
    return moments(sweeps, target.settings, 4, "tiny")


def test_truth_and_scores_of_a_clean_sample(target, samples):
    assert isinstance(target, PointAttackTarget) and len(samples) == 2 - 1
    [sample] = samples
    assert [row["label"] for row in target.instances(sample)] == ["vehicle"]
    classes = target._classes(sample)
    perfect = {"predicted_classes": classes}
    assert target.instance_scores(perfect, sample).tolist() == [1.0]
    half = np.where(np.arange(classes.size).reshape(classes.shape) % 2, classes, 0)
    known = (classes == VEHICLE) & (sample.truth.objects == 0)
    expected = (half[known] == VEHICLE).mean()
    assert target.instance_scores({"predicted_classes": half}, sample) == pytest.approx([expected])
    assert target.task_metric([perfect], [sample])["ground_lost"] == 0
    added = sample.changed(sample.clouds, np.array([[20.0, 0, 1], [1e6, 0, 1]]))
    assert (target._classes(added) != classes).sum() <= 1


def test_gains_are_the_slope_of_the_loss(target, samples):
    places = PointAttackConfig().places()
    gains = target.point_gains(samples[0], places, "appear", past=False)
    assert gains.shape == (len(places),) and np.isfinite(gains).all() and gains.max() > 0
    best = PointAttackConfig(points=1).returns(places[gains.argmax()])
    shown = attacked_sample(samples[0], {"": best}, PointAttackConfig())
    assert target.loss([shown], "appear") < target.loss(samples, "appear")
    assert target.point_gains(samples[0], np.array([[500.0, 0, 1], [5, 0, 50]]), "hide", past=False).tolist() == [0, 0]


@pytest.mark.parametrize("kind", ["cells", "board"])
def test_attacks_lower_the_loss_and_leave_the_victim_alone(target, samples, kind):
    before = fingerprint(target.module)
    config = PointAttackConfig(kind=kind, steps=4, cells=8, region=(6.0, -6.0, 20.0, 6.0), batch=1, past=True)
    crafted = craft_points(target, samples, config)
    assert fingerprint(target.module) == before and not target.module.training
    assert crafted.losses[-1] < crafted.losses[0] or kind == "board", "a gradient finds something, four poses need not"
    assert list(crafted.losses) == sorted(crafted.losses, reverse=True) and crafted.queries >= len(crafted.losses)
    value = crafted.placement[""]
    assert (len(value) <= 16) if kind == "cells" else (value.shape == (3,))
    again = craft_points(target, samples, config)
    assert np.array_equal(again.placement[""], value)


def test_placements_are_evaluated_and_stored(target, samples, tmp_path: Path):
    config = PointAttackConfig(kind="board", steps=1)
    crafted = craft_points(target, samples, config)
    folder = save_placement(tmp_path / "p", crafted, config, {"data": 1})
    placement, loaded, header = load_placement(folder)
    assert loaded == config and header["data"] == 1 and np.allclose(placement[""], crafted.placement[""])
    found = evaluate_points(target, samples, {"seed 0": placement}, config)
    content = write_report(tmp_path / "r", found, {})
    assert set(content["conditions"]) == {"grey", "random", "seed 0"}
    # the first pose tried is the grey control's
    grey, first = (content["conditions"][name]["metric"] for name in ("grey", "seed 0"))
    assert grey == pytest.approx(first, nan_ok=True)
    stored = json.loads((tmp_path / "r" / "report.json").read_text(), parse_constant=pytest.fail)
    assert stored["metric_clean"]["IoU@1s"] is None, "no sweep a second later"
    assert "distance_m" in summary(found)["conditions"]["grey"]["by"]
    (folder / "placement.json").write_text(json.dumps({**header, "placement": {"": [[1]]}}))
    with pytest.raises(InputError, match="a placement"):
        load_placement(folder)


def test_what_appears_among_points_has_no_rate_but_a_metric(target, samples, tmp_path: Path):
    """A vehicle that is lost is no success of `appear`, so nothing is counted as one."""
    config = PointAttackConfig(goal="appear", cells=2)
    placement = {"": config.returns(config.places()[:2])}
    content = write_report(tmp_path, evaluate_points(target, samples, {"seed 0": placement}, config), {})
    assert content["instances"] == 0 and not content["valid"]
    for condition in content["conditions"].values():
        assert condition["asr"]["value"] is None and condition["asr"]["n"] == 0
        assert 0 <= condition["metric"]["ground_lost"] <= 1


# --- errors before work starts ----------------------------------------------------------------------------------------


def test_faults_of_the_lidar_stand_beside_the_attack(target, samples):
    table = corruption_table(target, samples, ["lidar_dropout", "lidar_lag"], [5], threshold=0.1)
    assert [row["kind"] for row in table] == ["clean", "lidar_dropout", "lidar_lag"]
    assert table[0]["lost"]["value"] in (0, None) and table[1]["metric"] != table[0]["metric"]
    with pytest.raises(UnknownNameError, match="fault of sweeps"):
        corruption_table(target, samples, ["fog"], [5])


def test_wrong_point_attacks_are_refused(target, samples):
    for keywords in ({"kind": "laser"}, {"scope": "each"}):
        with pytest.raises(UnknownNameError):
            PointAttackConfig(**keywords)
    for keywords in ({"cells": 0}, {"region": (1, 0, 0, 1)}, {"size_m": (0, 1)}):
        with pytest.raises(PerceptionError, match="point attack"):
            PointAttackConfig(**keywords)
    with pytest.raises(PerceptionError, match="at least 20 places"):
        PointAttackConfig(region=(0, 0, 1, 1)).places()
    with pytest.raises(PerceptionError, match=r"'count_up'.*supported: hide, appear"):
        craft_points(target, samples, PointAttackConfig(goal="count_up"))
    with pytest.raises(PerceptionError, match="at least one sample"):
        craft_points(target, [], PointAttackConfig())
    blind = type("Blind", (), {"goals": ("hide",), "differentiable": False})()
    with pytest.raises(PerceptionError, match=r"needs a gradient.*use 'board'"):
        craft_points(blind, samples, PointAttackConfig())
    with pytest.raises(UnknownNameError):
        control_placement("blue", samples, PointAttackConfig())
    with pytest.raises(PerceptionError, match="one of each"):
        PointSample("x", (np.zeros((1, 3)),), (), (), ())
    with pytest.raises(PerceptionError, match=r"expected \(N, 3\)"):
        PointSample("x", (np.zeros((1, 4)),), (np.eye(4),), (np.zeros(3),), (0,))


def test_controls_use_the_same_budget():
    config = PointAttackConfig(cells=5, points=3)
    samples = [two_sweeps()]
    grey, random = (control_placement(kind, samples, config)[""] for kind in ("grey", "random"))
    assert grey.shape == random.shape == (15, 3)
    assert len(np.unique(random[:, :2], axis=0)) == 5
    assert sorted(set(grey[:, 2].tolist())) == [0.5, 1.0, 1.5]
    each = PointAttackConfig(scope="per_instance")
    assert list(control_placement("random", samples, each)) == ["a"]
    assert torch.is_grad_enabled()
