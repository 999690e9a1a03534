"""Definition of the op in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor


def compensate(points: Tensor, rows: Tensor, which: Tensor) -> Tensor:
    """Points (N, 3) after their transforms, rows (K, 3, 4) float64, summed from left to right."""
    x, y, z = points[:, :3].double().unbind(1)
    columns = [r[:, 0] * x + r[:, 1] * y + r[:, 2] * z + r[:, 3] for r in rows[which].unbind(1)]
    return torch.stack(columns, dim=1).float()
