"""Losses: dual path (density, attention), Bayesian with both background forms, block counts for the light network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from perception.errors import PerceptionError
from perception.registry import MODELS

from .base import CrowdMaps

BACKGROUNDS = ("margin", "inverse")
Samples = Sequence[Mapping[str, Any]]


def dual_path_terms(
    density: Tensor, attention: Tensor, density_gt: Tensor, attention_gt: Tensor
) -> tuple[Tensor, Tensor]:
    """Squared error of the density and cross entropy of the attention: sums over pixels, divided by the batch.

    Args:
        density: (B, 1, h, w) predicted people a cell.
        attention: (B, 1, h, w) predicted probability.
        density_gt: (B, 1, h, w).
        attention_gt: (B, 1, h, w) within [0, 1], may be soft.
    """
    batch = density.shape[0]
    squared = ((density - density_gt) ** 2).sum() / batch
    entropy = F.binary_cross_entropy(attention, attention_gt, reduction="sum") / batch
    return squared, entropy


@MODELS.register_module()
class DualPathLoss(nn.Module):
    """Loss of SFANet and M-SFANet: density plus 0.1 times attention.

    Args:
        attention_weight: Factor of the attention term.
    """

    def __init__(self, attention_weight: float = 0.1) -> None:
        super().__init__()
        self.attention_weight = attention_weight

    def forward(self, maps: CrowdMaps, samples: Samples, stride: int) -> dict[str, Tensor]:
        """Terms of a batch whose samples hold ``density`` and ``attention`` (h, w) targets."""
        density_gt, attention_gt = (stacked(samples, name, maps.density) for name in ("density", "attention"))
        if maps.attention is None:
            raise PerceptionError("DualPathLoss needs a network with an attention map")
        attention = probability(maps.attention)
        squared, entropy = dual_path_terms(maps.density, attention, density_gt, attention_gt)
        return {"loss_density": squared, "loss_attention": self.attention_weight * entropy}


def probability(attention: Tensor) -> Tensor:
    """Probabilities that the cross entropy accepts: it ends the run at NaN, which the density term reports as well."""
    return torch.nan_to_num(attention, nan=0.5)


def stacked(samples: Samples, name: str, like: Tensor) -> Tensor:
    """Maps of a batch, (B, 1, h, w) on the device of ``like``.

    Raises:
        PerceptionError: Their size is not that of the network's output.
    """
    values = torch.stack([torch.as_tensor(sample[name]) for sample in samples])[:, None].to(like.device, torch.float32)
    if values.shape != like.shape:
        raise PerceptionError(f"target {name}: expected {tuple(like.shape)}, found {tuple(values.shape)}")
    return values


def posterior(
    points: Tensor, shape: tuple[int, int], stride: int, sigma: float, radius: float | None, background: str
) -> Tensor:
    """Probability that a cell's people belong to each point.

    Args:
        points: (N, 2) xy pixels, N > 0.
        shape: (h, w) cells.
        stride: Edge of a cell, pixels; cell i has its middle at stride * i + stride / 2.
        sigma: Of the likelihood, pixels.
        radius: Distance r of the background, pixels; None for no background.
        background: ``margin``: (r - sqrt(m))^2, or ``inverse``: r^2 / (m + 1e-5), with m the squared distance to the
            nearest point.

    Returns:
        (N, h * w), or (N + 1, h * w) with the background last.
    """
    down, across = (torch.arange(n, device=points.device, dtype=points.dtype) * stride + stride / 2 for n in shape)
    dx = (points[:, :1] - across[None]) ** 2
    dy = (points[:, 1:] - down[None]) ** 2
    squared = (dy[:, :, None] + dx[:, None, :]).flatten(1)
    if radius is not None:
        nearest = squared.min(0, keepdim=True).values.clamp(min=0)
        far = (radius - nearest.sqrt()) ** 2 if background == "margin" else radius**2 / (nearest + 1e-5)
        squared = torch.cat([squared, far])
    return torch.softmax(-squared / (2 * sigma**2), 0)


def expected_counts(
    density: Tensor, points: Tensor, stride: int, sigma: float, radius: float | None, background: str, rows: int | None
) -> Tensor:
    """(N,) or (N + 1,) expected people of each point (and the background), in bands of ``rows`` rows of cells.

    Bands bound the memory: the probabilities of a band are computed, used, thrown away and computed again for the
    gradient. The result does not depend on the bands but for rounding.
    """
    height, width = density.shape
    step = height if rows is None else max(rows, 1)

    def band(values: Tensor, first: int) -> Tensor:
        shifted = points - points.new_tensor([0, first * stride])
        share = posterior(shifted, (values.shape[0], width), stride, sigma, radius, background)
        return share @ values.flatten()

    if step >= height:
        return band(density, 0)
    parts = [checkpoint(band, density[y : y + step], y, use_reentrant=False) for y in range(0, height, step)]
    return torch.stack(parts).sum(0)


@MODELS.register_module()
class BayesianLoss(nn.Module):
    """Bayesian loss (Ma et al., ICCV 2019): every annotated point should gather its share of one person.

    Args:
        sigma: Of the likelihood, pixels.
        background_ratio: Background distance as a share of the short side of the original image.
        use_background: Let a background take part, with target 0.
        background: ``margin`` (M-SFANet's repository) or ``inverse`` (the current one of the loss' authors).
        memory: Largest size of the probabilities of a band, MiB.

    Raises:
        PerceptionError: Unknown background.
    """

    def __init__(
        self,
        sigma: float = 8.0,
        background_ratio: float = 1.0,
        use_background: bool = True,
        background: str = "margin",
        memory: float = 256.0,
    ) -> None:
        super().__init__()
        if background not in BACKGROUNDS:
            raise PerceptionError(f"BayesianLoss: background: expected margin or inverse, found {background!r}")
        self.sigma, self.background_ratio, self.use_background = sigma, background_ratio, use_background
        self.background, self.memory = background, memory

    def image_loss(self, density: Tensor, points: Tensor, targets: Tensor, short_side: float, stride: int) -> Tensor:
        """Loss of one image.

        Args:
            density: (h, w) people a cell.
            points: (N, 2) xy pixels of the input; may lie outside.
            targets: (N,) what each point should gather, within [0, 1].
            short_side: Short side of the image that the crop comes from, pixels.
            stride: Edge of a cell, pixels.
        """
        if not len(points):
            return density.sum().abs()
        radius = self.background_ratio * short_side if self.use_background else None
        row = (len(points) + 1) * density.shape[1] * 4 * 3
        rows = max(int(self.memory * 2**20 / row), 1)
        expected = expected_counts(density, points, stride, self.sigma, radius, self.background, rows)
        wanted = torch.cat([targets, targets.new_zeros(1)]) if self.use_background else targets
        return (wanted - expected).abs().sum()

    def forward(self, maps: CrowdMaps, samples: Samples, stride: int) -> dict[str, Tensor]:
        """Mean over a batch whose samples hold ``points``, ``targets`` and ``short_side``."""
        total = maps.density.new_zeros(())
        for density, sample in zip(maps.density[:, 0], samples):
            points, targets = (
                torch.as_tensor(np.asarray(sample[name]), dtype=density.dtype, device=density.device)
                for name in ("points", "targets")
            )
            total = total + self.image_loss(density, points, targets, float(sample["short_side"]), stride)
        return {"loss_bayes": total / len(samples)}


@MODELS.register_module()
class BlockCountLoss(nn.Module):
    """Loss of the light network: where people are, and how many there are in blocks of several sizes.

    The density term is a squared error. The block terms are squared errors of counts over the predicted count + 1, as
    of Poisson numbers; the divisor has no gradient. Divided by the true count they would count doubtful places low (a
    block that holds nobody or one person, as likely, would be given a third of a person), and absolute errors would
    draw them to their median, which is nobody. The attention term is a cross entropy.

    Args:
        blocks: Edges of the blocks in cells.
        density_weight, block_weight, attention_weight: Factors.
        scale: Factor of the density before it is squared.
        exponent: A picture with n heads weighs (n + 1) ** exponent in a batch: 1 lets every head weigh the same, so
            that dense pictures decide; 0 lets every picture weigh the same.
    """

    def __init__(
        self,
        blocks: Sequence[int] = (4, 16),
        density_weight: float = 1.0,
        block_weight: float = 1.0,
        attention_weight: float = 0.1,
        scale: float = 4.0,
        exponent: float = 1.0,
    ) -> None:
        super().__init__()
        self.blocks = tuple(blocks)
        self.density_weight, self.block_weight, self.attention_weight = density_weight, block_weight, attention_weight
        self.scale, self.exponent = scale, exponent

    def forward(self, maps: CrowdMaps, samples: Samples, stride: int) -> dict[str, Tensor]:
        """Terms of a batch whose samples hold ``density`` and ``attention`` (h, w) targets."""
        density_gt, attention_gt = (stacked(samples, name, maps.density) for name in ("density", "attention"))
        people = density_gt.sum((1, 2, 3), keepdim=True) + 1
        weight = people ** (self.exponent - 1) / (people**self.exponent).sum()
        error = (maps.density - density_gt) * self.scale
        terms = {"loss_density": self.density_weight * (weight * error**2).sum()}
        for edge in self.blocks:
            pooled = [
                F.avg_pool2d(part, edge, ceil_mode=True, divisor_override=1) for part in (maps.density, density_gt)
            ]
            spread = pooled[0].detach() + 1
            terms[f"loss_block{edge}"] = self.block_weight * (weight * (pooled[0] - pooled[1]) ** 2 / spread).sum()
        if maps.attention is not None:
            entropy = F.binary_cross_entropy(probability(maps.attention), attention_gt, reduction="none")
            terms["loss_attention"] = self.attention_weight * (weight * entropy).sum()
        return terms
