"""The test pipeline on tensors: gradients reach the pixels of the original image (DifferentiableFromImage)."""

from __future__ import annotations

import cv2
import torch
from torch import Tensor
from torch.nn import functional as F

from perception.engine.pipeline import Pipeline
from perception.errors import PerceptionError

from .transforms import LaneCrop, LaneNormalize, LaneResize, crop_box


def network_input(images: Tensor, pipeline: Pipeline) -> Tensor:
    """Crop, resize and normalise as the pipeline does, without rounding to whole grey levels in between.

    Args:
        images: (B, 3, H, W) float RGB, 0..255; gradients flow back into it.
        pipeline: Test pipeline of a lane config.

    Returns:
        (B, 3, h, w) normalised network input.

    Raises:
        PerceptionError: The pipeline has a step that has no tensor version.
    """
    for step in pipeline.steps:
        if isinstance(step, LaneCrop):
            x0, y0, x1, y1 = crop_box(step.box, step.reference, images.shape[3], images.shape[2])
            images = images[:, :, y0:y1, x0:x1]
        elif isinstance(step, LaneResize):
            images = _resize(images, step)
        elif isinstance(step, LaneNormalize):
            images = images if step.order == "rgb" else images.flip(1)
            mean, factor = (torch.as_tensor(value, device=images.device).view(1, 3, 1, 1) for value in step.constants)
            images = (images - mean) * factor
        elif type(step).__name__ != "PackLanes":
            raise PerceptionError(f"{type(step).__name__} has no differentiable version")
    return images


def _resize(images: Tensor, step: LaneResize) -> Tensor:
    width, height = step.size
    if step.flag == cv2.INTER_AREA and height <= images.shape[2] and width <= images.shape[3]:
        rows, columns = (_area_weights(n, m, images) for n, m in ((images.shape[2], height), (images.shape[3], width)))
        return rows @ images @ columns.T
    return F.interpolate(images, (height, width), mode="bilinear", align_corners=False)


def _area_weights(length: int, size: int, like: Tensor) -> Tensor:
    """(size, length) matrix whose row i averages the input cells that output cell i covers, by their overlap."""
    scale = length / size
    low = torch.arange(size, device=like.device, dtype=torch.float64)[:, None] * scale
    cell = torch.arange(length, device=like.device, dtype=torch.float64)[None]
    overlap = torch.minimum(low + scale, cell + 1) - torch.maximum(low, cell)
    return (overlap.clamp(min=0) / scale).to(like.dtype)
