"""A progress bar for trainings in a terminal: what is left, and how much of the time goes into waiting for data."""

from __future__ import annotations

import sys
from typing import Any

from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from perception.registry import HOOKS

__all__ = ["ProgressBar"]


@HOOKS.register_module()
class ProgressBar(Hook):
    """Show iterations, time left, loss and the share of waiting; silent where no terminal is looking.

    Args:
        console: Where to draw; standard error when None, if that is a terminal.
    """

    priority = "VERY_LOW"

    def __init__(self, console: Console | None = None) -> None:
        self.console = console if console is not None else Console(file=sys.stderr)
        self._progress: Progress | None = None

    def before_train(self, runner: Any) -> None:
        """Open the bar at the iteration where a resumed run goes on."""
        if runner.rank != 0 or not self.console.is_terminal:
            return
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("loss {task.fields[loss]:.4g}  waiting {task.fields[wait]:.0%}"),
            console=self.console,
        )
        self._progress.start()
        fields = {"epoch": runner.epoch + 1, "loss": float("nan"), "wait": 0.0}
        self._task = self._progress.add_task("train", total=runner.max_iters, completed=runner.iter, **fields)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Advance."""
        if self._progress is None:
            return
        scalars = runner.message_hub.log_scalars
        loss = float((outputs or {}).get("loss", float("nan")))
        wait = scalars["train/data_wait"].current() if "train/data_wait" in scalars else 0.0
        self._progress.update(
            self._task, completed=runner.iter + 1, epoch=runner.epoch + 1, loss=loss, wait=float(wait)
        )

    def after_train(self, runner: Any) -> None:
        """Close the bar."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
