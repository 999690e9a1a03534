"""GANet in two gloo processes does what one process does with the double batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from perception.engine.config import apply_options, load_config
from perception.engine.hooks import newest_checkpoint
from perception.engine.train import TrainOptions, prepare, run_training
from perception.plugins.lane_detection import tiny_data
from perception.registry import HOOKS


@HOOKS.register_module()
class FrozenNorm(Hook):
    """Keeps every batch norm in evaluation mode: its statistics would differ between half and whole batches."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for module in runner.model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()


def config(root: Path, batch: int) -> Config:
    """The shrunken tiny model on eight drawn roads, two of them without lanes, without augmentation."""
    config = load_config("lane_detection/ganet_tiny_sim.py")
    apply_options(config, config.tiny_overrides)
    changes = {
        "train_dataloader.dataset.data_root": str(root),
        "train_dataloader.dataset.cache_size": None,
        "train_dataloader.batch_size": batch,
        "train_cfg.max_epochs": 2,
        "custom_hooks": [{"type": "FrozenNorm"}],
        "base_batch_size": 4,
        "param_scheduler": [],
        "optim_wrapper.optimizer": {"type": "SGD", "lr": 1e-2, "momentum": 0.9},
    }
    apply_options(config, {key: value for key, value in changes.items() if "pipeline" not in key})
    config.train_dataloader.dataset.pipeline = [
        {"type": "LaneCrop", "box": config.view},
        {"type": "LaneResize", "size": (160, 64), "interpolation": "area", "half_pixel": True},
        config.normalize,
        {"type": "PackLanes"},
    ]
    config.val_dataloader = config.val_evaluator = config.val_cfg = None
    return config


@pytest.mark.filterwarnings("ignore")
def test_two_processes_equal_one_with_the_double_batch(tmp_path: Path, in_processes):
    root = tmp_path / "data"
    tiny_data.write(root, load_config("lane_detection/ganet_tiny_sim.py"), count=8)

    def train(folder: str, batch: int, launcher: str = "none"):
        options = TrainOptions(work_dir=tmp_path / folder, launcher=launcher, trackers=(), seed=1)
        return run_training(prepare(config(root, batch), options))

    single = train("one", 4)
    in_processes(2, lambda: train("two", 2, "pytorch"))
    double = torch.load(newest_checkpoint(tmp_path / "two"), weights_only=False)
    assert double["meta"]["iter"] == single.iter == 4
    moved = 0
    for key, value in single.model.state_dict().items():
        torch.testing.assert_close(double["state_dict"][key], value, rtol=1e-5, atol=1e-6, msg=key)
        moved += value.numel()
    assert moved > 1000
