"""Gradients of a forward computation, for operators that mmcv asks for them one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["gradients"]


def gradients(forward: Callable[..., Tensor], inputs: Sequence[Tensor], grad_output: Tensor) -> tuple[Tensor, ...]:
    """Vector-Jacobian product of ``forward`` at ``inputs``; works inside ``autograd.Function.backward``."""
    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in inputs]
        return torch.autograd.grad(forward(*leaves), leaves, grad_output)
