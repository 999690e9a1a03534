"""Point clouds into bird's-eye-view maps: occupancy, count, true maximum, minimum and mean of the height.

The result never depends on the order of the points or on threads: the mean comes from whole multiples of 2^-16 m,
whose sum has no rounding. Points are moved by a rigid transform on the way (ego-motion compensation), which costs no
copy of the cloud.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from perception.geometry.grid import GridSpec
from perception.ops.bev_rasterize import cpu, reference
from perception.ops.bev_rasterize.layout import statistics_arrays
from perception.ops.forms import form_for

__all__ = ["BevStatistics", "bev_occupancy", "bev_statistics", "rigid_rows"]


class BevStatistics(NamedTuple):
    """Maps (T, H, W) of T sweeps; float32 heights in metres that are 0 where ``counts`` is.

    Attributes:
        counts: int32 points of a cell.
        high: Largest height.
        low: Smallest height; of no elements where the ``out`` of `bev_statistics` had such a one.
        mean: Mean height.
    """

    counts: Tensor
    high: Tensor
    low: Tensor
    mean: Tensor


def rigid_rows(transforms: Tensor | None, sweeps: int, device: torch.device) -> Tensor:
    """Rigid 4x4 transforms as the (T, 3, 4) float32 that the kernels take; identities for None.

    Raises:
        ValueError: Another shape, or a number that is not finite.
    """
    if transforms is None:
        return torch.eye(4, device=device)[:3].repeat(sweeps, 1, 1)
    if transforms.shape != (sweeps, 4, 4) or not torch.isfinite(transforms).all():
        raise ValueError(f"expected ({sweeps}, 4, 4) finite transforms, found {tuple(transforms.shape)}")
    return transforms[:, :3].to(device, torch.float32).contiguous()


def bev_occupancy(
    points: Tensor,
    grid: GridSpec,
    z_range: tuple[float, float] = (0.0, float("inf")),
    splits: Tensor | None = None,
    transforms: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Tell which cells hold a point whose height is between two limits; not differentiable.

    Args:
        points: (N, C) float32, columns x, y, z and any others. Points that are not finite are left out.
        grid: Where the cells are.
        z_range: Heights, both limits exclusive, metres.
        splits: (T + 1,) int64, where each sweep begins; one sweep when None.
        transforms: (T, 4, 4) rigid, applied to the points of each sweep first.
        out: Written and returned; spares the allocation, which costs more than the work where pages are dear.

    Returns:
        (T, H, W) uint8 of 0 and 1.

    Raises:
        ValueError: Shapes or splits do not fit.
    """
    points, splits, rows = _arguments(points, splits, transforms)
    numbers = _numbers(grid, z_range)
    if out is None:
        return _bev_occupancy(points, splits, rows, numbers, list(grid.shape))
    if points.device.type != "cpu":
        return out.copy_(_bev_occupancy(points, splits, rows, numbers, list(grid.shape)))
    _check_out((out,), (torch.uint8,), (len(rows), *grid.shape))
    cpu.occupancy(points.numpy(), splits.numpy(), rows.numpy(), cpu.floats(numbers), out.zero_().numpy())
    return out


def bev_statistics(
    points: Tensor,
    grid: GridSpec,
    z_range: tuple[float, float] = (-4096.0, 4096.0),
    splits: Tensor | None = None,
    transforms: Tensor | None = None,
    out: BevStatistics | None = None,
) -> BevStatistics:
    """Count the points of every cell and take maximum, minimum and mean of their heights; not differentiable.

    Args:
        points: See `bev_occupancy`.
        grid: Where the cells are.
        z_range: See `bev_occupancy`; cut to +-4096 m.
        splits: See `bev_occupancy`.
        transforms: See `bev_occupancy`.
        out: See `bev_occupancy`. A ``low`` of no elements stays so, which saves the writing of a map.

    Raises:
        ValueError: Shapes or splits do not fit.
    """
    points, splits, rows = _arguments(points, splits, transforms)
    limits = (max(z_range[0], -4096.0), min(z_range[1], 4096.0))
    numbers = _numbers(grid, limits)
    if out is None:
        return BevStatistics(*_bev_statistics(points, splits, rows, numbers, list(grid.shape)))
    wanted = out if len(out.low) else (out.counts, out.high, out.mean)
    if points.device.type != "cpu":
        made = BevStatistics(*_bev_statistics(points, splits, rows, numbers, list(grid.shape)))
        made = made if len(out.low) else made._replace(low=out.low)
        return BevStatistics(*(kept.copy_(new) for kept, new in zip(out, made)))
    size = (len(rows), *grid.shape)
    _check_out(wanted, (torch.int32, *[torch.float32] * 3), size)
    low = out.low if len(out.low) else torch.empty(size[0], 1, size[2])
    maps = [one.numpy() for one in (out.counts, out.high, low, out.mean)]
    cpu.statistics(points.numpy(), splits.numpy(), rows.numpy(), cpu.floats(numbers), *maps)
    return out


