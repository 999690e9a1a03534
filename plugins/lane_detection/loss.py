"""Losses of GANet (spec ganet section 5): focal heatmaps, masked L1 offsets, the auxiliary loss of LFA points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from perception.nn.normalizer import total_over_processes

from .head import LaneMaps, clamped_sigmoid


@dataclass(frozen=True)
class LossWeights:
    """Factors of the five terms."""

    start: float = 0.0
    keypoint: float = 1.0
    cell_offset: float = 1.0
    start_offset: float = 0.5
    points: float = 0.2


def focal(probability: Tensor, target: Tensor, min_positives: int = 3) -> Tensor:
    """Penalty-reduced focal loss of a heatmap, over the whole batch of all processes.

    Args:
        probability: (B, 1, h, w) in (0, 1).
        target: Same shape, Gaussians with centre value exactly 1.
        min_positives: With fewer cells of value 1 the loss is the constant 0; 3 as published.

    Returns:
        Scalar, the sum divided by the number of positives.
    """
    positive = target == 1
    count, processes = total_over_processes(positive.sum())
    gain = torch.where(positive, probability.log() * (1 - probability) ** 2, 0)
    loss = torch.where(positive, 0, (1 - probability).log() * probability**2 * (1 - target) ** 4)
    total = -(gain.sum() + loss.sum()) * processes / count.clamp(min=1)
    return torch.where(count >= min_positives, total, torch.zeros_like(total))


def masked_l1(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Sum of |prediction - target| under a mask (broadcast over channels), per nonzero mask entry of all processes."""
    difference = (prediction * mask - target * mask).abs().sum()
    count, processes = total_over_processes((mask != 0).sum())
    return difference * processes / (count + 1e-4)


def smooth_l1_sum(prediction: Tensor, target: Tensor, beta: float = 1 / 9) -> Tensor:
    """Sum of the smooth L1 distance."""
    return F.smooth_l1_loss(prediction, target, reduction="sum", beta=beta)


@numba.njit(cache=True)
def _assign(points: np.ndarray, samples: np.ndarray, out: np.ndarray) -> None:
    """Hungarian assignment of P points to S >= P samples for every (lane, position); shortest augmenting paths."""
    lanes, positions, count, _ = points.shape
    total = samples.shape[1]
    cost = np.empty((count, total))
    for lane in range(lanes):
        for position in range(positions):
            for p in range(count):
                for s in range(total):
                    dy = points[lane, position, p, 0] - samples[lane, s, 0]
                    dx = points[lane, position, p, 1] - samples[lane, s, 1]
                    cost[p, s] = dy * dy + dx * dx
            row_potential = np.zeros(count + 1)
            column_potential = np.zeros(total + 1)
            owner = np.zeros(total + 1, np.int64)  # row + 1 of each column; column 0 holds the row being placed
            way = np.zeros(total + 1, np.int64)
            for row in range(1, count + 1):
                owner[0] = row
                column = 0
                shortest = np.full(total + 1, np.inf)
                used = np.zeros(total + 1, np.bool_)
                while owner[column] != 0:
                    used[column] = True
                    current = owner[column]
                    delta, following = np.inf, 0
                    for j in range(1, total + 1):
                        if used[j]:
                            continue
                        reduced = cost[current - 1, j - 1] - row_potential[current] - column_potential[j]
                        if reduced < shortest[j]:
                            shortest[j] = reduced
                            way[j] = column
                        if shortest[j] < delta:
                            delta, following = shortest[j], j
                    for j in range(total + 1):
                        if used[j]:
                            row_potential[owner[j]] += delta
                            column_potential[j] -= delta
                        else:
                            shortest[j] -= delta
                    column = following
                while column != 0:
                    owner[column] = owner[way[column]]
                    column = way[column]
            for j in range(1, total + 1):
                if owner[j] != 0:
                    out[lane, position, owner[j] - 1] = j - 1


def assign_points(points: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Match predicted points one-to-one to samples of their lane, least sum of squared distances.

    Args:
        points: (V, n, P, 2) predictions at the n sample positions of V lanes; not finite ones keep index 0.
        samples: (V, S, 2) samples to choose from, S >= P.

    Returns:
        (V, n, P) int64 index of the sample of each point.
    """
    out = np.zeros(points.shape[:3], np.int64)
    if points.size and np.isfinite(points).all():
        _assign(points.astype(np.float64), samples.astype(np.float64), out)
    return out


def match_points(points: Tensor, lane_points: Tensor, sample_count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pair the LFA points predicted along each lane with samples of that lane.

    Args:
        points: (B, 2P, h, w) predictions relative to their cell, (y, x).
        lane_points: (B, L, n, 2) integer sample positions (y, x) of each lane; a lane counts when its first y > 0.
        sample_count: Configured samples per lane; every ``n // (sample_count - 1)``-th sample may be chosen.

    Returns:
        valid (B, L) bool; for its V lanes the absolute predictions (V, n, P, 2) and the matched samples, same shape.
    """
    batch, channels, height, width = points.shape
    valid = lane_points[:, :, 0, 0] > 0
    where = lane_points[valid].long()  # (V, n, 2)
    image = valid.nonzero()[:, 0]
    table = points.view(batch, channels, height * width)
    cells = where[..., 0] * width + where[..., 1]
    picked = table[image[:, None], :, cells].unflatten(-1, (channels // 2, 2))  # (V, n, P, 2)
    predicted = picked + where[:, :, None].to(points.dtype)
    step = max(1, where.shape[1] // (sample_count - 1))
    samples = where[:, ::step].to(points.dtype)
    index = assign_points(predicted.detach().float().cpu().numpy(), samples.float().cpu().numpy())
    chosen = torch.from_numpy(index).to(points.device)
    lane = torch.arange(len(samples), device=points.device)[:, None, None]
    return valid, predicted, samples[lane, chosen]


def lane_losses(
    maps: LaneMaps, targets: Mapping[str, Tensor], weights: LossWeights, sample_count: int, min_positives: int = 3
) -> dict[str, Tensor]:
    """All weighted terms of a batch; their sum is the training loss.

    Args:
        maps: Network output.
        targets: Batched arrays of `targets.lane_targets`.
        weights: Factor per term.
        sample_count: Configured samples per lane on the finest level.
        min_positives: See `focal`.
    """
    losses = {}
    if maps.start_logit is not None:
        start = focal(clamped_sigmoid(maps.start_logit.float()), targets["start_hm"], min_positives)
        losses["loss_start"] = weights.start * start
    keypoint = focal(clamped_sigmoid(maps.keypoint_logit.float()), targets["keypoint_hm"], min_positives)
    losses["loss_keypoint"] = weights.keypoint * keypoint
    cell = masked_l1(maps.cell_offset.float(), targets["cell_offset"], targets["offset_mask"])
    losses["loss_cell_offset"] = weights.cell_offset * cell
    start_offset = masked_l1(maps.start_offset.float(), targets["start_offset"], targets["start_weight"])
    losses["loss_start_offset"] = weights.start_offset * start_offset
    points = maps.points.float()
    _, predicted, matched = match_points(points, targets["lane_points"], sample_count)
    batch, lanes, samples, _ = targets["lane_points"].shape
    elements, processes = total_over_processes(batch * lanes * samples * points.shape[1], points.device)
    losses["loss_points"] = weights.points * smooth_l1_sum(predicted, matched) * processes / elements
    return losses
