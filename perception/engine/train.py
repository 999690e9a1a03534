"""Training and evaluation through mmengine's Runner; no plugin owns a loop."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from perception.engine.checkpoint import file_sha256, load_state, load_weights, save_weights
from perception.errors import PerceptionError
from perception.version import __version__

__all__ = ["TrainOptions", "evaluate", "export_weights", "prepare", "train"]


@dataclass(frozen=True)
class TrainOptions:
    """What the command line adds to a config.

    Attributes:
        work_dir: Run folder; ``work_dirs/<config name>`` when None.
        resume: Continue from the newest checkpoint of the run folder.
        launcher: ``none``, ``pytorch`` or ``slurm`` (mmengine's distributed launchers).
        seed: Overrides the config's seed.
        threads: Intra-op threads of torch; None leaves torch's choice.
        scale_lr: Scale the learning rate linearly with the effective batch.
    """

    work_dir: Path | None = None
    resume: bool = False
    launcher: str = "none"
    seed: int | None = None
    threads: int | None = None
    scale_lr: bool = True


def prepare(config: Config, options: TrainOptions) -> Config:
    """Fill in what a Runner needs; returns a changed copy.

    Raises:
        PerceptionError: The config lacks a key that training needs.
    """
    config = Config(config.to_dict(), filename=config.filename)
    missing = [key for key in ("model", "train_dataloader", "optim_wrapper", "base_batch_size") if key not in config]
    if missing:
        raise PerceptionError(f"{config.filename}: not a training config: missing {', '.join(missing)}")
    name = Path(str(config.filename or "config")).stem
    config.work_dir = str(options.work_dir or Path("work_dirs") / name)
    config.launcher, config.resume = options.launcher, options.resume
    config.setdefault("default_scope", "perception")
    if options.seed is not None:
        config.randomness = dict(config.get("randomness") or {}, seed=options.seed)
    if options.scale_lr:
        _scale_learning_rate(config)
    return config


def train(config: Config, options: TrainOptions | None = None) -> Path:
    """Train, and leave ``weights.safetensors`` (the final, averaged weights when EMA is on) in the run folder.

    Returns:
        Path of the weights.
    """
    options = options or TrainOptions()
    if options.threads:
        torch.set_num_threads(options.threads)
    config = prepare(config, options)
    runner = Runner.from_cfg(config)
    runner.train()
    target = Path(config.work_dir) / "weights.safetensors"
    return export_weights(runner, target, config) if runner.rank == 0 else target


def evaluate(config: Config, weights: str | Path, options: TrainOptions | None = None) -> dict[str, float]:
    """Score weights on the config's test data (its validation data when it has no test data)."""
    options = options or TrainOptions()
    config = prepare(config, options)
    for part in ("dataloader", "evaluator", "cfg"):
        if config.get(f"test_{part}") is None:
            if config.get(f"val_{part}") is None:
                raise PerceptionError(f"{config.filename}: neither test_{part} nor val_{part} is set")
            config[f"test_{part}"] = config[f"val_{part}"] if part != "cfg" else {}
    for key in ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler"):
        config[key] = None
    for key in ("val_dataloader", "val_cfg", "val_evaluator"):
        config[key] = None
    config.custom_hooks = [hook for hook in config.get("custom_hooks") or [] if hook["type"] != "EMAHook"]
    runner = Runner.from_cfg(config)
    load_weights(runner.model, weights)
    return {key: float(value) for key, value in runner.test().items()}


def export_weights(runner: Runner, path: Path, config: Config) -> Path:
    """Write the weights a run ended with as fp16 safetensors that say how they came about."""
    checkpoint = _last_checkpoint(Path(runner.work_dir))
    state = load_state(checkpoint, trust=True) if checkpoint else runner.model.state_dict()
    meta = {
        "config": Path(str(config.filename or "")).name,
        "epochs": runner.epoch,
        "iterations": runner.iter,
        "seed": runner.seed,
        "trained_on": str(config.get("trained_on", "unknown")),
        "version": __version__,
        "torch": torch.__version__,
    }
    save_weights(path, state, meta, half=True)
    summary = {**meta, "sha256": file_sha256(path)}
    path.with_suffix(".json").write_text(json.dumps(summary, indent=1))
    return path


def _last_checkpoint(folder: Path) -> Path | None:
    marker = folder / "last_checkpoint"
    if not marker.is_file():
        return None
    path = Path(marker.read_text().strip())
    return path if path.is_file() else folder / path.name


def _scale_learning_rate(config: Config) -> None:
    batch = int(config.train_dataloader.batch_size)
    batch *= int(config.optim_wrapper.get("accumulative_counts", 1)) * _world_size(config.launcher)
    factor = batch / int(config.base_batch_size)
    optimizer: Mapping[str, Any] = config.optim_wrapper.optimizer
    if not math.isclose(factor, 1.0):
        config.optim_wrapper.optimizer.lr = optimizer["lr"] * factor
    print(f"batch {batch} (base {config.base_batch_size}), learning rate {optimizer['lr']:.3g}", flush=True)


def _world_size(launcher: str) -> int:
    if launcher == "none":
        return 1
    return int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or 1)