def _check_out(out: Sequence[Tensor], dtypes: Sequence[torch.dtype], size: tuple[int, ...]) -> None:
    for tensor, dtype in zip(out, dtypes):
        if tensor.shape != size or tensor.dtype != dtype or not tensor.is_contiguous() or tensor.device.type != "cpu":
            found = f"{tuple(tensor.shape)} {tensor.dtype} on {tensor.device}"
            raise ValueError(f"out: expected contiguous {size} {dtype} on the CPU, found {found}")


def _numbers(grid: GridSpec, z_range: tuple[float, float]) -> list[float]:
    """Resolution, offsets and height limits."""
    return [grid.resolution, *grid.offset, *map(float, z_range)]


def _arguments(points: Tensor, splits: Tensor | None, transforms: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    if points.ndim != 2 or points.shape[1] < 3:
        raise ValueError(f"expected points (N, 3 or more), found {tuple(points.shape)}")
    if splits is None:
        splits = torch.tensor([0, len(points)])
    bounds: Sequence[int] = splits.tolist() if splits.ndim == 1 else []
    if len(bounds) < 2 or bounds[0] != 0 or bounds[-1] != len(points) or list(bounds) != sorted(bounds):
        raise ValueError(f"expected splits that rise from 0 to {len(points)}, found {bounds}")
    rows = rigid_rows(transforms, len(bounds) - 1, points.device)
    return points.detach().to(torch.float32).contiguous(), splits.to(points.device, torch.int64), rows


@torch.library.custom_op("perception::bev_occupancy", mutates_args=())
def _bev_occupancy(points: Tensor, splits: Tensor, rows: Tensor, numbers: list[float], shape: list[int]) -> Tensor:
    form = form_for(points.device)
    if form == "reference":
        return reference.occupancy(points, splits, rows, numbers, shape)
    out = torch.zeros((len(rows), *shape), dtype=torch.uint8, device=points.device)
    if form == "cpu":
        cpu.occupancy(points.numpy(), splits.numpy(), rows.numpy(), cpu.floats(numbers), out.numpy())
    elif len(points):
        from perception.ops.bev_rasterize import cuda
        from perception.ops.cuda_support import launching_on

        settings = torch.tensor(numbers, dtype=torch.float32, device=points.device)
        with launching_on(points) as stream:
            cuda.mark_occupied(points, splits, rows, settings, out, stream)
    return out


@_bev_occupancy.register_fake
def _(points: Tensor, splits: Tensor, rows: Tensor, numbers: list[float], shape: list[int]) -> Tensor:
    return points.new_empty((len(rows), *shape), dtype=torch.uint8)


@torch.library.custom_op("perception::bev_statistics", mutates_args=())
def _bev_statistics(
    points: Tensor, splits: Tensor, rows: Tensor, numbers: list[float], shape: list[int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    form, size = form_for(points.device), (len(rows), shape[0], shape[1])
    if form == "reference":
        return reference.statistics(points, splits, rows, numbers, shape)
    if form == "cpu":
        maps = cpu.new_maps(size)
        cpu.statistics(points.numpy(), splits.numpy(), rows.numpy(), cpu.floats(numbers), *maps)
        count, high, low, mean = map(torch.from_numpy, maps)
        return count, high, low, mean
    from perception.ops.bev_rasterize import cuda
    from perception.ops.cuda_support import launching_on

    out, sums = statistics_arrays(size, points.device)
    settings = torch.tensor(numbers, dtype=torch.float32, device=points.device)
    if len(points):
        with launching_on(points) as stream:
            cuda.gather(points, splits, rows, settings, *out[:3], sums, stream)
    cuda.finish(*out, sums)
    return out


@_bev_statistics.register_fake
def _(
    points: Tensor, splits: Tensor, rows: Tensor, numbers: list[float], shape: list[int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    out, _sums = statistics_arrays((len(rows), shape[0], shape[1]), points.device)
    return out
