"""Arrays that the statistics are gathered in."""

from __future__ import annotations

import torch
from torch import Tensor

SCALE, SHIFT = 65536.0, 4096.0
"""Heights are summed as whole numbers ``floor((z + SHIFT) * SCALE + 0.5)``: positive, exact, in any order."""


def statistics_arrays(
    size: tuple[int, int, int], device: torch.device | str = "cpu"
) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Count, maximum, minimum and mean of (T, H, W) cells before the first point, and the sums (int64)."""
    count = torch.zeros(size, dtype=torch.int32, device=device)
    high, low = (torch.full(size, sign * torch.inf, device=device) for sign in (-1, 1))
    sums = torch.zeros(size, dtype=torch.int64, device=device)
    return (count, high, low, torch.zeros(size, device=device)), sums
