"""Checkpoints that survive a kill at any moment."""

from __future__ import annotations

import logging
import re
import zipfile
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper

from perception.engine.atomic import write_text
from perception.engine.checkpoint import save_weights
from perception.engine.scores import is_better, monitored
from perception.registry import HOOKS

__all__ = ["MARKER", "Checkpoints", "newest_checkpoint"]

MARKER = "last_checkpoint"
_NAME = re.compile(r"(epoch|iter)_(\d+)\.pth")
_ATOMIC = {"backend": "atomic"}


def newest_checkpoint(folder: str | Path) -> Path | None:
    """The newest complete checkpoint of a run folder, whatever its ``last_checkpoint`` says; None when there is none.

    Files whose checksums do not match are reported and passed over.
    """
    files = [path for path in Path(folder).glob("*.pth") if _NAME.fullmatch(path.name)]
    for path in sorted(files, key=lambda file: file.stat().st_mtime_ns, reverse=True):
        if _is_complete(path):
            return path
        print_log(f"{path} is damaged; looking for an older checkpoint", "current", logging.WARNING)
    return None


@HOOKS.register_module()
class Checkpoints(Hook):
    """Save every so often, keep the newest few and the best; nothing old is deleted before the new is on disk.

    Args:
        interval: Epochs, or iterations, between checkpoints; the last one of a run is always saved.
        by_epoch: Unit of `interval`.
        max_keep_ckpts: How many to keep beside the best; -1 keeps all.
        save_best: Validation metric to keep the best weights by; ``"auto"`` takes the first; None keeps no best.
        rule: ``"greater"`` or ``"less"`` is better.
    """

    priority = "VERY_LOW"

    def __init__(
        self,
        interval: int = 1,
        by_epoch: bool = True,
        max_keep_ckpts: int = -1,
        save_best: str | None = "auto",
        rule: str = "greater",
    ) -> None:
        self.interval, self.by_epoch, self.max_keep = interval, by_epoch, max_keep_ckpts
        self.save_best, self.rule = save_best, rule
        self._last: tuple[str, int] | None = None

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Save every `interval` iterations."""
        done = runner.iter + 1
        if not self.by_epoch and (done % self.interval == 0 or done == runner.max_iters):
            self._save(runner, f"iter_{done}.pth", epoch=runner.epoch, iteration=done)

    def after_train_epoch(self, runner: Any) -> None:
        """Save every `interval` epochs."""
        done = runner.epoch + 1
        if self.by_epoch and (done % self.interval == 0 or done == runner.max_epochs):
            self._save(runner, f"epoch_{done}.pth", epoch=done, iteration=runner.iter)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Keep the weights when they are the best so far (the averaged ones when there are any).

        The last checkpoint is written again, so that it knows about this validation.
        """
        runner.message_hub.update_info("scored_iteration", runner.iter)
        if self.save_best is not None and metrics:
            self._keep_best(runner, metrics)
        if self._last is not None and self._last[1] == runner.iter:
            self._save(runner, self._last[0], epoch=runner.epoch, iteration=runner.iter)

    def _keep_best(self, runner: Any, metrics: dict[str, float]) -> None:
        name, value = monitored(metrics, str(self.save_best))
        info = runner.message_hub.runtime_info
        if not is_better(value, info.get("best_score"), self.rule):
            return
        runner.message_hub.update_info("best_score", float(value))
        if is_main_process():
            model = runner.model.module if is_model_wrapper(runner.model) else runner.model
            checkpoint = {"state_dict": dict(model.state_dict())}
            runner.call_hook("before_save_checkpoint", checkpoint=checkpoint)  # the averaged weights take their place
            meta = {"epoch": runner.epoch, "iterations": runner.iter, name: float(value)}
            save_weights(Path(runner.work_dir) / "best.safetensors", checkpoint["state_dict"], meta)
        runner.logger.info(f"best {name} so far: {value:.4f}, saved as best.safetensors")

    def _save(self, runner: Any, name: str, epoch: int, iteration: int) -> None:
        meta = {"epoch": epoch, "iter": iteration}
        self._last = (name, iteration)
        runner.logger.info(f"saving {name}")
        runner.save_checkpoint(runner.work_dir, name, meta=meta, by_epoch=self.by_epoch, backend_args=_ATOMIC)
        if is_main_process():
            folder = Path(runner.work_dir)
            write_text(folder / MARKER, str(folder / name))
            self._delete_old(folder, keep=name)

    def _delete_old(self, folder: Path, keep: str) -> None:
        kind = _NAME.fullmatch(keep).group(1)  # type: ignore[union-attr]
        files = {
            path: int(path.stem.split("_")[1]) for path in folder.glob(f"{kind}_*.pth") if _NAME.fullmatch(path.name)
        }
        newest = files.pop(folder / keep)
        older = sorted((path for path in files if files[path] < newest), key=files.__getitem__)
        if self.max_keep > 0:
            for path in older[: max(0, len(older) + 1 - self.max_keep)]:
                path.unlink(missing_ok=True)
        for path in folder.glob(f".{kind}_*.pth.*.tmp"):  # left by a run that was killed while it wrote
            path.unlink(missing_ok=True)


def _is_complete(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False
