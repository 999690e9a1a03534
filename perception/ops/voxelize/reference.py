"""Definition of the op in plain torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def voxel_index(points: Tensor, lower: Sequence[float], size: Sequence[float], shape: Sequence[int]) -> Tensor:
    """Number of the voxel of every point, x slowest, -1 outside; ``floor((p - lower) / size)`` in float32."""
    place = torch.floor((points[:, :3] - points.new_tensor(list(lower))) / points.new_tensor(list(size)))
    inside = ((place >= 0) & (place < points.new_tensor(list(shape)))).all(1)
    x, y, z = torch.where(inside[:, None], place, 0).long().unbind(1)
    return torch.where(inside, (x * shape[1] + y) * shape[2] + z, -1)
