"""Training can fit: eight pictures are learnt to F1 1.0 (a few minutes).

The seeds are such that no two lanes begin within the radius of the decoder, which takes such lanes for one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from perception.engine.config import apply_options, load_config
from perception.engine.train import TrainOptions, prepare, run_training
from perception.sim.writers.culane import write_culane

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_eight_pictures_are_learnt_by_heart(tmp_path: Path):
    for _ in write_culane(tmp_path / "data", scenes=10, frames=1, seed=70, preset="day", size=(480, 270)):
        pass
    config = load_config("lane_detection/ganet_tiny_sim.py")
    apply_options(
        config,
        {
            "train_dataloader.dataset.data_root": str(tmp_path / "data"),
            "train_dataloader.dataset.pipeline": config.test_pipeline,
            "train_dataloader.batch_size": 8,
            "train_dataloader.num_workers": 0,
            "train_dataloader.persistent_workers": False,
            "val_dataloader.dataset.data_root": str(tmp_path / "data"),
            "val_dataloader.dataset.list_file": "list/train.txt",
            "train_cfg.max_epochs": 160,
            "train_cfg.val_interval": 20,
            "custom_hooks": [],
            "base_batch_size": 8,
            "model.decode.points_thr": 2,  # some lanes are four rows long
            "param_scheduler": [
                {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "begin": 0, "end": 20},
                {"type": "CosineAnnealingLR", "eta_min": 1e-5, "T_max": 160, "end": 160, "by_epoch": True},
            ],
        },
    )
    run_training(prepare(config, TrainOptions(work_dir=tmp_path / "run", trackers=())))
    rows = (tmp_path / "run/metrics.csv").read_text().splitlines()
    scores = [float(row.split(",")[4]) for row in rows if ",val,lane/F1," in row]
    assert max(scores) == 1.0, scores
