"""Which box holds a point."""

from __future__ import annotations

import torch
from torch import Tensor

from perception.ops.forms import form_for
from perception.ops.points_in_boxes import cpu, reference

__all__ = ["points_in_boxes"]


def points_in_boxes(points: Tensor, boxes: Tensor) -> Tensor:
    """Find the first box that holds each point, its faces included; not differentiable.

    Args:
        points: (N, C) columns x, y, z and any others; those that are not finite are in no box.
        boxes: (M, 7) centre x, y, z, length (along yaw), width, height, yaw, in the frame of the points.

    Returns:
        (N,) int64 index of the box, -1 for none.

    Raises:
        ValueError: Shapes do not fit.
    """
    if points.ndim != 2 or points.shape[1] < 3 or boxes.ndim != 2 or boxes.shape[1] != 7:
        found = f"{tuple(points.shape)} and {tuple(boxes.shape)}"
        raise ValueError(f"points_in_boxes: expected points (N, 3 or more) and boxes (M, 7), found {found}")
    return _points_in_boxes(points.detach()[:, :3].double().contiguous(), box_rows(boxes.detach().to(points.device)))


def box_rows(boxes: Tensor) -> Tensor:
    """Boxes as (M, 8) float64: centre, half length, width and height, cosine and sine of yaw."""
    boxes = boxes.double()
    return torch.cat([boxes[:, :3], boxes[:, 3:6] / 2, boxes[:, 6:].cos(), boxes[:, 6:].sin()], dim=1)


@torch.library.custom_op("perception::points_in_boxes", mutates_args=())
def _points_in_boxes(points: Tensor, rows: Tensor) -> Tensor:
    form = form_for(points.device)
    if form == "reference":
        return reference.points_in_boxes(points, rows)
    out = torch.empty(len(points), dtype=torch.int64, device=points.device)
    if form == "cpu":
        cpu.points_in_boxes(points.numpy(), rows.numpy(), out.numpy())
    elif len(points):
        from perception.ops.cuda_support import launching_on
        from perception.ops.points_in_boxes import cuda

        with launching_on(points) as stream:
            cuda.find_boxes(points, rows, out, stream)
    return out


@_points_in_boxes.register_fake
def _(points: Tensor, rows: Tensor) -> Tensor:
    return points.new_empty(len(points), dtype=torch.int64)
