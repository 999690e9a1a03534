"""Definition of the op in plain torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from perception.ops.bev_rasterize.layout import SCALE, SHIFT


def moved(points: Tensor, splits: Tensor, rows: Tensor) -> Tensor:
    """Points (N, 3) after the transform of their sweep, in float32, summed from left to right."""
    of_point = rows[sweep_of(splits)]
    x, y, z = points[:, 0], points[:, 1], points[:, 2]
    return torch.stack([r[:, 0] * x + r[:, 1] * y + r[:, 2] * z + r[:, 3] for r in of_point.unbind(1)], dim=1)


def sweep_of(splits: Tensor) -> Tensor:
    """(N,) int64 sweep of every point."""
    return torch.repeat_interleave(torch.arange(len(splits) - 1, device=splits.device), splits.diff())


def cells(
    points: Tensor, splits: Tensor, rows: Tensor, numbers: Sequence[float], shape: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Flat cell (of all sweeps) and height of the points that are inside the grid and the limits."""
    xyz = moved(points, splits, rows)
    resolution, row_offset, column_offset, low, high = xyz.new_tensor(numbers)
    row = torch.floor(xyz[:, 0] / resolution + row_offset)
    column = torch.floor(xyz[:, 1] / resolution + column_offset)
    keep = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    keep &= (xyz[:, 2] > low) & (xyz[:, 2] < high) & torch.isfinite(xyz[:, 2])
    sweep = sweep_of(splits)[keep]
    flat = (sweep * shape[0] + row[keep].long()) * shape[1] + column[keep].long()
    return flat, xyz[keep, 2]


def occupancy(points: Tensor, splits: Tensor, rows: Tensor, numbers: Sequence[float], shape: Sequence[int]) -> Tensor:
    """Occupied cells, see :func:`perception.ops.bev_rasterize.bev_occupancy`."""
    flat, _ = cells(points, splits, rows, numbers, shape)
    out = torch.zeros(len(rows) * shape[0] * shape[1], dtype=torch.uint8, device=points.device)
    out[flat] = 1
    return out.reshape(len(rows), *shape)


def statistics(
    points: Tensor, splits: Tensor, rows: Tensor, numbers: Sequence[float], shape: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Statistics of cells, see :func:`perception.ops.bev_rasterize.bev_statistics`."""
    flat, z = cells(points, splits, rows, numbers, shape)
    size = (len(rows), shape[0], shape[1])
    total = size[0] * size[1] * size[2]
    count = torch.zeros(total, dtype=torch.int32, device=z.device).index_add_(0, flat, torch.ones_like(flat).int())
    high = z.new_zeros(total).scatter_reduce(0, flat, z, "amax", include_self=False)
    low = z.new_zeros(total).scatter_reduce(0, flat, z, "amin", include_self=False)
    whole = torch.floor((z.double() + SHIFT) * SCALE + 0.5).long()
    sums = torch.zeros(total, dtype=torch.int64, device=z.device).index_add_(0, flat, whole)
    mean = torch.where(count > 0, sums.double() / count.clamp(min=1) / SCALE - SHIFT, 0.0).float()
    count, high, low, mean = (tensor.reshape(size) for tensor in (count, high, low, mean))
    return count, high, low, mean
