"""The light variant for live use: a torchvision ShuffleNet, a context block without global pooling, a small decoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from perception.engine.checkpoint import load_state
from perception.errors import PerceptionError
from perception.registry import MODELS

from .base import CrowdMaps, CrowdModel

TRUNKS = {
    "shufflenet_v2_x0_5": (24, 48, 96),
    "shufflenet_v2_x1_0": (24, 116, 232),
    "shufflenet_v2_x1_5": (24, 176, 352),
}
"""Channels of the stem (stride 2), of stage 2 (stride 8) and of stage 3 (stride 16)."""


def conv(inside: int, outside: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    padding = kernel // 2 * dilation
    layer = nn.Conv2d(inside, outside, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outside), nn.ReLU(inplace=True))


@MODELS.register_module()
class CrowdLight(CrowdModel):
    """Dual-path counting network of 0.57 M parameters or more with an output stride of 4.

    The idea of M-SFANet in small: features of several strides are merged step by step; one path gives attention, the
    other density, and attention gates the density. Context comes from dilated convolutions instead of global pooling,
    so that a tile of a picture gives what the whole picture gives there.

    Args:
        trunk: Name of a torchvision ShuffleNetV2.
        width: Channels of the decoder at stride 4; it has 3/2 as many at stride 8 and twice as many at stride 16.
        calibrate: Multiply densities by a factor learnt from the mean of deep features over about 144 pixels, against
            errors that a whole surrounding shares.
        floor: People a cell below which densities fade to nothing: a cell with a tenth of it keeps a hundredth of
            itself. A picture has 50,000 cells, and those that show nobody would add up.
        context: Dilations of the residual convolutions at strides 16, 8 and 4.
        surround: Edge of a window in cells of stride 16; densities are multiplied by one more factor, learnt from the
            mean of deep features over its people. 0 for none.
        mirror: Outside of training, read pictures mirrored as well and give the mean, at twice the cost.
        pretrained: Local file with torchvision's weights of the trunk, or None to begin from scratch.
        **common: See `CrowdModel`.

    Raises:
        PerceptionError: Unknown trunk, a context of another form, or a file that does not fit.
    """

    stride = 4
    tile = 2816

    def __init__(
        self,
        trunk: str = "shufflenet_v2_x1_0",
        width: int = 48,
        calibrate: bool = False,
        floor: float = 0.0,
        context: Sequence[Sequence[int]] = ((2, 4), (), ()),
        surround: int = 0,
        mirror: bool = False,
        pretrained: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if trunk not in TRUNKS:
            raise PerceptionError(f"CrowdLight: trunk: expected one of {', '.join(TRUNKS)}, found {trunk!r}")
        if len(context) != 3:
            raise PerceptionError(f"CrowdLight: context: expected dilations at strides 16, 8 and 4, found {context!r}")
        self.floor, self.mirror, self.halo = floor, mirror, _halo(context, calibrate, surround)
        stem, middle, deep = TRUNKS[trunk]
        source = getattr(torchvision.models, trunk)(weights=None)
        if pretrained is not None:
            self._load_trunk(source, Path(pretrained))
        self.stem, self.pool, self.stage2, self.stage3 = source.conv1, source.maxpool, source.stage2, source.stage3
        half = 3 * width // 2
        self.fine = conv(stem, 16, 3, 2)
        self.squeeze = conv(deep, 2 * width, 1)
        self.context = nn.ModuleList(conv(2 * width, 2 * width, 3, dilation=d) for d in context[0])
        self.merge8 = nn.Sequential(conv(2 * width + middle, half, 1), conv(half, half, 3))
        self.merge4 = nn.Sequential(conv(half + 16 + stem, width, 1), conv(width, width, 3))
        self.context8 = nn.ModuleList(conv(half, half, 3, dilation=d) for d in context[1])
        self.context4 = nn.ModuleList(conv(width, width, 3, dilation=d) for d in context[2])
        self.gain = _gain(2 * width) if calibrate else None
        self.surround = Surround(2 * width, surround) if surround else None
        self.amp = conv(width, width // 2, 1)
        self.dmp = conv(width, width, 1)
        self.conv_att = nn.Conv2d(width // 2, 1, 1)
        self.conv_out = nn.Conv2d(width, 1, 1)
        for head in (self.conv_att, self.conv_out):
            torch.nn.init.constant_(head.bias, -2.0)  # type: ignore[arg-type]  # few cells show people
        self.to(memory_format=torch.channels_last)

    @staticmethod
    def _load_trunk(source: nn.Module, path: Path) -> None:
        state = load_state(path)
        missing, unexpected = source.load_state_dict(state, strict=False)
        if missing or unexpected:
            raise PerceptionError(
                f"{path}: not weights of this trunk: missing {missing[:3]}, unexpected {unexpected[:3]}"
            )

    def maps(self, batch: Tensor) -> CrowdMaps:
        """Density and attention (B, 1, H / 4, W / 4) of images whose sides are multiples of 16."""
        density, attention = self._maps(batch)
        if self.mirror and not self.training:
            mirrored = (part.flip(-1) for part in self._maps(batch.flip(-1)))
            density, attention = ((part + other) / 2 for part, other in zip((density, attention), mirrored))
        return CrowdMaps(density, attention)

    def _maps(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        stem = self.stem(batch.contiguous(memory_format=torch.channels_last))
        coarse = self.pool(stem)
        middle = self.stage2(coarse)
        deep = self.squeeze(self.stage3(middle))
        deep = _residual(deep, self.context)
        features = _residual(self.merge8(torch.cat([_up(deep), middle], 1)), self.context8)
        features = self.merge4(torch.cat([_up(features), self.fine(stem), coarse], 1))
        features = _residual(features, self.context4)
        attention = torch.sigmoid(self.conv_att(self.amp(features)))
        density = F.softplus(self.conv_out(self.dmp(features))) * attention
        gains = [] if self.gain is None else [self.gain(deep)]
        if self.surround is not None:
            gains.append(self.surround(deep, F.avg_pool2d(density.detach(), 4)))
        if gains:
            density = density * torch.exp(0.1 * _up(_up(torch.stack(gains).sum(0))))
        if self.floor:
            square = density**2
            density = density * (square / (square + self.floor**2))
        return density, attention


class Surround(nn.Module):
    """Ten times the logarithm of a factor of densities, from features of the people around; 0 before it has learnt.

    Args:
        channels: Of the features.
        window: Edge of the window, odd.

    Raises:
        PerceptionError: An even or negative window.
    """

    lone = 1e-3
    """People a cell of stride 4 that count everywhere: where there is nobody, the mean is that of the surface."""

    def __init__(self, channels: int, window: int) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise PerceptionError(f"CrowdLight: surround: expected an odd number of cells, found {window}")
        edge = window // 2
        self.mean = nn.Sequential(
            nn.AvgPool2d((window, 1), 1, (edge, 0), count_include_pad=False),
            nn.AvgPool2d((1, window), 1, (0, edge), count_include_pad=False),
        )
        self.head = nn.Sequential(conv(channels, channels, 1), _zero(channels))

    def forward(self, features: Tensor, density: Tensor) -> Tensor:
        """Map (B, 1, h, w) from features (B, C, h, w) and people a cell (B, 1, h, w)."""
        weight = density + self.lone
        return self.head(self.mean(features * weight) / self.mean(weight))


def _halo(context: Sequence[Sequence[int]], calibrate: bool, surround: int) -> int:
    """Pixels around a tile that its result depends on, a multiple of 32."""
    window = 16 * (surround // 2) + 48 if surround else 64 * calibrate
    reach = 160 + window + sum(edge * sum(dilations) for edge, dilations in zip((16, 8, 4), context))
    return -(-reach // 32) * 32


def _residual(features: Tensor, blocks: Iterable[nn.Module]) -> Tensor:
    for block in blocks:
        features = features + block(features)
    return features


def _up(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)


def _gain(channels: int) -> nn.Sequential:
    """Ten times the logarithm of the factor of densities, from mean features (B, C, h, w); 0 before it has learnt."""
    mean = nn.AvgPool2d(9, 1, 4, count_include_pad=False)
    return nn.Sequential(mean, conv(channels, channels, 1), _zero(channels))


def _zero(channels: int) -> nn.Conv2d:
    last = nn.Conv2d(channels, 1, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return last
