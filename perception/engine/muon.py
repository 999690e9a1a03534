"""Muon (Jordan et al., 2024) for networks of convolutions: momentum whose directions all get the same length."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from mmengine.registry import OPTIMIZERS
from torch import Tensor
from torch.optim import Optimizer

from perception.errors import PerceptionError

__all__ = ["ConvMuon", "orthogonal"]

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration: singular values between 0 and 1 come near 1 in five steps."""


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrix with equal singular values, about: (R, C) to (R, C) with singular values near 1.

    A Newton-Schulz iteration of fifth order, which needs products of matrices only.
    """
    first, third, fifth = QUINTIC
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(steps):
        square = wide @ wide.T
        wide = first * wide + (third * square + fifth * square @ square) @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T


@OPTIMIZERS.register_module()
class ConvMuon(Optimizer):
    """Muon for the filters of dense convolutions and for matrices, AdamW for everything else.

    A filter bank (out, in, h, w) is taken as the matrix (out, in * h * w). Its update is as large as one of AdamW is
    on average (0.2 a value, Liu et al. 2025), so that both parts share learning rate and decay. Banks with one output
    or one input channel (heads, depthwise filters), biases and norms go to AdamW.

    Args:
        params: Parameters or groups.
        lr: Learning rate.
        momentum: Of Muon, Nesterov's form.
        betas: Of AdamW.
        weight_decay: Decoupled, of both.
        eps: Of AdamW.

    Raises:
        PerceptionError: Numbers out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 1e-2,
        eps: float = 1e-8,
    ) -> None:
        rates = (momentum, *betas)
        if lr < 0 or weight_decay < 0 or eps <= 0 or not all(0 <= rate < 1 for rate in rates):
            raise PerceptionError(
                "ConvMuon: expected lr and weight_decay >= 0, eps > 0, momentum and betas in [0, 1), found "
                f"lr={lr}, weight_decay={weight_decay}, eps={eps}, momentum={momentum}, betas={betas}"
            )
        defaults = {"lr": lr, "momentum": momentum, "betas": tuple(betas), "weight_decay": weight_decay, "eps": eps}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                dense = parameter.ndim >= 2 and min(parameter.shape[:2]) > 1
                (self._turn if dense else self._adapt)(parameter, parameter.grad, group)
        return loss

    def _turn(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        average = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        update = gradient.lerp(average, group["momentum"]).flatten(1)
        length = 0.2 * max(update.shape) ** 0.5
        parameter.add_(orthogonal(update).view(parameter.shape), alpha=-group["lr"] * length)

    def _adapt(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state.update(step=0, first=torch.zeros_like(gradient), second=torch.zeros_like(gradient))
        state["step"] += 1
        fast, slow = group["betas"]
        first = state["first"].lerp_(gradient, 1 - fast)
        second = state["second"].mul_(slow).addcmul_(gradient, gradient, value=1 - slow)
        size = (second / (1 - slow ** state["step"])).sqrt_().add_(group["eps"])
        parameter.addcdiv_(first, size, value=-group["lr"] / (1 - fast ** state["step"]))
