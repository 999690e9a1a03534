"""Point clouds into the voxels that hold points, as many as there are: no limit on voxels or on points in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from perception.ops.forms import form_for
from perception.ops.voxelize import cpu, reference

__all__ = ["Voxels", "voxelize"]


class Voxels(NamedTuple):
    """Voxels that hold points, sorted by their coordinates.

    Attributes:
        coordinates: (V, 3) int64 along x, y, z.
        counts: (V,) int64 points in each.
        voxel_of: (N,) int64 voxel of every point, -1 outside.
        means: (V, C) float64 mean of the points' columns.
    """

    coordinates: Tensor
    counts: Tensor
    voxel_of: Tensor
    means: Tensor


def voxelize(points: Tensor, lower: Sequence[float], size: Sequence[float], shape: Sequence[int]) -> Voxels:
    """Sort points into voxels; not differentiable. Coordinates and counts do not depend on the order of the points.

    Args:
        points: (N, C) float32, columns x, y, z and any others; those that are not finite are outside.
        lower: (x, y, z) of the grid's lower corner, metres.
        size: Edges of a voxel along x, y, z, metres.
        shape: Voxels along x, y, z.

    Raises:
        ValueError: Shapes do not fit, or an edge or a number of voxels is not positive.
    """
    if points.ndim != 2 or points.shape[1] < 3 or not (len(lower) == len(size) == len(shape) == 3):
        raise ValueError(f"expected points (N, 3 or more) and three numbers each, found {tuple(points.shape)}")
    if min(size) <= 0 or min(shape) < 1:
        raise ValueError(f"expected positive edges and numbers of voxels, found {tuple(size)} and {tuple(shape)}")
    points = points.detach().float().contiguous()
    index = _voxel_index(points, list(map(float, lower)), list(map(float, size)), list(map(int, shape)))
    found, voxel_of, counts = torch.unique(index[index >= 0], return_inverse=True, return_counts=True)
    every = torch.full_like(index, -1)
    every[index >= 0] = voxel_of
    sums = torch.zeros(len(found), points.shape[1], dtype=torch.float64, device=points.device)
    sums.index_add_(0, voxel_of, points[index >= 0].double())
    z = found % shape[2]
    y = found // shape[2] % shape[1]
    coordinates = torch.stack([found // (shape[2] * shape[1]), y, z], dim=1)
    return Voxels(coordinates, counts, every, sums / counts[:, None])


@torch.library.custom_op("perception::voxel_index", mutates_args=())
def _voxel_index(points: Tensor, lower: list[float], size: list[float], shape: list[int]) -> Tensor:
    form = form_for(points.device)
    if form == "reference":
        return reference.voxel_index(points, lower, size, shape)
    out = torch.empty(len(points), dtype=torch.int64, device=points.device)
    numbers, counts = torch.tensor([*lower, *size]), torch.tensor(shape)
    if form == "cpu":
        cpu.voxel_index(points.numpy(), numbers.numpy(), counts.numpy(), out.numpy())
    elif len(points):
        from perception.ops.cuda_support import launching_on
        from perception.ops.voxelize import cuda

        with launching_on(points) as stream:
            cuda.write_index(points, numbers.to(points.device), counts.to(points.device), out, stream)
    return out


@_voxel_index.register_fake
def _(points: Tensor, lower: list[float], size: list[float], shape: list[int]) -> Tensor:
    return points.new_empty(len(points), dtype=torch.int64)
