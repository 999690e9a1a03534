"""Lanes drawn as thick lines and compared by their pixels, as the official CULane evaluator does (spec ganet 7.1).

A lane is a natural cubic spline through its points, sampled 50 times a segment, rounded to pixels and joined with
OpenCV's ``line``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from perception.ops.forms import form_for
from perception.ops.lane_iou import cpu, reference
from perception.ops.lane_iou.cpu import SAMPLES, LaneMask, rasterize_lane, sample_spline

__all__ = ["SAMPLES", "LaneMask", "iou_matrix", "lane_iou", "rasterize_lane", "sample_spline"]


def iou_matrix(
    rows: Sequence[np.ndarray],
    columns: Sequence[np.ndarray],
    width: int = 30,
    size: tuple[int, int] = (1640, 590),
) -> np.ndarray:
    """Return the pixel IoU of every pair of lanes.

    Args:
        rows: Lanes, each (N, 2) xy pixels, in file order.
        columns: Lanes to compare with.
        width: Line thickness in pixels.
        size: (width, height) of the image.

    Returns:
        (len(rows), len(columns)) float64; 0 for lanes of fewer than two points or without pixels in the image.
    """
    return lane_iou(*_pack(rows), *_pack(columns), width, size).numpy()


def lane_iou(
    points: Tensor, splits: Tensor, others: Tensor, other_splits: Tensor, width: int, size: tuple[int, int]
) -> Tensor:
    """Return the pixel IoU of every pair of lanes whose points are concatenated; not differentiable.

    Args:
        points: (N, 2) xy pixels; drawn as float32.
        splits: (L + 1,) int64, where each lane begins.
        others: (M, 2) points of the lanes to compare with.
        other_splits: (K + 1,) int64.
        width: Line thickness in pixels.
        size: (width, height) of the image.

    Returns:
        (L, K) float64 on the device of ``points``, see :func:`iou_matrix`. On CUDA the lanes' pixel chains are
        computed on the host.
    """
    first, second = points.detach().float(), others.detach().float()
    return _lane_iou(first, splits, second, other_splits, width, size[0], size[1])


def _pack(lanes: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    arrays = [np.asarray(lane, np.float32).reshape(-1, 2) for lane in lanes]
    splits = np.cumsum([0, *map(len, arrays)], dtype=np.int64)
    return torch.from_numpy(np.concatenate([*arrays, np.zeros((0, 2), np.float32)])), torch.from_numpy(splits)


def _unpack(points: Tensor, splits: Tensor) -> list[np.ndarray]:
    return np.split(points.cpu().numpy(), splits[1:-1].tolist()) if len(splits) > 1 else []


@torch.library.custom_op("perception::lane_iou", mutates_args=())
def _lane_iou(
    points: Tensor, splits: Tensor, others: Tensor, other_splits: Tensor, width: int, columns: int, rows: int
) -> Tensor:
    lanes, size = (_unpack(points, splits), _unpack(others, other_splits)), (columns, rows)
    form = form_for(points.device)
    if form == "cuda":
        from perception.ops.cuda_support import launching_on
        from perception.ops.lane_iou import device

        with launching_on(points) as stream:
            result = device.iou_matrix(*lanes, width, size, stream)
    else:
        result = (cpu if form == "cpu" else reference).iou_matrix(*lanes, width, size)
    return torch.from_numpy(result).to(points.device)


@_lane_iou.register_fake
def _(
    points: Tensor, splits: Tensor, others: Tensor, other_splits: Tensor, width: int, columns: int, rows: int
) -> Tensor:
    return points.new_empty((len(splits) - 1, len(other_splits) - 1), dtype=torch.float64)
