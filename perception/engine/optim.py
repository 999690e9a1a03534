"""Optimiser steps that survive a bad batch, in full precision or under bfloat16 autocast on any device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import all_reduce, get_comm_device, get_world_size
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import Tensor, nn

from perception.errors import PerceptionError

__all__ = ["GuardedOptimWrapper"]


@OPTIM_WRAPPERS.register_module()
class GuardedOptimWrapper(OptimWrapper):
    """Skips steps whose loss or gradient is not finite, counts them, and gives up after too many in a row.

    All ranks skip together. Buffers (statistics of batch norms) that such a batch spoilt get back their values from
    before it.

    Args:
        optimizer: The optimiser.
        max_skips: Give up after that many steps in a row; 0 never gives up.
        autocast: ``"bfloat16"`` runs the forward pass in mixed precision, on the CPU as well; None in full precision.
        **keywords: See mmengine's ``OptimWrapper``.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, max_skips: int = 10, autocast: str | None = None, **keywords: Any
    ) -> None:
        super().__init__(optimizer, **keywords)
        if autocast not in (None, "bfloat16"):
            raise PerceptionError(f"GuardedOptimWrapper: autocast must be bfloat16 or None, found {autocast!r}")
        self.max_skips, self.autocast = max_skips, autocast
        self.skipped = self.skipped_in_row = 0
        self._bad_loss = False
        self._buffers: list[Tensor] = []
        self._saved: list[Tensor] = []

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Context of a forward pass; remembers the buffers."""
        self._buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
        self._saved = [buffer.detach().clone() for buffer in self._buffers]
        device = next(model.parameters()).device.type
        with (
            super().optim_context(model),
            torch.autocast(device, torch.bfloat16, enabled=self.autocast is not None, cache_enabled=True),
        ):
            yield

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Back-propagate; a loss that is not finite spoils the step it belongs to."""
        self._bad_loss |= not bool(torch.isfinite(loss).all())
        super().backward(loss, **kwargs)
        self._restore_spoilt_buffers()

    def step(self, **kwargs: Any) -> None:
        """Clip and step, or skip.

        Raises:
            PerceptionError: `max_skips` steps in a row were skipped.
        """
        bad, self._bad_loss = _on_any_rank(self._bad_loss), False
        norm = torch.nn.utils.get_total_norm(self._gradients())
        if not bad and bool(torch.isfinite(norm)):
            self.skipped_in_row = 0
            super().step(**kwargs)
            return
        self.skipped += 1
        self.skipped_in_row += 1
        self.message_hub.update_scalar("train/skipped_steps", self.skipped)
        what = "loss" if bad else "gradient"
        MMLogger.get_current_instance().warning(f"step skipped: {what} is not finite ({self.skipped} so far)")
        if self.max_skips and self.skipped_in_row >= self.max_skips:
            raise PerceptionError(
                f"the {what} was not finite in {self.skipped_in_row} steps in a row; training stopped. Try a lower "
                "optim_wrapper.optimizer.lr, a smaller optim_wrapper.clip_grad.max_norm, training without --amp, "
                "and check the data; the last checkpoint holds finite weights"
            )

    def state_dict(self) -> dict:
        """State of the optimiser and the count of skipped steps."""
        return {**super().state_dict(), "skipped": self.skipped}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over what `state_dict` gave; checkpoints of other wrappers have no count."""
        state_dict = dict(state_dict)
        self.skipped = int(state_dict.pop("skipped", 0))
        super().load_state_dict(state_dict)

    def _gradients(self) -> list[Tensor]:
        groups = self.optimizer.param_groups
        return [parameter.grad for group in groups for parameter in group["params"] if parameter.grad is not None]

    def _restore_spoilt_buffers(self) -> None:
        for buffer, saved in zip(self._buffers, self._saved):
            if not bool(torch.isfinite(buffer).all()):
                buffer.detach().copy_(saved)


def _on_any_rank(flag: bool) -> bool:
    if get_world_size() == 1:
        return flag
    value = torch.tensor(float(flag), device=get_comm_device())
    all_reduce(value, "max")
    return bool(value)
