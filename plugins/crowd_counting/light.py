"""The light variant for live use: a torchvision ShuffleNet, a context block without global pooling, a small decoder."""

from __future__ import annotations

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
    """Dual-path counting network of 0.56 M parameters with an output stride of 4, or of 2 when it enlarges pictures.

    The idea of M-SFANet in small: features of several strides are merged step by step; one path gives attention, the
    other density, and attention gates the density's features. Context comes from dilated convolutions instead of
    global pooling, so that a tile of a picture gives what the whole picture gives there.

    Args:
        trunk: Name of a torchvision ShuffleNetV2.
        width: Channels of the decoder at stride 4; it has 3/2 as many at stride 8 and twice as many at stride 16.
        zoom: 2 lets the network look at pictures enlarged twice: the trunk's fine features lie at stride 8, where a
            head of 7 pixels is less than a cell. It costs four times as much; weights serve the one they learnt with.
        pretrained: Local file with torchvision's weights of the trunk, or None to begin from scratch.
        **common: See `CrowdModel`.

    Raises:
        PerceptionError: Unknown trunk, a zoom other than 1 and 2, or a file that does not fit.
    """

    def __init__(
        self,
        trunk: str = "shufflenet_v2_x1_0",
        width: int = 48,
        zoom: int = 1,
        pretrained: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if trunk not in TRUNKS:
            raise PerceptionError(f"CrowdLight: trunk: expected one of {', '.join(TRUNKS)}, found {trunk!r}")
        if zoom not in (1, 2):
            raise PerceptionError(f"CrowdLight: zoom: expected 1 or 2, found {zoom!r}")
        self.zoom, self.stride, self.halo, self.tile = zoom, 4 // zoom, 256 // zoom, 2048 // zoom
        stem, middle, deep = TRUNKS[trunk]
        source = getattr(torchvision.models, trunk)(weights=None)
        if pretrained is not None:
            self._load_trunk(source, Path(pretrained))
        self.stem, self.pool, self.stage2, self.stage3 = source.conv1, source.maxpool, source.stage2, source.stage3
        half = 3 * width // 2
        self.fine = conv(stem, 16, 3, 2)
        self.squeeze = conv(deep, 2 * width, 1)
        self.context = nn.ModuleList(conv(2 * width, 2 * width, 3, dilation=d) for d in (2, 4))
        self.merge8 = nn.Sequential(conv(2 * width + middle, half, 1), conv(half, half, 3))
        self.merge4 = nn.Sequential(conv(half + 16 + stem, width, 1), conv(width, width, 3))
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
        """Density and attention (B, 1, H / stride, W / stride) of images whose sides are multiples of 16."""
        if self.zoom > 1:
            batch = _up(batch)
        stem = self.stem(batch.contiguous(memory_format=torch.channels_last))
        coarse = self.pool(stem)
        middle = self.stage2(coarse)
        deep = self.squeeze(self.stage3(middle))
        for block in self.context:
            deep = deep + block(deep)
        features = self.merge8(torch.cat([_up(deep), middle], 1))
        features = self.merge4(torch.cat([_up(features), self.fine(stem), coarse], 1))
        attention = torch.sigmoid(self.conv_att(self.amp(features)))
        density = F.softplus(self.conv_out(self.dmp(features))) * attention
        return CrowdMaps(density, attention)


def _up(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)
