"""Overlap of rotated rectangles seen from above, and suppression of overlapping boxes."""

from __future__ import annotations

import torch
from torch import Tensor

from perception.ops.forms import form_for
from perception.ops.rotated_iou import cpu, reference

__all__ = ["rotated_intersection", "rotated_iou", "rotated_nms"]


def rotated_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of every pair; not differentiable.

    Args:
        boxes: (N, 5) centre x, y, length (along yaw), width, yaw.
        others: (M, 5) in the same frame.

    Returns:
        (N, M) float64; 0 where a rectangle has no area or is not finite.

    Raises:
        ValueError: Shapes do not fit.
    """
    inner = rotated_intersection(boxes, others)
    area, other_area = (part[:, 2].double() * part[:, 3].double() for part in (boxes, others))
    union = area[:, None] + other_area[None].to(area.device) - inner
    return torch.where((inner > 0) & torch.isfinite(union), inner / union, 0.0)


def rotated_intersection(boxes: Tensor, others: Tensor) -> Tensor:
    """Area that every pair shares, (N, M) float64 square metres; see `rotated_iou`."""
    for part in (boxes, others):
        if part.ndim != 2 or part.shape[1] != 5:
            raise ValueError(f"rotated boxes: expected (N, 5) x, y, length, width, yaw, found {tuple(part.shape)}")
    return _rotated_intersection(_rows(boxes.detach()), _rows(others.detach().to(boxes.device)))


def rotated_nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Keep a box unless one with a higher score overlaps it by more than ``threshold``.

    Args:
        boxes: (N, 5), see `rotated_iou`.
        scores: (N,); of equal ones the earlier box comes first.
        threshold: Intersection over union.

    Returns:
        (K,) int64 indices of those kept, best first.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    overlapping = (rotated_iou(boxes[order], boxes[order]) > threshold).cpu()
    kept, gone = [], torch.zeros(len(order), dtype=torch.bool)
    for i in range(len(order)):
        if not gone[i]:
            kept.append(i)
            gone |= overlapping[i]
    return order[torch.tensor(kept, dtype=torch.int64, device=order.device)]


def _rows(boxes: Tensor) -> Tensor:
    """(N, 6) float64: centre, half length and width, cosine and sine of yaw."""
    boxes = boxes.double()
    return torch.cat([boxes[:, :2], boxes[:, 2:4] / 2, boxes[:, 4:].cos(), boxes[:, 4:].sin()], dim=1)


@torch.library.custom_op("perception::rotated_intersection", mutates_args=())
def _rotated_intersection(rows: Tensor, others: Tensor) -> Tensor:
    form = form_for(rows.device)
    if form == "reference":
        inner = reference.intersections(rows.cpu().numpy(), others.cpu().numpy())
        return torch.from_numpy(inner).to(rows.device)
    out = torch.zeros((len(rows), len(others)), dtype=torch.float64, device=rows.device)
    if form == "cpu":
        cpu.intersections(rows.numpy(), others.numpy(), out.numpy())
    elif out.numel():
        from perception.ops.cuda_support import launching_on
        from perception.ops.rotated_iou import cuda

        with launching_on(rows) as stream:
            cuda.write_intersections(rows, others, out, stream)
    return out


@_rotated_intersection.register_fake
def _(rows: Tensor, others: Tensor) -> Tensor:
    return rows.new_empty((len(rows), len(others)), dtype=torch.float64)
