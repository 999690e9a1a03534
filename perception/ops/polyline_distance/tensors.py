"""The ops on tensors of any device, as ``torch.library`` operators; the numpy functions of the package need no torch.

Polylines stand one after the other: points (K, 3) and offsets (N + 1,), see :class:`Polylines`. Nothing here is
differentiable.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from perception.ops.forms import form_for
from perception.ops.polyline_distance import cpu, reference
from perception.ops.polyline_distance.polylines import Polylines

__all__ = ["chamfer_distances", "frechet_distances", "resample_polylines"]

Lines = tuple[Tensor, Tensor]


def chamfer_distances(a: Lines, b: Lines, where: Tensor | None = None, limit: Tensor | None = None) -> Tensor:
    """Chamfer distances between all polylines of two sets.

    Args:
        a: Points (K, 3) of a floating type, finite or not, and offsets (A + 1,) int64.
        b: The same of B polylines, on the same device.
        where: (A, B) bool, pairs that are wanted; None for all.
        limit: (A,) distance from which on the exact value of a row does not matter; None for no limit.

    Returns:
        (A, B) float64 on the device of `a`; infinite for unwanted pairs and beyond the limit, NaN where a polyline has
        no vertex or one that is not finite.

    Raises:
        ValueError: Shapes that do not fit.
    """
    (points, offsets), (others, other_offsets) = _checked(a), _checked(b)
    rows = len(offsets) - 1
    wanted = _wanted(where, rows, len(other_offsets) - 1, points.device)
    limits = points.new_full((rows,), torch.inf) if limit is None else limit.to(points)
    if limits.shape != (rows,):
        raise ValueError(f"limit: expected shape ({rows},), found {tuple(limits.shape)}")
    return _chamfer(points, offsets, others, other_offsets, wanted, limits)


def frechet_distances(a: Lines, b: Lines, where: Tensor | None = None) -> Tensor:
    """Discrete Frechet distances; arguments and result as for :func:`chamfer_distances`."""
    (points, offsets), (others, other_offsets) = _checked(a), _checked(b)
    wanted = _wanted(where, len(offsets) - 1, len(other_offsets) - 1, points.device)
    return _frechet(points, offsets, others, other_offsets, wanted)


def resample_polylines(lines: Lines, count: int) -> Tensor:
    """Every polyline as `count` points equally spaced along it, (N, count, 3) float64; NaN where it has none.

    Raises:
        ValueError: `count` is less than 2, or shapes do not fit.
    """
    if count < 2:
        raise ValueError(f"resample: expected a count of at least 2, found {count}")
    return _resample(*_checked(lines), count)


def _checked(lines: Lines) -> Lines:
    points, offsets = lines
    if points.ndim != 2 or points.shape[1] != 3 or offsets.ndim != 1 or not len(offsets):
        found = f"{tuple(points.shape)} and {tuple(offsets.shape)}"
        raise ValueError(f"polylines: expected points (K, 3) and offsets (N + 1,), found {found}")
    return points.detach().double().contiguous(), offsets.long().contiguous()


def _wanted(where: Tensor | None, rows: int, columns: int, device: torch.device) -> Tensor:
    if where is None:
        return torch.ones((rows, columns), dtype=torch.bool, device=device)
    if where.shape != (rows, columns):
        raise ValueError(f"where: expected shape ({rows}, {columns}), found {tuple(where.shape)}")
    return where.bool().contiguous()


def _packed(points: Tensor, offsets: Tensor) -> Polylines:
    return Polylines(np.ascontiguousarray(points.cpu().numpy()), offsets.cpu().numpy())


def _on_device(points: Tensor, offsets: Tensor, stream: object) -> tuple[Tensor, Tensor, Tensor]:
    from perception.ops.polyline_distance.cuda import check_lines

    usable = torch.zeros(len(offsets) - 1, dtype=torch.bool, device=points.device)
    points = points if len(points) else points.new_zeros((1, 3))
    if len(usable):
        check_lines(points, offsets, usable, stream)
    return points, offsets, usable


@torch.library.custom_op("perception::chamfer_distances", mutates_args=())
def _chamfer(
    points: Tensor, offsets: Tensor, others: Tensor, other_offsets: Tensor, where: Tensor, limit: Tensor
) -> Tensor:
    form = form_for(points.device)
    if form == "cuda" and where.numel():
        from perception.ops.cuda_support import launching_on
        from perception.ops.polyline_distance.cuda import chamfer_pairs

        out = torch.empty(where.shape, dtype=torch.float64, device=points.device)
        with launching_on(points) as stream:
            first, second = _on_device(points, offsets, stream), _on_device(others, other_offsets, stream)
            chamfer_pairs(first, second, where, limit, out, stream)
        return out
    a, b = _packed(points, offsets), _packed(others, other_offsets)
    wanted, limits = where.cpu().numpy(), limit.cpu().numpy()
    if form == "cpu":
        matrix = cpu.chamfer_matrix(a.points, a.offsets, b.points, b.offsets, wanted, limits)
    else:
        matrix = reference.chamfer_matrix(a, b, wanted, limits)
    return torch.from_numpy(matrix).to(points.device)


@torch.library.custom_op("perception::frechet_distances", mutates_args=())
def _frechet(points: Tensor, offsets: Tensor, others: Tensor, other_offsets: Tensor, where: Tensor) -> Tensor:
    form = form_for(points.device)
    if form == "cuda" and where.numel():
        from perception.ops.cuda_support import launching_on
        from perception.ops.polyline_distance.cuda import frechet_pairs

        out = torch.empty(where.shape, dtype=torch.float64, device=points.device)
        leash = points.new_empty((where.numel(), max(1, int(other_offsets.diff().max()))))
        with launching_on(points) as stream:
            first, second = _on_device(points, offsets, stream), _on_device(others, other_offsets, stream)
            frechet_pairs(first, second, where, leash, out, stream)
        return out
    a, b, wanted = _packed(points, offsets), _packed(others, other_offsets), where.cpu().numpy()
    if form == "cpu":
        matrix = cpu.frechet_matrix(a.points, a.offsets, b.points, b.offsets, wanted)
    else:
        matrix = reference.frechet_matrix(a, b, wanted)
    return torch.from_numpy(matrix).to(points.device)


@torch.library.custom_op("perception::resample_polylines", mutates_args=())
def _resample(points: Tensor, offsets: Tensor, count: int) -> Tensor:
    form, number = form_for(points.device), len(offsets) - 1
    if form == "cuda" and number:
        from perception.ops.cuda_support import launching_on
        from perception.ops.polyline_distance.cuda import resample_lines

        out = torch.empty((number, count, 3), dtype=torch.float64, device=points.device)
        with launching_on(points) as stream:
            side = _on_device(points, offsets, stream)
            resample_lines(side, side[0].new_empty(len(side[0])), out, stream)
        return out
    lines = _packed(points, offsets)
    made = cpu.resample(lines.points, lines.offsets, count) if form == "cpu" else reference.resample(lines, count)
    return torch.from_numpy(made).to(points.device)


@_chamfer.register_fake
def _(points: Tensor, offsets: Tensor, others: Tensor, other_offsets: Tensor, where: Tensor, limit: Tensor) -> Tensor:
    return points.new_empty(where.shape, dtype=torch.float64)


@_frechet.register_fake
def _(points: Tensor, offsets: Tensor, others: Tensor, other_offsets: Tensor, where: Tensor) -> Tensor:
    return points.new_empty(where.shape, dtype=torch.float64)


@_resample.register_fake
def _(points: Tensor, offsets: Tensor, count: int) -> Tensor:
    return points.new_empty((len(offsets) - 1, count, 3), dtype=torch.float64)
