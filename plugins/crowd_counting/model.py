"""M-SFANet and M-SegNet, and their UCF-QNRF forms (ICPR 2020, arXiv 2003.05586; spec crowd section 1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from perception.registry import MODELS

from .base import CrowdMaps, CrowdModel
from .blocks import ASPP, BaseConv, Context, ContextAware, Window, up
from .vgg import VGG, VGG16, VGG19, Pooled, unpool


class Decoder(nn.Module):
    """Seven convolutions that merge features at strides 8, 4 and 2.

    Args:
        widths: Channels of the three merged inputs.
        norm: Batch norm.
        keep_norm: See `BaseConv`.
        reduce: Channels of an extra input that a pair of 3 x 3 convolutions first reduces to 128; 0 for none.
    """

    def __init__(self, widths: tuple[int, int, int], norm: bool, reduce: int = 0) -> None:
        super().__init__()
        first, second, third = widths
        self.conv1, self.conv2 = BaseConv(first, 256, 1, norm), BaseConv(256, 256, 3, norm)
        self.conv3, self.conv4 = BaseConv(second, 128, 1, norm), BaseConv(128, 128, 3, norm)
        self.conv5, self.conv6 = BaseConv(third, 64, 1, norm), BaseConv(64, 64, 3, norm)
        self.conv7 = BaseConv(64, 32, 3, norm)
        if reduce:
            self.reg_layer = reg_layer(reduce)

    def stage(self, number: int, x: Tensor) -> Tensor:
        """Stage 1 at stride 8, 2 at stride 4, 3 at stride 2."""
        layers = {1: (self.conv1, self.conv2), 2: (self.conv3, self.conv4), 3: (self.conv5, self.conv6, self.conv7)}
        for layer in layers[number]:
            x = layer(x)
        return x


def reg_layer(channels: int) -> nn.Sequential:
    """The two convolutions of the UCF-QNRF forms, ``channels`` -> 256 -> 128."""
    return nn.Sequential(
        nn.Conv2d(channels, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 128, 3, padding=1), nn.ReLU()
    )


def normal_weights(model: nn.Module) -> None:
    """Published start of what was not initialised otherwise: N(0, 0.01) weights, zero bias."""
    for module in model.modules():
        if isinstance(module, BaseConv):
            nn.init.normal_(module.conv.weight, std=0.01)
            nn.init.zeros_(module.conv.bias)  # type: ignore[arg-type]


class _Published(CrowdModel):
    """Pretrained encoders and the head that two networks share."""

    vgg: VGG
    conv_att: BaseConv
    conv_out: BaseConv

    def _start(self, pretrained: str | Path | None) -> None:
        if pretrained is not None:
            self.vgg.load_imagenet(pretrained)

    def _head(self, amp: Tensor, dmp: Tensor) -> CrowdMaps:
        attention = self.conv_att(amp).sigmoid()
        return CrowdMaps(self.conv_out(attention * dmp), attention)


@MODELS.register_module(name="M_SFANet")
class MSFANet(_Published):
    """VGG16-bn, context module, ASPP and two decoders: density and attention at stride 2.

    Args:
        pretrained: Local file with torchvision's VGG16-bn, for training from ImageNet; None for none.
        **common: See `CrowdModel`.
    """

    halo = 448

    def __init__(self, pretrained: str | None = None, **common: Any) -> None:
        super().__init__(**common)
        self.vgg = VGG(VGG16, norm=True)
        self.spm = nn.ModuleDict({"assp": ASPP(), "can": ContextAware()})
        self.amp, self.dmp = (Decoder((768, 768, 256), norm=True) for _ in range(2))
        self.conv_att = BaseConv(32, 1, 1, norm=True, relu=False)
        self.conv_out = BaseConv(32, 1, 1, norm=False, relu=False, keep_norm=True)
        normal_weights(self)
        self._start(pretrained)

    def maps(self, batch: Tensor) -> CrowdMaps:
        """Density and attention (B, 1, H // 2, W // 2); sides are 16 k or 16 k + 1."""
        return self.tile_maps(batch, None, None)

    def tile_maps(self, batch: Tensor, context: Context | None, window: Window | None) -> CrowdMaps:
        """As `maps`, for a tile with the context of the whole picture (see `tiles`)."""
        _, c2, c3, c4, c5 = self.vgg.taps(batch)
        can = self.spm["can"](c4, None if context is None else context.pooled, window)
        deep = self.spm["assp"](c5, None if context is None else context.overall)
        ups = (up(deep, 2, window, 16), up(deep, 4, window, 16))
        amp, dmp = (self._decode(path, can, ups, c2, c3, window) for path in (self.amp, self.dmp))
        return self._head(amp, dmp)

    @staticmethod
    def _decode(
        path: Decoder, can: Tensor, ups: tuple[Tensor, Tensor], c2: Tensor, c3: Tensor, window: Window | None
    ) -> Tensor:
        x = path.stage(1, torch.cat([ups[0], can], 1))
        x = path.stage(2, torch.cat([up(x, 2, window, 8), c3, ups[1]], 1))
        return path.stage(3, torch.cat([up(x, 2, window, 4), c2], 1))

    def context_features(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Maps whose averages over the whole picture `Context` holds: strides 8 and 16."""
        taps = self.vgg.taps(batch)
        return taps[3], taps[4]


@MODELS.register_module(name="M_SegNet")
class MSegNet(_Published):
    """VGG16-bn up to block 4 and two decoders that unpool: density and attention at stride 2.

    Args:
        pretrained, **common: See `MSFANet`.
    """

    halo = 192

    def __init__(self, pretrained: str | None = None, **common: Any) -> None:
        super().__init__(**common)
        self.vgg = VGG(VGG16, norm=True, blocks=4)
        self.amp, self.dmp = (Decoder((768, 384, 192), norm=True) for _ in range(2))
        self.conv_att = BaseConv(32, 1, 1, norm=True, relu=False)
        self.conv_out = BaseConv(32, 1, 1, norm=False, relu=False, keep_norm=True)
        normal_weights(self)
        self._start(pretrained)

    def maps(self, batch: Tensor) -> CrowdMaps:
        """Density and attention (B, 1, H // 2, W // 2); sides of at least 16."""
        pooled, _ = self.vgg.pooled(batch)
        amp, dmp = (unpooling_decode(path, pooled, None) for path in (self.amp, self.dmp))
        return self._head(amp, dmp)


def unpooling_decode(path: Decoder, pooled: list[Pooled], extra: Tensor | None) -> Tensor:
    """Decoder of M-SegNet: unpool to strides 8, 4, 2, each time merged with the pooled map there."""
    parts = [unpool(pooled[3]), pooled[2].values]
    x = path.stage(1, torch.cat(parts if extra is None else [extra, *parts], 1))
    x = path.stage(2, torch.cat([unpool(pooled[2], x), pooled[1].values], 1))
    return path.stage(3, torch.cat([unpool(pooled[1], x), pooled[0].values], 1))


@MODELS.register_module(name="M_SFANet_UCF_QNRF")
class MSFANetQNRF(_Published):
    """M-SFANet*: VGG19 without batch norm, one decoder, density only, trained with the Bayesian loss.

    Args:
        pretrained, **common: See `MSFANet`; the file is torchvision's VGG19.
    """

    halo = 768
    tile = 1664

    def __init__(self, pretrained: str | None = None, **common: Any) -> None:
        super().__init__(**common)
        self.vgg = VGG(VGG19, norm=False)
        modules = {"assp": ASPP((12, 24, 36), norm=False), "can": ContextAware(), "reg_layer": reg_layer(512)}
        self.spm = nn.ModuleDict(modules)
        self.dmp = Decoder((896, 896, 256), norm=False)
        self.conv_out = BaseConv(32, 1, 1, norm=False, relu=False)
        self._start(pretrained)

    def maps(self, batch: Tensor) -> CrowdMaps:
        """Density (B, 1, H // 2, W // 2), never negative; sides are 16 k or 16 k + 1."""
        return self.tile_maps(batch, None, None)

    def tile_maps(self, batch: Tensor, context: Context | None, window: Window | None) -> CrowdMaps:
        """As `maps`, for a tile with the context of the whole picture (see `tiles`)."""
        _, c2, c3, c4, c5 = self.vgg.taps(batch)
        can = self.spm["can"](c4, None if context is None else context.pooled, window)
        deep = self.spm["assp"](c5, None if context is None else context.overall)
        merged = torch.cat([up(deep, 2, window, 16), self.spm["reg_layer"](up(c5, 2, window, 16))], 1)
        x = self.dmp.stage(1, torch.cat([merged, can], 1))
        x = self.dmp.stage(2, torch.cat([up(x, 2, window, 8), c3, up(merged, 2, window, 8)], 1))
        x = self.dmp.stage(3, torch.cat([up(x, 2, window, 4), c2], 1))
        return CrowdMaps(self.conv_out(x).abs(), None)

    def context_features(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """See `MSFANet.context_features`."""
        taps = self.vgg.taps(batch)
        return taps[3], taps[4]


@MODELS.register_module(name="M_SegNet_UCF_QNRF")
class MSegNetQNRF(_Published):
    """M-SegNet*: VGG19 without batch norm, one unpooling decoder, density only.

    Args:
        pretrained, **common: See `MSFANetQNRF`.
    """

    halo = 256

    def __init__(self, pretrained: str | None = None, **common: Any) -> None:
        super().__init__(**common)
        self.vgg = VGG(VGG19, norm=False)
        self.dmp = Decoder((896, 384, 192), norm=False, reduce=512)
        self.conv_out = BaseConv(32, 1, 1, norm=False, relu=False)
        self._start(pretrained)

    def maps(self, batch: Tensor) -> CrowdMaps:
        """Density (B, 1, H // 2, W // 2), never negative; H // 8 and W // 8 are even."""
        pooled, _ = self.vgg.pooled(batch)
        deep = self.dmp.reg_layer(up(self.vgg.run_block(pooled[3].values, 5), 2))
        return CrowdMaps(self.conv_out(unpooling_decode(self.dmp, pooled, deep)).abs(), None)
