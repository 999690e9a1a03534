"""DeformFPN: self-attention on the top map, a feature pyramid and the Lane-aware Feature Aggregator (LFA).

"A Keypoint-based Global Association Network for Lane Detection", CVPR 2022; spec ganet sections 1.2 and 1.3.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from perception.nn.deform_conv import deform_conv_1xp
from perception.registry import MODELS


class NeckOutput(NamedTuple):
    """What the heads read.

    Attributes:
        feature: (B, C, h, w) finest pyramid map after the LFA, for the keypoint heatmap.
        aux_feature: (B, C, h, w) the same level before the LFA, for both offset maps.
        points: (B, 2P, h, w) LFA points (y0, x0, y1, x1, ...) relative to their cell, in cells.
    """

    feature: Tensor
    aux_feature: Tensor
    points: Tensor


class ConvBlock(nn.Module):
    """Convolution with "same" padding, then optional batch norm and ReLU; no bias when there is a norm."""

    def __init__(self, in_channels: int, channels: int, kernel: int, norm: bool = False, relu: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2, bias=not norm)
        self.bn = nn.BatchNorm2d(channels) if norm else None
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, H, W) to (B, channels, H, W)."""
        x = self.conv(x)
        if self.bn is not None:
            x = self.bn(x)
        return F.relu(x, inplace=True) if self.relu else x


