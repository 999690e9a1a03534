"""How much of the time training waits for data."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from perception.registry import HOOKS


@HOOKS.register_module()
class DataWait(Hook):
    """Log the share of each epoch spent waiting for batches as ``train/data_wait``, and warn when it is large.

    Reads the times of mmengine's ``IterTimerHook``.

    Args:
        limit: Warn above this share.
        warmup: Iterations of a run that do not count: workers start, kernels compile.
        least: Iterations an epoch needs before a warning makes sense.
    """

    priority = "BELOW_NORMAL"

    def __init__(self, limit: float = 0.3, warmup: int = 3, least: int = 10) -> None:
        self.limit, self.warmup, self.least = limit, warmup, least
        self._seen = 0
        self._start_epoch()

    def before_train_epoch(self, runner: Any) -> None:
        """Begin a new sum."""
        self._start_epoch()

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Add the times of one iteration."""
        self._seen += 1
        if self._seen <= self.warmup:
            return
        hub = runner.message_hub
        self._waited += hub.get_scalar("train/data_time").current()
        self._total += hub.get_scalar("train/time").current()
        self._count += 1
        hub.update_scalar("train/data_wait", self.share)

    def after_train_epoch(self, runner: Any) -> None:
        """Warn once per epoch."""
        if self._count >= self.least and self.share > self.limit:
            runner.logger.warning(
                f"{self.share:.0%} of this epoch was spent waiting for data: raise train_dataloader.num_workers, "
                "keep smaller images on disk or in memory, or make the augmentation cheaper"
            )

    @property
    def share(self) -> float:
        """Share of the current epoch, 0..1."""
        return self._waited / self._total if self._total > 0 else 0.0

    def _start_epoch(self) -> None:
        self._waited = self._total = 0.0
        self._count = 0
