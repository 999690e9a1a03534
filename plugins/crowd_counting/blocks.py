"""Building blocks of M-SFANet and M-SegNet with the published parameter names (spec crowd section 1)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval


class BaseConv(nn.Module):
    """Convolution with bias, optional batch norm, optional ReLU.

    Args:
        inside, outside: Channels.
        kernel: Side of the kernel; padding keeps the size.
        norm: Use batch norm.
        relu: Apply ReLU.
        keep_norm: Own a batch norm even when it is not used, as published checkpoints do.
    """

    def __init__(
        self, inside: int, outside: int, kernel: int = 3, norm: bool = True, relu: bool = True, keep_norm: bool = False
    ) -> None:
        super().__init__()
        self.use_norm, self.relu = norm, relu
        self.conv = nn.Conv2d(inside, outside, kernel, padding=kernel // 2)
        if norm or keep_norm:
            self.bn = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, H, W) -> (B, outside, H, W)."""
        x = self.conv(x)
        if self.use_norm:
            x = self.bn(x)
        return F.relu(x, inplace=True) if self.relu else x

    def fold_norm(self) -> None:
        """Let the convolution do what the batch norm does in evaluation mode."""
        if self.use_norm:
            self.conv, self.use_norm = fuse_conv_bn_eval(self.conv, self.bn), False


class Window(NamedTuple):
    """Which part of a picture a tile is, in input pixels.

    Attributes:
        top, left: First row and column of the tile.
        height, width: Size of the whole picture.
    """

    top: int
    left: int
    height: int
    width: int


class Context(NamedTuple):
    """Averages over a whole picture that M-SFANet's context modules use in place of the tile's own.

    Attributes:
        pooled: For each scale s of the context module (B, C, s, s).
        overall: (B, C, 1, 1) for the global branch of ASPP.
    """

    pooled: tuple[Tensor, ...]
    overall: Tensor


class ContextAware(nn.Module):
    """CAN: features weighed by how they differ from their surroundings at four scales.

    Args:
        channels: Channels in and out.
        scales: Sides of the pooled grids.
    """

    def __init__(self, channels: int = 512, scales: tuple[int, ...] = (1, 2, 3, 6)) -> None:
        super().__init__()
        self.sizes = scales
        self.scales = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d((s, s)), nn.Conv2d(channels, channels, 1, bias=False)) for s in scales
        )
        self.bottleneck = nn.Conv2d(2 * channels, channels, 1)
        self.weight_net = nn.Conv2d(channels, channels, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(
        self, features: Tensor, pooled: tuple[Tensor, ...] | None = None, window: Window | None = None
    ) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w); a tile gets the averages of the whole picture and says where it lies."""
        numerator, denominator = torch.zeros_like(features), torch.zeros_like(features)
        for index in range(len(self.sizes)):
            small = self._squeeze(index, features, pooled)
            spread = spread_over(small, features.shape[2:], window, 8)
            weight = torch.sigmoid(self.weight_net(features - spread))
            numerator = numerator + weight * spread
            denominator = denominator + weight
        return F.relu(self.bottleneck(torch.cat([numerator / denominator, features], 1)))

    def _squeeze(self, index: int, features: Tensor, pooled: tuple[Tensor, ...] | None) -> Tensor:
        pool, squeeze = self.scales[index].children()
        return squeeze(pool(features) if pooled is None else pooled[index])


def spread_over(small: Tensor, shape: torch.Size | tuple[int, int], window: Window | None, stride: int) -> Tensor:
    """A pooled grid (B, C, s, s) enlarged bilinearly to the picture's feature map, or to a tile of it."""
    if window is None:
        return F.interpolate(small, tuple(shape), mode="bilinear", align_corners=False)
    out = small
    for axis, first, whole in ((2, window.top, window.height), (3, window.left, window.width)):
        count, side = shape[axis - 2], small.shape[axis]
        position = torch.arange(count, device=small.device, dtype=small.dtype) + first // stride
        source = ((position + 0.5) * (side / (whole // stride)) - 0.5).clamp(0)
        low = source.floor().long().clamp(max=side - 1)
        high = (low + 1).clamp(max=side - 1)
        view = [1, 1, 1, 1]
        view[axis] = count
        part = (source - low).view(view)
        out = out.index_select(axis, low) * (1 - part) + out.index_select(axis, high) * part
    return out


class _Atrous(nn.Module):
    def __init__(self, inside: int, outside: int, kernel: int, dilation: int, norm: bool) -> None:
        super().__init__()
        padding = 0 if kernel == 1 else dilation
        self.atrous_conv = nn.Conv2d(inside, outside, kernel, padding=padding, dilation=dilation, bias=False)
        if norm:
            self.bn = nn.BatchNorm2d(outside)
        self.norm = norm
        nn.init.kaiming_normal_(self.atrous_conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.atrous_conv(x)
        return F.relu(self.bn(x) if self.norm else x)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling, 512 -> 256 channels.

    Args:
        dilations: Of the three 3 x 3 branches.
        norm: Batch norm in every branch.
    """

    def __init__(self, dilations: tuple[int, int, int] = (6, 12, 18), norm: bool = True) -> None:
        super().__init__()
        self.norm = norm
        self.aspp1 = _Atrous(512, 256, 1, 1, norm)
        self.aspp2, self.aspp3, self.aspp4 = (_Atrous(512, 256, 3, dilation, norm) for dilation in dilations)
        branch = [nn.AdaptiveAvgPool2d((1, 1)), nn.Conv2d(512, 256, 1, bias=False)]
        branch += [nn.BatchNorm2d(256)] if norm else []
        self.global_avg_pool = nn.Sequential(*branch, nn.ReLU())
        self.conv1 = nn.Conv2d(1280, 256, 1, bias=False)
        if norm:
            self.bn1 = nn.BatchNorm2d(256)
        self.dropout = nn.Dropout(0.5)
        nn.init.kaiming_normal_(self.conv1.weight)

    def forward(self, x: Tensor, overall: Tensor | None = None) -> Tensor:
        """(B, 512, h, w) -> (B, 256, h, w); ``overall`` (B, 512, 1, 1) is used in place of the average of ``x``."""
        mean = self.global_avg_pool(x) if overall is None else self.global_avg_pool[1:](overall)
        branches = [self.aspp1(x), self.aspp2(x), self.aspp3(x), self.aspp4(x), mean.expand(-1, -1, *x.shape[2:])]
        x = self.conv1(torch.cat(branches, 1))
        return self.dropout(F.relu(self.bn1(x) if self.norm else x))


def up(x: Tensor, factor: int, window: Window | None = None, stride: int = 0) -> Tensor:
    """Bilinear enlargement with aligned corners.

    The positions it samples depend on the size of the map; for a tile (``window``) they are those of the whole
    picture, whose map at this point has the given ``stride``.
    """
    if window is None:
        return F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=True)
    for axis, first, whole in ((2, window.top, window.height), (3, window.left, window.width)):
        side, count = x.shape[axis], x.shape[axis] * factor
        total, begin = whole // stride, first // stride
        position = torch.arange(count, device=x.device, dtype=torch.float64) + begin * factor
        source = position * ((total - 1) / max(total * factor - 1, 1)) - begin
        source = source.clamp(0, side - 1)
        low = source.floor().long()
        high = (low + 1).clamp(max=side - 1)
        view = [1, 1, 1, 1]
        view[axis] = count
        part = (source - low).to(x.dtype).view(view)
        x = x.index_select(axis, low) * (1 - part) + x.index_select(axis, high) * part
    return x
