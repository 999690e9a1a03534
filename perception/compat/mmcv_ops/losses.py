"""Sigmoid focal loss in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["sigmoid_focal_loss_backward", "sigmoid_focal_loss_forward"]

_TINY = torch.finfo(torch.float32).tiny


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Focal loss (Lin et al., ICCV 2017) of independent classes.

    Args:
        input: (N, C) logits.
        target: (N,) int64 class; C means background.
        weight: (C,) weight of the rows of a class, or empty.
        output: (N, C), filled with the loss.
        gamma: Exponent that favours hard samples.
        alpha: Weight of positives; negatives weigh 1 - alpha.
    """
    p = _probability(input)
    positive = -alpha * (1 - p) ** gamma * p.clamp(min=_TINY).log()
    negative = -(1 - alpha) * p**gamma * (1 - p).clamp(min=_TINY).log()
    output.copy_(_by_class(input, target, weight, positive, negative))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Derivative of each element of :func:`sigmoid_focal_loss_forward` by its logit; fills ``grad_input`` (N, C)."""
    p = _probability(input)
    positive = -alpha * (1 - p) ** gamma * (1 - p - gamma * p * p.clamp(min=_TINY).log())
    negative = -(1 - alpha) * p**gamma * (gamma * (1 - p) * (1 - p).clamp(min=_TINY).log() - p)
    grad_input.copy_(_by_class(input, target, weight, positive, negative))


def _probability(logits: Tensor) -> Tensor:
    return (logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits).sigmoid()


def _by_class(input: Tensor, target: Tensor, weight: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    classes = input.shape[1]
    is_class = target[:, None] == torch.arange(classes, device=input.device)
    chosen = torch.where(is_class, positive, negative)
    if weight.numel():
        foreground = target < classes
        chosen = chosen * torch.where(foreground, weight[target.clamp(max=classes - 1)], 1.0)[:, None]
    return chosen
