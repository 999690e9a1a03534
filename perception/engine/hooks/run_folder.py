"""A run folder that tells everything about its run."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook

from perception.engine.atomic import write_text
from perception.engine.curves import Curves
from perception.engine.run_info import data_hashes, environment, git_state
from perception.registry import HOOKS


@HOOKS.register_module()
class RunFolder(Hook):
    """Write ``config.py``, ``run.json``, ``metrics.csv``, ``metrics.json`` and ``curves.png`` into the run folder.

    ``run.json`` holds one entry per start of the run (the first and every resume).

    Args:
        interval: Iterations that one point of the training curves is the mean of.
    """

    priority = "LOW"

    def __init__(self, interval: int = 20) -> None:
        self.interval = interval
        self._sums: dict[str, list[Any]] = {}

    def before_train(self, runner: Any) -> None:
        """Describe the run and take over the curves of an interrupted one."""
        self._curves = Curves(runner.work_dir)
        if runner.iter:
            self._curves.load(until=runner.iter)
        if runner.rank == 0:
            _describe(runner)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Collect the losses; values stay on their device until a point is made of them."""
        for name, value in (outputs or {}).items():
            self._sums.setdefault(name, []).append(value.detach() if isinstance(value, torch.Tensor) else value)
        if (runner.iter + 1) % self.interval == 0:
            self._add_point(runner)

    def after_train_epoch(self, runner: Any) -> None:
        """Write the curves."""
        if self._sums:
            self._add_point(runner, done=runner.iter)
        self._write(runner)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Write the curves, so that a run resumed from this checkpoint finds all that led to it."""
        if hasattr(self, "_curves"):
            self._write(runner)

    def after_val_epoch(self, runner: Any, metrics: Mapping[str, float] | None = None) -> None:
        """Add validation scores, write everything, draw the curves."""
        if not hasattr(self, "_curves"):
            return  # validation alone
        self._curves.add(runner.iter, runner.epoch, "val", metrics or {})
        self._write(runner)
        if runner.rank == 0:
            self._curves.draw()

    def after_train(self, runner: Any) -> None:
        """Draw the final curves."""
        self._write(runner)
        if runner.rank == 0:
            self._curves.draw()

    def _add_point(self, runner: Any, done: int | None = None) -> None:
        means = {name: sum(float(value) for value in values) / len(values) for name, values in self._sums.items()}
        self._sums = {}
        means["lr"] = float(runner.optim_wrapper.get_lr()["lr"][0])
        hub = runner.message_hub
        for name in ("data_wait", "skipped_steps", "grad_norm"):
            if f"train/{name}" in hub.log_scalars:
                means[name] = float(hub.get_scalar(f"train/{name}").current())
        self._curves.add(runner.iter + 1 if done is None else done, runner.epoch, "train", means)

    def _write(self, runner: Any) -> None:
        if runner.rank == 0:
            self._curves.write()


def _describe(runner: Any) -> None:
    folder = Path(runner.work_dir)
    write_text(folder / "config.py", runner.cfg.pretty_text)
    path = folder / "run.json"
    starts = json.loads(path.read_text())["starts"] if path.is_file() and runner.iter else []
    start = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "from_iteration": runner.iter,
        "seed": runner.seed,
        "world_size": runner.world_size,
        "git": git_state(),
        "environment": environment(),
        "data": data_hashes(runner.cfg),
    }
    write_text(path, json.dumps({"starts": [*starts, start]}, indent=1))
