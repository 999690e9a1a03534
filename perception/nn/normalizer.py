"""Loss normalisers that count over all processes of a distributed training."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


def total_over_processes(count: Tensor | float, device: torch.device | None = None) -> tuple[Tensor, int]:
    """Sum a count over all processes; without gradient.

    Distributed training averages gradients over processes. A loss that is a sum divided by a count (of positives, of
    masked cells) is therefore the same as that of one process with all samples when each process computes
    ``local_sum * processes / total``.

    Args:
        count: Local count, a scalar.
        device: Of the result; that of ``count`` when it is a tensor.

    Returns:
        Total as a float scalar, and the number of processes (1 without distributed training).
    """
    total = torch.as_tensor(count, dtype=torch.float32, device=device).detach().clone()
    processes = get_world_size()
    if processes > 1:
        all_reduce(total, op="sum")
    return total, processes
