"""The test pipeline on tensors: gradients reach the pixels of the original image (DifferentiableFromImage)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from perception.engine.pipeline import Pipeline
from perception.errors import PerceptionError

from .points import rounded_size, scaled_size
from .transforms import CrowdEnlarge, CrowdNormalize, CrowdPad, CrowdRoundResize


def network_input(images: Tensor, pipeline: Pipeline) -> Tensor:
    """Pad or resize and normalise as the pipeline does, without rounding to whole grey levels in between.

    Args:
        images: (B, 3, H, W) float RGB, 0..255; gradients flow back into it.
        pipeline: Test pipeline of a crowd config.

    Returns:
        (B, 3, h, w) normalised network input.

    Raises:
        PerceptionError: The pipeline has a step that has no tensor version.
    """
    for step in pipeline.steps:
        height, width = images.shape[2:]
        if isinstance(step, CrowdPad):
            pad = (0, step.padding(width), 0, step.padding(height))
            mode = "replicate" if step.mode == "replicate" else "constant"
            images = F.pad(images, pad, mode=mode) if any(pad) else images
        elif isinstance(step, CrowdRoundResize):
            size = (rounded_size(height, step.multiple), rounded_size(width, step.multiple))
            images = _resize(images, size)
        elif isinstance(step, CrowdEnlarge):
            images = _resize(images, (step.side(height), step.side(width)))
        elif type(step).__name__ == "CrowdScaleLimits":
            rows, columns, _ = scaled_size(height, width, step.least, step.most)  # type: ignore[attr-defined]
            images = _resize(images, (rows, columns))
        elif isinstance(step, CrowdNormalize):
            mean, std = (torch.as_tensor(v, device=images.device).view(1, 3, 1, 1) for v in (step.mean, step.std))
            images = (images - mean) / std
        elif type(step).__name__ != "PackCrowd":
            raise PerceptionError(f"{type(step).__name__} has no differentiable version")
    return images


def _resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(images.shape[2:]) == size:
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False)
