"""An interrupted and resumed training of the tiny lane model equals one that ran through."""

from __future__ import annotations

import csv
import uuid
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from perception.engine.config import apply_options, load_config
from perception.engine.train import TrainOptions, prepare, run_training
from perception.plugins.lane_detection.tiny_data import write
from perception.registry import HOOKS

EPOCHS = 3


class Interrupted(Exception):
    """Stands for the end of the process."""


@HOOKS.register_module()
class StopAt(Hook):
    """Raises just before the training step of one iteration."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == self.iteration:
            raise Interrupted


@pytest.fixture(scope="module", autouse=True)
def _plain_configs():
    """Leaves the text of configs as it is: formatting it for every checkpoint would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yapf.yapflib.yapf_api.FormatCode", lambda text, **_: (text, False))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(folder / "lanes_sim", load_config("lane_detection/ganet_tiny_sim.py"))
    return folder


def run(folder: Path, stop: int | None, resume: bool, by_epoch: bool, workers: int = 0, iterations: int = 0):
    config = load_config("lane_detection/ganet_tiny_sim.py")
    apply_options(config, config.tiny_overrides)
    config.train_cfg.max_epochs, config.train_cfg.val_interval = EPOCHS, 2
    config.train_dataloader.num_workers = workers
    if iterations:
        config.train_cfg = {"by_epoch": False, "max_iters": iterations, "val_interval": 4}
    config.param_scheduler[0].end = 4
    config.param_scheduler[1].T_max = config.param_scheduler[1].end = EPOCHS
    config.default_hooks.checkpoint = {"type": "Checkpoints", "interval": 1 if by_epoch else 2, "by_epoch": by_epoch}
    config.custom_hooks[0].gamma = 2
    config.custom_hooks.append({"type": "RunFolder", "interval": 1})
    config.experiment_name = uuid.uuid4().hex
    if stop is not None:
        config.custom_hooks.append({"type": "StopAt", "iteration": stop})
    options = TrainOptions(work_dir=folder, resume=resume, scale_lr=False, trackers=())
    return run_training(prepare(config, options))


def final_state(folder: Path) -> dict:
    return torch.load(max(folder.glob("*_*.pth"), key=lambda path: int(path.stem.split("_")[1])), weights_only=False)


def losses(folder: Path) -> list:
    with open(folder / "metrics.csv") as file:
        return [row for row in csv.reader(file) if row[3] not in ("data_wait",)]


def assert_equal(one, other, path: str = "") -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_equal(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), path
        for index, (a, b) in enumerate(zip(one, other)):
            assert_equal(a, b, f"{path}/{index}")
    else:
        assert one == other, path


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory) -> dict[bool, Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERCEPTION_DATA", str(data))
        folders = {}
        for by_epoch in (False, True):
            folders[by_epoch] = tmp_path_factory.mktemp("whole")
            run(folders[by_epoch], None, False, by_epoch)
    return folders


@pytest.mark.parametrize(
    ("stops", "by_epoch", "workers"),
    [([4, 5, 7], True, 0), ([3, 5], False, 0), ([6], False, 0), ([5], False, 2)],
    ids=["epochs", "within-epochs", "at-the-end-of-an-epoch", "other-number-of-workers"],
)
def test_resumed_equals_uninterrupted(uninterrupted, data, tmp_path, monkeypatch, stops, by_epoch, workers):
    monkeypatch.setenv("PERCEPTION_DATA", str(data))
    for number, stop in enumerate(stops):
        with pytest.raises(Interrupted):
            run(tmp_path, stop, number > 0, by_epoch, workers)
    runner = run(tmp_path, None, True, by_epoch, workers)
    assert runner.iter == EPOCHS * 3
    whole = uninterrupted[by_epoch]
    ours, expected = final_state(tmp_path), final_state(whole)
    for part in ("state_dict", "ema_state_dict", "optimizer", "param_schedulers"):
        assert_equal(ours[part], expected[part], part)
    assert losses(tmp_path) == losses(whole)
    assert len(losses(whole)) > 9 * 5


def test_iterations_resumed_equal_uninterrupted(data, tmp_path, monkeypatch):
    """Training by iteration, stopped within a pass over the data, at its end, and where a validation was due."""
    monkeypatch.setenv("PERCEPTION_DATA", str(data))
    run(tmp_path / "whole", None, False, False, iterations=9)
    for stop in (3, 6, 8):
        with pytest.raises(Interrupted):
            run(tmp_path / "parts", stop, True, False, iterations=9)
    run(tmp_path / "parts", None, True, False, iterations=9)
    for part in ("state_dict", "optimizer", "ema_state_dict", "param_schedulers"):
        assert_equal(final_state(tmp_path / "whole")[part], final_state(tmp_path / "parts")[part], part)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
