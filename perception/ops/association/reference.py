"""Definition of both ops in plain torch, point after point."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor


def _near(points: Tensor, point: Tensor, radius: float) -> Tensor:
    return ((points.double() - point.double()) ** 2).sum(-1).sqrt() <= radius


def group_points(points: Tensor, splits: Tensor, radius: float) -> Tensor:
    """Greedy groups, see :func:`perception.ops.association.group_points`."""
    label = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    for begin, end in _ranges(splits):
        groups = 0
        for i in range(begin, end):
            joined = label[begin:i][_near(points[begin:i], points[i], radius)]
            label[i] = joined.min() if len(joined) else groups
            groups = max(groups, int(label[i]) + 1)
    return label


def associate(
    roots: Tensor, root_splits: Tensor, seeds: Tensor, seed_splits: Tensor, radius: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Owners, centres and their number, see :func:`perception.ops.association.associate`."""
    owner = torch.full((len(roots),), -1, dtype=torch.int64, device=roots.device)
    centers = torch.zeros_like(seeds)
    groups = torch.zeros_like(seed_splits[1:])
    label = group_points(seeds, seed_splits, radius)
    for b, ((begin, end), (first, last)) in enumerate(zip(_ranges(root_splits), _ranges(seed_splits))):
        for g in range(int(label[first:last].max()) + 1 if last > first else 0):
            center = seeds[first:last][label[first:last] == g].double().mean(0).trunc().long()
            centers[first + g] = center
            groups[b] = g + 1
            free = owner[begin:end] < 0
            owner[begin:end][free & _near(roots[begin:end], center, radius)] = g
    return owner, centers, groups


def _ranges(splits: Tensor) -> list[tuple[int, int]]:
    bounds = splits.tolist()
    return list(itertools.pairwise(bounds))
