"""Operators on boxes: NMS, soft NMS and RoIAlign."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import nms as torchvision_nms
from torchvision.ops import roi_align

from perception.compat.mmcv_ops.errors import MissingOperatorError
from perception.compat.mmcv_ops.gradients import gradients

__all__ = ["nms", "roi_align_backward", "roi_align_forward", "softnms"]

_NAIVE, _LINEAR = 0, 1  # methods of soft NMS; the third, 2, is gaussian


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4) float xyxy.
        scores: (N,) float.
        iou_threshold: A box is dropped when its IoU with a kept one is larger than this.
        offset: 1 where the last pixel belongs to a box (width = x2 - x1 + 1), else 0.

    Returns:
        (K,) int64 indices of the kept boxes, best score first.
    """
    boxes = boxes.float() if boxes.dtype in (torch.float16, torch.bfloat16) else boxes
    if offset:
        boxes = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)
    return torchvision_nms(boxes, scores.to(boxes.dtype), iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft NMS (Bodla et al., ICCV 2017): overlapping boxes lose score instead of being dropped at once.

    Args:
        boxes: (N, 4) float xyxy.
        scores: (N,) float.
        dets: (N, 5) filled in place: the first K rows are the kept boxes with their decayed scores.
        iou_threshold: Overlap from which the naive and the linear method act.
        sigma: Width of the gaussian method.
        min_score: Boxes whose score decays below this are dropped.
        method: 0 naive, 1 linear, 2 gaussian.
        offset: As in :func:`nms`.

    Returns:
        (K,) int64 indices of the kept boxes in the order of ``dets``.
    """
    corners = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)
    areas = (corners[:, 2:] - corners[:, :2]).prod(dim=1)
    kept: list[int] = []
    left, current = torch.arange(len(boxes)), scores.clone()
    while len(left):
        best = current[left].argmax()
        index = left[best]
        dets[len(kept), :4], dets[len(kept), 4] = boxes[index], current[index]
        kept.append(int(index))
        left = torch.cat([left[:best], left[best + 1 :]])
        low = torch.maximum(corners[index, :2], corners[left, :2])
        high = torch.minimum(corners[index, 2:], corners[left, 2:])
        overlap = (high - low).clamp(min=0).prod(dim=1)
        iou = overlap / (areas[index] + areas[left] - overlap)
        if method in (_NAIVE, _LINEAR):
            decay = torch.where(iou >= iou_threshold, (1 - iou) * method, torch.ones_like(iou))
        else:
            decay = torch.exp(-iou.square() / sigma)
        current[left] *= decay
        left = left[current[left] >= min_score]
    return torch.tensor(kept, dtype=torch.int64)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign (He et al., ICCV 2017) with average pooling.

    Args:
        input: (B, C, H, W) map.
        rois: (R, 5) batch index and xyxy in image pixels.
        output: (R, C, aligned_height, aligned_width), filled.
        argmax_y: Only used by max pooling, as is ``argmax_x``.
        argmax_x: See ``argmax_y``.
        aligned_height: Bins along y.
        aligned_width: Bins along x.
        spatial_scale: Cells of the map per image pixel.
        sampling_ratio: Samples a bin and axis; 0 adapts them to the size of the box.
        pool_mode: 1 average, 0 maximum (raises :class:`MissingOperatorError`).
        aligned: Shift by half a cell, so that integer coordinates are cell centres.
    """
    if pool_mode == 0:
        raise MissingOperatorError("roi_align with pool_mode='max'")
    size = (aligned_height, aligned_width)
    output.copy_(roi_align(input, rois.type_as(input), size, spatial_scale, sampling_ratio, aligned))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of :func:`roi_align_forward`; adds to ``grad_input`` (B, C, H, W)."""
    if pool_mode == 0:
        raise MissingOperatorError("roi_align with pool_mode='max'")
    size = (aligned_height, aligned_width)

    def forward(x: Tensor) -> Tensor:
        return roi_align(x, rois.type_as(x), size, spatial_scale, sampling_ratio, aligned)

    (gradient,) = gradients(forward, [torch.zeros_like(grad_input)], grad_output)  # linear in the map: any will do
    grad_input.add_(gradient)
