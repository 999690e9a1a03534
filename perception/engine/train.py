"""Training and evaluation through mmengine's Runner; no plugin owns a loop."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings

from perception.engine.checkpoint import file_sha256, load_state, save_weights
from perception.engine.defaults import apply_engine, check_keys, explain_build_errors, refuse_held_out, resolve_data
from perception.engine.distributed import join_group, world_size
from perception.engine.hooks.checkpoints import MARKER, newest_checkpoint
from perception.version import __version__

__all__ = ["TrainOptions", "common", "export_weights", "prepare", "run_training", "train"]


@dataclass(frozen=True)
class TrainOptions:
    """What the command line adds to a config.

    Attributes:
        work_dir: Run folder; ``work_dirs/<config name>`` when None.
        resume: Continue from the newest readable checkpoint of the run folder; begins anew when there is none.
        launcher: ``none``, ``pytorch`` or ``slurm`` (see `perception.engine.distributed`).
        seed: Overrides the config's seed.
        threads: Intra-op threads of torch; None leaves torch's choice.
        scale_lr: Scale the learning rate linearly with the effective batch.
        amp: ``bf16`` (CPU and CUDA) or ``fp16`` (CUDA); None trains in full precision.
        trackers: Where curves go beside the run folder: ``tensorboard``, ``wandb``, ``mlflow``.
        deterministic: Refuse operations that give different results from run to run.
    """

    work_dir: Path | None = None
    resume: bool = False
    launcher: str = "none"
    seed: int | None = None
    threads: int | None = None
    scale_lr: bool = True
    amp: str | None = None
    trackers: tuple[str, ...] = ("tensorboard",)
    deterministic: bool = False


def prepare(config: Config, options: TrainOptions) -> Config:
    """Fill in what a Runner needs for training; returns a changed copy.

    Raises:
        PerceptionError: A key is missing or misspelt, or the data is not there.
    """
    config = common(config, options)
    check_keys(config, ("model", "train_dataloader", "train_cfg", "optim_wrapper", "base_batch_size"))
    resolve_data(config, ("train", "val"))
    refuse_held_out(config)
    apply_engine(config, options.amp, options.trackers)
    if options.resume:
        newest = newest_checkpoint(config.work_dir)
        config.resume, config.load_from = newest is not None, None if newest is None else str(newest)
        print(f"resuming from {newest}" if newest else f"{config.work_dir}: no checkpoint to resume; starting anew")
    if options.scale_lr:
        _scale_learning_rate(config)
    return config


def train(config: Config, options: TrainOptions | None = None) -> Path:
    """Train, and leave ``weights.safetensors`` (the final, averaged weights when EMA is on) in the run folder.

    Returns:
        Path of the weights.

    Raises:
        PerceptionError: The config, the data, memory or the losses are at fault; says what to do.
    """
    options = options or TrainOptions()
    if options.threads:
        torch.set_num_threads(options.threads)
    runner = run_training(prepare(config, options))
    target = Path(runner.work_dir) / "weights.safetensors"
    return export_weights(runner, target, runner.cfg) if runner.rank == 0 else target


def run_training(config: Config) -> Runner:
    """Train with a config that `prepare` has made; returns the runner as it ended."""
    join_group(config)
    with explain_build_errors(config):
        runner = Runner.from_cfg(config)
        runner.train()
    return runner


def common(config: Config, options: TrainOptions) -> Config:
    """A copy of a config with what the command line says about every kind of run; imports what it names."""
    config = Config(config.to_dict(), filename=config.filename)
    import_modules_from_strings(**(config.get("custom_imports") or {"imports": []}))
    name = Path(str(config.filename or "config")).stem
    config.work_dir = str(options.work_dir or Path("work_dirs") / name)
    config.launcher = options.launcher
    config.setdefault("default_scope", "perception")
    randomness = dict(config.get("randomness") or {})
    if options.seed is not None:
        randomness["seed"] = options.seed
    if options.deterministic:
        randomness["deterministic"] = True
    config.randomness = randomness
    return config


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
    marker = folder / MARKER
    if not marker.is_file():
        return None
    path = Path(marker.read_text().strip())
    return path if path.is_file() else folder / path.name


def _scale_learning_rate(config: Config) -> None:
    batch = int(config.train_dataloader.batch_size)
    batch *= int(config.optim_wrapper.get("accumulative_counts", 1)) * world_size(config.launcher)
    factor = batch / int(config.base_batch_size)
    optimizer: Mapping[str, Any] = config.optim_wrapper.optimizer
    if not math.isclose(factor, 1.0):
        config.optim_wrapper.optimizer.lr = optimizer["lr"] * factor
    print(f"batch {batch} (base {config.base_batch_size}), learning rate {optimizer['lr']:.3g}", flush=True)
