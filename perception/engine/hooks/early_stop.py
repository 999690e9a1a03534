"""Stopping when validation no longer improves."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from perception.engine.scores import is_better, monitored
from perception.registry import HOOKS


@HOOKS.register_module()
class EarlyStop(Hook):
    """Stop after `patience` validations without improvement; a resumed run goes on counting.

    Args:
        monitor: Validation metric; ``"auto"`` takes the first.
        patience: Validations to wait.
        margin: How much better counts as better.
        rule: ``"greater"`` or ``"less"`` is better.
    """

    priority = "LOW"

    def __init__(self, monitor: str = "auto", patience: int = 5, margin: float = 0.0, rule: str = "greater") -> None:
        self.monitor, self.patience, self.margin, self.rule = monitor, patience, margin, rule

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Compare, count, and end the training loop when the patience is used up."""
        if not metrics or not hasattr(runner.train_loop, "stop_training"):
            return
        name, value = monitored(metrics, self.monitor)
        waited, best = runner.message_hub.runtime_info.get("early_stop", (0, None))
        waited, best = (0, value) if is_better(value, best, self.rule, self.margin) else (waited + 1, best)
        runner.message_hub.update_info("early_stop", (waited, best))
        if waited >= self.patience:
            runner.logger.info(f"{name} has not improved for {waited} validations (best: {best}); stopping")
            runner.train_loop.stop_training = True