def sine_code(like: Tensor) -> Tensor:
    """Position code (1, C, H, W) for a map (B, C, H, W): C/2 channels of y, then C/2 of x, positions counted from 1."""
    _, dim, height, width = like.shape
    half = dim // 2
    index = torch.arange(half, device=like.device)
    period = 10000 ** (2 * (index // 2).to(torch.float32) / half)

    def code(length: int) -> Tensor:
        angle = torch.arange(1, length + 1, device=like.device, dtype=torch.float32)[None] / period[:, None]
        return torch.where((index % 2 == 0)[:, None], angle.sin(), angle.cos())

    y = code(height)[:, :, None].expand(half, height, width)
    x = code(width)[:, None, :].expand(half, height, width)
    return torch.cat([y, x])[None].to(like.dtype)


class SelfAttention(nn.Module):
    """One layer of global attention over a map, with a learned gate that starts closed.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output; must be a multiple of four.
        ratio: Queries and keys have ``channels / ratio`` channels.
    """

    def __init__(self, in_channels: int, channels: int, ratio: int = 4) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))
        self.pre_conv = ConvBlock(in_channels, channels, 3, norm=True, relu=True)
        self.query_conv = nn.Conv2d(channels, channels // ratio, 1)
        self.key_conv = nn.Conv2d(channels, channels // ratio, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.final_conv = ConvBlock(channels, channels, 3, norm=True, relu=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, H, W) to (B, channels, H, W); every cell looks at all H*W cells."""
        y = self.pre_conv(x)
        y = y + sine_code(y)
        query, key, value = (conv(y).flatten(2) for conv in (self.query_conv, self.key_conv, self.value_conv))
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=-1)  # (B, i, j), sums to 1 over j
        attended = (value @ weights.transpose(1, 2)).view_as(y)
        return self.final_conv(self.gamma * attended + y)


class AttentionStack(nn.Module):
    """The attention layers applied to the top map."""

    def __init__(self, in_channels: Sequence[int], channels: Sequence[int], ratios: Sequence[int]) -> None:
        super().__init__()
        self.attn_layers = nn.ModuleList(SelfAttention(*args) for args in zip(in_channels, channels, ratios))

    def forward(self, x: Tensor) -> Tensor:
        """Apply every layer in turn."""
        for layer in self.attn_layers:
            x = layer(x)
        return x


class LaneFeatureAggregator(nn.Module):
    """LFA: every cell predicts P points of its lane and gathers features there by a deformable convolution.

    Args:
        channels: Channels in and out.
        hidden: Channels of the two three-layer branches.
        points: P, odd.
        unused_members: Create the parameters that published checkpoints hold but nothing reads.
        gradient: Share of the gradient that reaches the points through the deformable convolution.
    """

    def __init__(self, channels: int, hidden: int, points: int, unused_members: bool, gradient: float = 0.1) -> None:
        super().__init__()
        self.gradient = gradient
        widths = [channels, hidden, hidden, hidden]
        self.cls_convs = nn.ModuleList(ConvBlock(a, b, 3, relu=True) for a, b in itertools.pairwise(widths))
        self.reg_convs = nn.ModuleList(ConvBlock(a, b, 3, relu=True) for a, b in itertools.pairwise(widths))
        self.reppoints_cls_conv = nn.Conv2d(hidden, channels, (1, points), bias=False)
        self.reppoints_pts_init_conv = nn.Conv2d(hidden, channels, 3, padding=1)
        self.reppoints_pts_init_out = nn.Conv2d(channels, 2 * points, 1)
        if unused_members:
            self.reppoints_pts_refine_conv = nn.Conv2d(hidden, channels, (1, points), bias=False)
            self.reppoints_pts_refine_out = nn.Conv2d(channels, 2 * points, 1)
        base = torch.zeros(2 * points)
        base[1::2] = torch.arange(points, dtype=torch.float32) - (points - 1) / 2
        self.register_buffer("base", base.view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, h, w) to the aggregated map (B, C, h, w) and the points (B, 2P, h, w)."""
        cls = reg = x
        for cls_conv, reg_conv in zip(self.cls_convs, self.reg_convs):
            cls, reg = cls_conv(cls), reg_conv(reg)
        points = self.reppoints_pts_init_out(F.relu(self.reppoints_pts_init_conv(reg)))
        damped = (1 - self.gradient) * points.detach() + self.gradient * points
        out = deform_conv_1xp(cls, damped - self.base, self.reppoints_cls_conv.weight)
        return F.relu(out), points


@MODELS.register_module()
class DeformFPN(nn.Module):
    """Neck of GANet.

    Args:
        in_channels: Channels of the backbone maps, finest first; maps finer than these are dropped.
        out_channels: Channels of the pyramid.
        point_nums: Points of the LFA per level; only the first level's LFA takes part in the computation.
        attention: Output channels of each attention layer on the top map.
        ratios: Channel reduction of queries and keys per attention layer.
        hidden: Width of the LFA branches.
        unused_members: Create all parameters of the published checkpoints, also those nothing reads
            (LFA and output convolutions of the coarser levels).
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (128, 256, 512),
        out_channels: int = 64,
        point_nums: Sequence[int] = (7, 5, 3),
        attention: Sequence[int] = (64, 64),
        ratios: Sequence[int] = (4, 4),
        hidden: int = 256,
        unused_members: bool = True,
    ) -> None:
        super().__init__()
        levels = len(in_channels)
        self.levels = levels
        self.trans_head = AttentionStack([in_channels[-1], *attention[:-1]], attention, ratios)
        inputs = [*in_channels[:-1], attention[-1]]
        used = levels if unused_members else 1
        self.lateral_convs = nn.ModuleList(ConvBlock(width, out_channels, 1) for width in inputs)
        self.fpn_convs = nn.ModuleList(ConvBlock(out_channels, out_channels, 3) for _ in range(used))
        self.def_convs = nn.ModuleList(
            LaneFeatureAggregator(out_channels, hidden, points, unused_members) for points in point_nums[:used]
        )
        self._random_weights()

    def forward(self, maps: Sequence[Tensor]) -> NeckOutput:
        """Fuse backbone maps (finest first) into what the heads read."""
        maps = list(maps[-self.levels :])
        maps[-1] = self.trans_head(maps[-1])
        x = self.lateral_convs[-1](maps[-1])
        for level in range(self.levels - 2, -1, -1):
            lateral = self.lateral_convs[level](maps[level])
            x = lateral + F.interpolate(x, size=lateral.shape[2:], mode="nearest")
        aggregated, points = self.def_convs[0](x)
        return NeckOutput(self.fpn_convs[0](aggregated), x, points)

    def _random_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, LaneFeatureAggregator):
                weight = module.reppoints_cls_conv.weight
                bound = (weight.shape[1] * weight.shape[3]) ** -0.5
                nn.init.uniform_(weight, -bound, bound)
