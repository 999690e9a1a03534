"""Which cells of a bird's-eye-view grid a LiDAR has seen: those that its rays cross, and those that they hit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from perception.geometry.grid import GridSpec
from perception.ops.forms import form_for
from perception.ops.ray_visibility import cpu, reference

__all__ = ["FREE", "HIT", "REACH", "UNSEEN", "visible_cells"]

UNSEEN, FREE, HIT = 0, 1, 2
"""Values of a cell."""
REACH = 4
"""Rays longer than this many grid sides are left out."""


def visible_cells(
    points: Tensor, grid: GridSpec, origin: Sequence[float] | np.ndarray = (0.0, 0.0), transform: Tensor | None = None
) -> Tensor:
    """Cast a ray in the ground plane from the sensor to every point; not differentiable.

    A ray takes the cell nearest to the straight line between the cells of both ends, a cell a row or a column.

    Args:
        points: (N, C) float32, columns x, y, z; those that are not finite are left out.
        grid: Where the cells are.
        origin: (x, y) or (x, y, z) of the sensor in the frame of the points.
        transform: (4, 4) rigid, applied to points and sensor first.

    Returns:
        (H, W) uint8: `UNSEEN`, `FREE` (crossed) or `HIT` (holds a point).

    Raises:
        ValueError: Shapes do not fit, or the sensor is not at a finite place.
    """
    if points.ndim != 2 or points.shape[1] < 3:
        raise ValueError(f"expected points (N, 3 or more), found {tuple(points.shape)}")
    start = points.new_zeros((1, 3), dtype=torch.float32)
    start[0, : len(origin)] = start.new_tensor(list(origin))
    both = torch.cat([start, points[:, :3].float()])
    if transform is not None:
        turn = transform.to(both)
        both = both @ turn[:3, :3].T + turn[:3, 3]
    cells = torch.floor(both[:, :2] / grid.resolution + both.new_tensor(grid.offset))
    if not torch.isfinite(cells[0]).all():
        raise ValueError(f"expected a sensor at a finite place, found {tuple(origin)}")
    reach = REACH * max(grid.shape)
    near = (cells[1:] - cells[0]).abs().amax(1) <= reach  # false for NaN
    ends = cells[1:][near & torch.isfinite(both[1:, 2])].long()
    return _visible_cells(ends.contiguous(), cells[0].long(), list(grid.shape))


@torch.library.custom_op("perception::visible_cells", mutates_args=())
def _visible_cells(ends: Tensor, start: Tensor, shape: list[int]) -> Tensor:
    form = form_for(ends.device)
    if form == "reference":
        return reference.visible_cells(ends, start, shape)
    out = torch.zeros(shape, dtype=torch.uint8, device=ends.device)
    if form == "cpu":
        cpu.visible_cells(ends.numpy(), start.numpy(), out.numpy())
    elif len(ends):
        from perception.ops.cuda_support import launching_on
        from perception.ops.ray_visibility import cuda

        with launching_on(ends) as stream:
            cuda.mark_visible(ends, start, out, stream)
    return out


@_visible_cells.register_fake
def _(ends: Tensor, start: Tensor, shape: list[int]) -> Tensor:
    return ends.new_empty(shape, dtype=torch.uint8)
