"""Batch norm that stops following the batches."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from torch.nn.modules.batchnorm import _BatchNorm

from perception.errors import PerceptionError
from perception.registry import HOOKS

__all__ = ["FreezeNorm"]


@HOOKS.register_module()
class FreezeNorm(Hook):
    """Keep batch norm at its running statistics from a share of the training on; its factors go on learning.

    The statistics of few small crops differ from those of whole pictures. A network that ends its training on the
    crops' own statistics is another function than the one that is tested; this lets the last steps train that one.

    Args:
        after: Share of the steps, within [0, 1], that batch norm follows the batches; 0 freezes it from the start.

    Raises:
        PerceptionError: A share out of range.
    """

    def __init__(self, after: float) -> None:
        if not 0 <= after <= 1:
            raise PerceptionError(f"FreezeNorm: after: expected a share within [0, 1], found {after!r}")
        self.after = after

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Freeze every batch norm that trains; loops put the whole model into training after each validation."""
        if runner.iter < self.after * runner.max_iters:
            return
        for module in runner.model.modules():
            if isinstance(module, _BatchNorm) and module.training:
                module.eval()
