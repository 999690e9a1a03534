"""Lookahead (Zhang et al., NeurIPS 2019): slow weights that follow the fast ones of another optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from mmengine.registry import OPTIMIZERS
from torch.optim import Optimizer

from perception.errors import PerceptionError

__all__ = ["Lookahead"]


@OPTIMIZERS.register_module()
class Lookahead(Optimizer):
    """Every ``steps`` steps move the slow weights a share ``alpha`` towards the fast ones, and go on from there.

    Its groups are those of the inner optimiser, so that schedulers and mmengine see one learning rate.

    Args:
        params: Parameters or groups.
        base: Config of the inner optimiser, for example ``dict(type="Adam")``.
        alpha: Share, within (0, 1].
        steps: Steps between two moves.
        lr: Learning rate of the inner optimiser.

    Raises:
        PerceptionError: Numbers out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        base: Mapping[str, Any],
        alpha: float = 0.5,
        steps: int = 6,
        lr: float | None = None,
    ) -> None:
        if not 0 < alpha <= 1 or steps < 1:
            raise PerceptionError(f"Lookahead: expected alpha in (0, 1] and steps >= 1, found {alpha}, {steps}")
        settings = {"params": params, **base}
        if lr is not None:
            settings["lr"] = lr
        self.inner: Optimizer = OPTIMIZERS.build(settings)
        self.alpha, self.steps = alpha, steps
        super().__init__(self.inner.param_groups, self.inner.defaults)
        self.param_groups = self.inner.param_groups
        self.state = self.inner.state

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of the inner optimiser, and every ``steps`` of them one of the slow weights."""
        members = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        # Inner optimisers initialise a state that is empty, so ours is added after their first step.
        new = {p: p.detach().clone() for p in members if "slow" not in self.state.get(p, {})}
        loss = self.inner.step(closure)
        for parameter in members:
            state = self.state[parameter]
            if parameter in new:
                state["slow"], state["since"] = new[parameter], torch.zeros((), dtype=torch.int64)
            state["since"] += 1
            if int(state["since"]) >= self.steps:
                state["slow"].lerp_(parameter, self.alpha)
                parameter.copy_(state["slow"])
                state["since"].zero_()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the inner optimiser's state and the slow weights."""
        super().load_state_dict(state_dict)
        self.inner.param_groups, self.inner.state = self.param_groups, self.state
