"""What attackers minimise: RP2-style on proposals, DPatch-style on training losses, and smoothness (spec section 6)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou

from perception.errors import PerceptionError

__all__ = ["dpatch_loss", "rp2_loss", "rp2_pairs", "smoothness"]


def rp2_pairs(
    proposals: Tensor,
    logits: Tensor,
    gt_boxes: Tensor,
    gt_labels: Tensor,
    iou_threshold: float = 0.1,
    min_score: float = 0.0,
    correct_only: bool = False,
) -> tuple[Tensor, Tensor]:
    """Pair every proposal with the true box it overlaps most.

    Args:
        proposals: (P, 4) x0, y0, x1, y1.
        logits: (P, C) class logits of the proposals.
        gt_boxes: (G, 4).
        gt_labels: (G,) int64.
        iou_threshold: Smallest IoU of a pair that is kept; 0 keeps all proposals, also those without overlap.
        min_score: Smallest softmax score that is kept: the highest of the proposal, or that of the true class.
        correct_only: Use the score of the true class.

    Returns:
        (P,) bool of the kept proposals and (K,) int64 true labels of those.
    """
    if not len(gt_boxes) or not len(proposals):
        return torch.zeros(len(proposals), dtype=torch.bool), gt_labels[:0]
    overlap, index = box_iou(proposals.detach(), gt_boxes).max(1)
    labels = gt_labels[index]
    scores = logits.detach().softmax(1)
    score = scores.gather(1, labels[:, None])[:, 0] if correct_only else scores.amax(1)
    keep = (overlap >= iou_threshold) & (score >= min_score)
    return keep, labels[keep]


def rp2_loss(
    logits: Tensor, labels: Tensor, objectness: Tensor | None = None, objectness_weight: float = 0.0
) -> Tensor:
    """How far kept proposals are from the truth; the attacker maximises it (minimises its negative).

    Args:
        logits: (K, C) of the kept proposals.
        labels: (K,) true labels.
        objectness: (K,) objectness logits, for two-stage detectors.
        objectness_weight: Weight of the objectness term.

    Returns:
        Mean cross entropy plus weighted mean binary cross entropy of objectness against 1; 0 when nothing is kept.
    """
    if not len(labels):
        return logits.sum() * 0
    loss = F.cross_entropy(logits, labels)
    if objectness is not None and objectness_weight:
        ones = torch.ones_like(objectness)
        loss = loss + objectness_weight * F.binary_cross_entropy_with_logits(objectness, ones)
    return loss


def dpatch_loss(losses: Mapping[str, Tensor | list[Tensor]], final_only: bool = False) -> Tensor:
    """Sum of a detector's training losses; the attacker maximises it.

    Args:
        losses: What a detector returns in training; only entries with ``loss`` in their name count.
        final_only: Leave out auxiliary decoder layers (``d0.loss_cls``), encoder and denoising losses.

    Raises:
        PerceptionError: No loss among them.
    """
    total: list[Tensor] = []
    for name, value in losses.items():
        if "loss" not in name or (final_only and ("." in name or name.startswith(("enc_", "dn_")))):
            continue
        total += [part.mean() for part in (value if isinstance(value, (list, tuple)) else [value])]
    if not total:
        raise PerceptionError(f"dpatch: expected training losses, found {sorted(losses) or 'nothing'}")
    return torch.stack(total).sum()


def smoothness(patch: Tensor, kind: str = "hw") -> Tensor:
    """Mean absolute difference of neighbours in (B, C, H, W).

    Args:
        patch: The patches.
        kind: ``hw`` between rows and columns (total variation); ``reference`` between channels and rows, as in REAP.

    Raises:
        PerceptionError: Another kind.
    """
    dims = {"hw": (2, 3), "reference": (1, 2)}.get(kind)
    if dims is None:
        raise PerceptionError(f"smoothness: expected 'hw' or 'reference', found {kind!r}")
    return sum((patch.diff(dim=dim).abs().mean() for dim in dims), torch.zeros(()))
