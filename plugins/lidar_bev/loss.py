"""Losses on bird's-eye-view maps, each with an optional mask of the cells that count (spec ppn sections 5 and 8)."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

IGNORE = -1
"""Class of cells that nobody observed."""


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the cells of a mask of the same shape; 0 where it is empty, without a division by it."""
    if mask is None:
        return values.mean()
    weight = mask.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp(min=1.0)


def sobel_edges(maps: Tensor) -> Tensor:
    """Magnitude of the Sobel gradient of maps (..., H, W), 1 across a straight step of height 1; differentiable."""
    kernel = maps.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 4
    flat = F.pad(maps.reshape(-1, 1, *maps.shape[-2:]), (1, 1, 1, 1), mode="replicate")
    gradient = F.conv2d(flat, torch.stack([kernel, kernel.T])[:, None])
    return (gradient.square().sum(1) + 1e-12).sqrt().reshape(maps.shape)


def canny_edges(maps: Tensor) -> Tensor:
    """Canny edges, 0 or 255, of maps (..., H, W) truncated to uint8, as the original computes them; no gradient."""
    flat = maps.detach().cpu().reshape(-1, *maps.shape[-2:]).numpy()
    edges = [cv2.Canny(np.ascontiguousarray(one.astype(np.uint8)), 0, 0) for one in flat]
    return torch.from_numpy(np.stack(edges)).reshape(maps.shape).to(maps)


def mssce(
    predicted: Tensor,
    truth: Tensor,
    alpha: float = 0.85,
    edge: Literal["sobel", "canny"] = "sobel",
    mask: Tensor | None = None,
) -> Tensor:
    """Squared and smooth absolute error of maps and of their edges.

    ``alpha (MSE + SmoothL1)(p, t) + (1 - alpha) (MSE + SmoothL1)(edges(p), edges(t))``.

    Args:
        predicted: (..., H, W), probabilities for ``sobel``.
        truth: Of the same shape.
        alpha: Weight of the maps against their edges.
        edge: ``sobel`` has a gradient; ``canny`` reproduces the original's figure, one map at a time.
        mask: Cells that count, of the same shape.

    Returns:
        A scalar.
    """
    edges = sobel_edges if edge == "sobel" else canny_edges
    total = predicted.new_zeros(())
    for weight, a, b in ((alpha, predicted, truth), (1 - alpha, edges(predicted), edges(truth))):
        error = F.mse_loss(a, b, reduction="none") + F.smooth_l1_loss(a, b, reduction="none")
        total = total + weight * masked_mean(error, mask)
    return total


def soft_iou(probability: Tensor, truth: Tensor, mask: Tensor | None = None, epsilon: float = 1e-6) -> Tensor:
    """One minus the soft intersection over union.

    Args:
        probability: (B, ..., H, W), 0..1.
        truth: The same shape, 0 or 1.
        mask: Cells that count.
        epsilon: Makes an empty truth met by an empty prediction a loss of 0.

    Returns:
        Scalar: the mean over all leading dimensions.
    """
    if mask is not None:
        probability, truth = probability * mask, truth * mask
    inner = (probability * truth).sum((-2, -1))
    union = probability.sum((-2, -1)) + truth.sum((-2, -1)) - inner
    return (1 - (inner + epsilon) / (union + epsilon)).mean()


def segmentation_loss(logits: Tensor, classes: Tensor, weights: Tensor | None = None) -> dict[str, Tensor]:
    """Cross-entropy and soft IoU over observed cells.

    Args:
        logits: (B, C, H, W).
        classes: (B, H, W) int64, `IGNORE` where unobserved.
        weights: (C,) class weights of the cross-entropy.

    Returns:
        ``loss_class`` and ``loss_class_iou``.
    """
    seen = classes != IGNORE
    each = F.cross_entropy(logits, classes.clamp(min=0), weights, reduction="none")
    scale = torch.ones_like(each) if weights is None else weights[classes.clamp(min=0)]
    cross = (each * seen).sum() / (scale * seen).sum().clamp(min=1e-6)
    truth = F.one_hot(classes.clamp(min=0), logits.shape[1]).movedim(-1, 1).to(logits)
    overlap = soft_iou(logits.softmax(1), truth, seen[:, None].to(logits), epsilon=1.0)
    return {"loss_class": cross, "loss_class_iou": overlap}


def occupancy_loss(
    logits: Tensor,
    occupied: Tensor,
    mask: Tensor,
    positive: float = 1.0,
    alpha: float = 0.85,
    edge: float = 1.0,
    moving: Tensor | None = None,
    moving_weight: float = 0.0,
) -> dict[str, Tensor]:
    """Binary cross-entropy, soft IoU and MSSCE of predicted occupancy over the cells that were seen.

    Args:
        logits: (B, K, H, W), a map a horizon.
        occupied: The same shape, 0 or 1.
        mask: The same shape: cells that a ray of that future sweep reached.
        positive: Weight of occupied cells in the cross-entropy.
        alpha: See `mssce`.
        edge: Weight of the MSSCE term.
        moving: The same shape: cells that an object in motion covers.
        moving_weight: How much more those count in the cross-entropy, and weight of a soft IoU in them alone.

    Returns:
        ``loss_occupancy``, ``loss_occupancy_iou``, ``loss_occupancy_edges`` and, with a weight, ``loss_moving_iou``.
    """
    weight = logits.new_tensor(positive)
    cross = F.binary_cross_entropy_with_logits(logits, occupied, pos_weight=weight, reduction="none")
    probability = logits.sigmoid()
    # what is outside the mask counts as agreement, so that the border of the mask makes no edge
    shown = torch.where(mask.bool(), probability, occupied)
    counted, terms = mask, {}
    if moving is not None and moving_weight:
        counted = mask * (1 + moving_weight * moving)
        terms["loss_moving_iou"] = 0.1 * moving_weight * soft_iou(probability, occupied, mask * moving, epsilon=1.0)
    return terms | {
        "loss_occupancy": masked_mean(cross, counted),
        "loss_occupancy_iou": soft_iou(probability, occupied, mask, epsilon=1.0),
        "loss_occupancy_edges": edge * mssce(shown, occupied, alpha, mask=mask),
    }
