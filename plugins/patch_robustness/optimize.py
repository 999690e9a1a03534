"""The loop every gradient attack shares: a patch as a free variable, steps that lower a loss (spec section 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from perception.errors import PerceptionError, UnknownNameError

__all__ = ["OPTIMIZERS", "Trace", "initial_patch", "mean_trace", "optimize_patch"]

OPTIMIZERS = ("pgd", "adam", "sgd", "rmsprop")
EDGE = 1e-6


@dataclass(frozen=True)
class Trace:
    """How a patch came about.

    Attributes:
        patch: (N, 3, w, w) in [0, 1].
        losses: Loss before each step.
        stopped: Why it ended early, empty when it did not.
    """

    patch: Tensor
    losses: tuple[float, ...]
    stopped: str = ""


def mean_trace(traces: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Mean of several runs of losses, of which a shorter one stays at its last."""
    length = max(len(trace) for trace in traces)
    full = [[*trace, *[trace[-1]] * (length - len(trace))] for trace in traces]
    return tuple(sum(values) / len(full) for values in zip(*full))


def initial_patch(optimizer: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Random start: uniform for ``pgd``, tanh of a uniform variable in [-1, 1] for the others."""
    draw = torch.rand(shape, generator=generator)
    return draw if optimizer == "pgd" else torch.tanh(2 * draw - 1) / 2 + 0.5


def optimize_patch(
    loss: Callable[[Tensor, int], Tensor],
    start: Tensor,
    optimizer: str = "adam",
    steps: int = 1000,
    step_size: float = 0.01,
    *,
    plateau: bool = False,
) -> Trace:
    """Minimise a loss over patches.

    Args:
        loss: (patch (N, 3, w, w) in [0, 1], step) -> scalar with a gradient.
        start: (N, 3, w, w) in [0, 1], the patch to begin with.
        optimizer: ``pgd`` steps by the sign of the gradient on a variable that is clipped to [0, 1] where it is used;
            ``adam``, ``sgd`` (momentum 0.999) and ``rmsprop`` work on the inverse of tanh(z) / 2 + 1/2.
        steps: Number of steps.
        step_size: Step of ``pgd``, learning rate of the others.
        plateau: Halve the learning rate after steps / 10 steps without progress (not for ``pgd``).

    Raises:
        UnknownNameError: No such optimiser.
        PerceptionError: No gradient reaches the patch, or the first loss or gradient is not finite (later ones end
            the loop).
    """
    if optimizer not in OPTIMIZERS:
        raise UnknownNameError("optimizer", optimizer, OPTIMIZERS)
    sign = optimizer == "pgd"
    z = start.detach().clone() if sign else torch.atanh((2 * start.detach() - 1).clamp(EDGE - 1, 1 - EDGE))
    z.requires_grad_()
    stepper = _stepper(optimizer, z, step_size)
    schedule = None
    if plateau and stepper is not None:
        patience, low = max(steps // 10, 1), 1e-6 * step_size
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(stepper, factor=0.5, patience=patience, min_lr=low)
    losses: list[float] = []
    stopped = ""
    for step in range(steps):
        value, grad = _gradient(loss, z, sign, step)
        if not (bool(value.isfinite()) and bool(grad.isfinite().all())):
            what = "loss" if not bool(value.isfinite()) else "gradient"
            if step == 0:
                raise PerceptionError(f"attack: the {what} of the first step is not finite")
            stopped = f"the {what} of step {step} was not finite"
            break
        losses.append(float(value))
        with torch.no_grad():
            if stepper is None:
                z -= step_size * grad.sign()
            else:
                z.grad = grad
                stepper.step()
        if schedule is not None:
            schedule.step(losses[-1])
    return Trace(_patch(z, sign).detach(), tuple(losses), stopped)


def _patch(z: Tensor, sign: bool) -> Tensor:
    return z.clamp(0, 1) if sign else torch.tanh(z) / 2 + 0.5


def _gradient(loss: Callable[[Tensor, int], Tensor], z: Tensor, sign: bool, step: int) -> tuple[Tensor, Tensor]:
    value = loss(_patch(z, sign), step)
    if not value.requires_grad:
        raise PerceptionError("attack: no gradient reaches the patch; use a black-box attack for this victim")
    (grad,) = torch.autograd.grad(value, z, allow_unused=True)
    if grad is None:
        raise PerceptionError("attack: no gradient reaches the patch; use a black-box attack for this victim")
    return value.detach(), grad


def _stepper(optimizer: str, z: Tensor, step_size: float) -> torch.optim.Optimizer | None:
    if optimizer == "adam":
        return torch.optim.Adam([z], step_size)
    if optimizer == "sgd":
        return torch.optim.SGD([z], step_size, momentum=0.999)
    return torch.optim.RMSprop([z], step_size) if optimizer == "rmsprop" else None
