"""Points that belong together: keypoints and the start points they predict (spec ganet section 6, steps 4 and 5).

Points of several images are concatenated; ``splits`` (B + 1,) int64 starts with 0, ends with their number and tells
where each image begins. Grouping depends on the order of the points by definition, never on threads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from perception.ops.association import cpu, reference
from perception.ops.forms import form_for

__all__ = ["associate", "group_points"]


def group_points(points: Tensor, splits: Tensor, radius: float) -> Tensor:
    """Greedy grouping: each point joins the first group with a member within ``radius``, else opens one.

    Groups are never merged. A point that is not finite is a group of its own. Not differentiable.

    Args:
        points: (N, 2).
        splits: (B + 1,) int64, where each image begins.
        radius: Largest distance to a member, in the unit of the points.

    Returns:
        (N,) int64 group of each point, numbered in each image by first appearance.

    Raises:
        ValueError: The shapes or the splits do not fit.
    """
    _check("points", points, splits)
    return _group_points(points.detach().double().contiguous(), splits.contiguous(), radius)


def associate(
    roots: Tensor, root_splits: Tensor, seeds: Tensor, seed_splits: Tensor, radius: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Group start seeds and give every keypoint the first group whose centre is near its predicted start point.

    Args:
        roots: (K, 2) predicted start points; one that is not finite belongs to no group.
        root_splits: (B + 1,) int64, where each image begins.
        seeds: (S, 2) int64.
        seed_splits: (B + 1,) int64.
        radius: Largest distance, both of the grouping (:func:`group_points`) and to a centre.

    Returns:
        (K,) int64 group of each keypoint in its image, -1 for none; (S, 2) int64 centres, the mean of the seeds
        rounded towards 0: group g of image b at row ``seed_splits[b] + g``, unused rows 0; (B,) int64 number of groups.
        Not differentiable.

    Raises:
        ValueError: The shapes or the splits do not fit.
    """
    _check("roots", roots, root_splits)
    _check("seeds", seeds, seed_splits)
    if len(root_splits) != len(seed_splits):
        raise ValueError(f"associate: expected splits of as many images, found {len(root_splits)}, {len(seed_splits)}")
    tensors = (roots.detach().double(), root_splits, seeds.long(), seed_splits)
    return _associate(*(tensor.contiguous() for tensor in tensors), radius)


def _check(name: str, points: Tensor, splits: Tensor) -> None:
    """Raise unless ``points`` is (N, 2) and ``splits`` (B + 1,) int64; on the CPU the values are checked too."""
    if points.ndim != 2 or points.shape[1] != 2 or splits.ndim != 1 or not len(splits) or splits.dtype != torch.int64:
        found = f"{tuple(points.shape)} and {tuple(splits.shape)} {splits.dtype}"
        raise ValueError(f"{name}: expected points (N, 2) and splits (B + 1,) int64, found {found}")
    if splits.device.type == "cpu" and not torch.compiler.is_compiling():
        bounds = splits.tolist()
        if bounds[0] != 0 or bounds[-1] != len(points) or bounds != sorted(bounds):
            raise ValueError(f"{name}: expected splits that rise from 0 to {len(points)}, found {bounds}")


@torch.library.custom_op("perception::group_points", mutates_args=())
def _group_points(points: Tensor, splits: Tensor, radius: float) -> Tensor:
    form = form_for(points.device)
    if form == "cpu":
        return torch.from_numpy(cpu.group_points(points.numpy(), splits.numpy(), float(radius)))
    if form == "cuda" and len(points):
        from perception.ops.association import cuda
        from perception.ops.cuda_support import launching_on

        label = torch.empty(len(points), dtype=torch.int64, device=points.device)
        with launching_on(points) as stream:
            cuda.group_points(points, splits, radius, label, stream)
        return label
    return reference.group_points(points, splits, radius)


@_group_points.register_fake
def _(points: Tensor, splits: Tensor, radius: float) -> Tensor:
    return splits.new_empty(len(points))


@torch.library.custom_op("perception::associate", mutates_args=())
def _associate(
    roots: Tensor, root_splits: Tensor, seeds: Tensor, seed_splits: Tensor, radius: float
) -> tuple[Tensor, Tensor, Tensor]:
    form = form_for(roots.device)
    tensors = (roots, root_splits, seeds, seed_splits)
    if form == "cpu":
        arrays = (roots.numpy(), root_splits.numpy(), seeds.numpy(), seed_splits.numpy())
        owner, centers, groups = map(torch.from_numpy, cpu.associate(*arrays, radius=float(radius)))
        return owner, centers, groups
    if form == "cuda" and len(roots) and len(seeds):
        from perception.ops.association import cuda
        from perception.ops.cuda_support import launching_on

        out = (seeds.new_empty(len(seeds)), *_room(*tensors))
        with launching_on(roots) as stream:
            cuda.associate(*tensors, radius, out, stream)
        return out[1:]
    return reference.associate(*tensors, radius)


def _room(roots: Tensor, root_splits: Tensor, seeds: Tensor, seed_splits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return seeds.new_empty(len(roots)), torch.empty_like(seeds), seed_splits.new_empty(len(seed_splits) - 1)


@_associate.register_fake
def _(
    roots: Tensor, root_splits: Tensor, seeds: Tensor, seed_splits: Tensor, radius: float
) -> tuple[Tensor, Tensor, Tensor]:
    return _room(roots, root_splits, seeds, seed_splits)
