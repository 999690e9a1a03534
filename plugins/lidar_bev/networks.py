"""The two networks of PPN: a pyramid that segments and an autoencoder that predicts (spec ppn section 3).

Both see a stack of bird's-eye-view maps and share no features, so that each can run on a device of its own. Module
names are those of the published checkpoints. With the default widths and 16 frames the published files load; level
``k`` counts from 1 (full size) and the encoder halves its maps after every level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from perception.errors import PerceptionError
from perception.registry import MODELS

WIDTHS = (32, 64, 128, 256, 512, 1024)
"""Channels of the published encoder."""
SLOPE = 0.01
THREE_WIDE = (4, 6)
"""Levels whose up-sampling has kernel 3 and gives 2n + 1 cells; the others give 2n."""

Norm = Literal["batch", "group"]
Head = Literal["published", "logits"]


def stack_maps(past: Sequence[Tensor], current: Tensor) -> Tensor:
    """The notebook's input, past maps (H, W) oldest first and the current one, as a batch (1, T, H, W)."""
    return torch.stack([*past, current])[None]


def fit(x: Tensor, size: Sequence[int]) -> Tensor:
    """Crop or zero-pad maps (B, C, h, w) at their far edges to ``size`` (rows, columns)."""
    rows, columns = size[0] - x.shape[2], size[1] - x.shape[3]
    return x if rows == columns == 0 else F.pad(x, (0, columns, 0, rows))


class MapEncoder(nn.Module):
    """Levels of two convolutions each, halved in between; what both networks are made of.

    Args:
        frames: Channels of the input: maps of the stack times features a map.
        widths: Channels of every level, finest first.
        outputs: Channels of the output.
        norm: ``batch`` as published, or ``group``, which does not depend on the batch.
        head: ``published`` ends in normalisation and LeakyReLU, ``logits`` in the convolution.

    Raises:
        PerceptionError: No frame, level or output.
    """

    def __init__(
        self, frames: int = 16, widths: Sequence[int] = WIDTHS, outputs: int = 1, norm: Norm = "batch",
        head: Head = "published",
    ) -> None:  # fmt: skip
        super().__init__()
        if min(frames, outputs, *widths, len(widths)) < 1:
            raise PerceptionError(f"expected at least one frame, level and output, found {frames}, {widths}, {outputs}")
        self.frames, self.widths, self.outputs = int(frames), tuple(widths), int(outputs)
        self.norm, self.head = norm, head
        for k, width in enumerate(self.widths, start=1):
            before = self.frames if k == 1 else self.widths[k - 2]
            kernel = 1 if k == 1 else 3
            self.add_unit(f"conv{k}", f"bn{k}", nn.Conv2d(before, width, kernel, padding=kernel // 2))
            self.add_unit(f"conv{k}_1", f"bn{k}_1", nn.Conv2d(width, width, 3, padding=1))

    def add_unit(self, conv: str, norm: str, layer: nn.Conv2d | nn.ConvTranspose2d, last: bool = False) -> None:
        """Register a convolution and its normalisation, which the last unit of ``head="logits"`` does without."""
        self.add_module(conv, layer)
        if last and self.head == "logits":
            return
        width = layer.out_channels
        groups = next(n for n in (8, 4, 2, 1) if width % n == 0)
        self.add_module(norm, nn.BatchNorm2d(width) if self.norm == "batch" else nn.GroupNorm(groups, width))

    def unit(self, conv: str, norm: str, x: Tensor) -> Tensor:
        """Convolution, normalisation, LeakyReLU."""
        return F.leaky_relu(getattr(self, norm)(getattr(self, conv)(x)), SLOPE)

    def up_width(self, k: int) -> int:
        """Channels after the up-sampling of level k."""
        return self.widths[k - 2] if k > 1 else max(self.widths[0] // 2, 1)

    def add_up(self, k: int) -> None:
        """Register the up-sampling of level k."""
        kernel = 3 if k in THREE_WIDE else 2
        self.add_unit(f"tranconv{k}", f"tranbn{k}", nn.ConvTranspose2d(self.widths[k - 1], self.up_width(k), kernel, 2))

    def add_last(self, k: int, width: int) -> None:
        """Register the second convolution of decoder level k, which takes ``width`` channels."""
        out = self.up_width(k) if k > 1 else self.outputs
        self.add_unit(f"upconv{k}_1", f"upbn{k}_1", nn.ConvTranspose2d(width, out, 3, padding=1), last=k == 1)

    def last(self, k: int, x: Tensor) -> Tensor:
        """Second convolution of decoder level k; without normalisation and activation where the head gives logits."""
        if k == 1 and self.head == "logits":
            return self.get_submodule("upconv1_1")(x)
        return self.unit(f"upconv{k}_1", f"upbn{k}_1", x)

    def encode(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Maps of every level before halving, and the halved last one.

        Raises:
            PerceptionError: The input has another number of channels, or is too small to be halved at every level.
        """
        if x.ndim != 4 or x.shape[1] != self.frames:
            raise PerceptionError(f"{type(self).__name__}: expected (B, {self.frames}, H, W), found {tuple(x.shape)}")
        least = 2 ** len(self.widths)
        if min(x.shape[2:]) < least:
            raise PerceptionError(f"{type(self).__name__}: expected sides of at least {least}, found {x.shape[2:]}")
        blocks = []
        for k in range(1, len(self.widths) + 1):
            x = self.unit(f"conv{k}_1", f"bn{k}_1", self.unit(f"conv{k}", f"bn{k}", x))
            blocks.append(x)
            x = F.max_pool2d(x, 2)
        return blocks, x


@MODELS.register_module()
class PyramidNet(MapEncoder):
    """The segmentation network: a decoder with lateral connections (spec ppn 3.2).

    Args:
        frames: See `MapEncoder`.
        widths: See `MapEncoder`.
        outputs: Classes.
        norm: See `MapEncoder`.
        head: See `MapEncoder`.
        decoder: ``chained``: every level continues the one below. ``unchained``: as published, where each level starts
            from the encoder and only the last one reaches the output; for published weights.
    """

    def __init__(
        self, frames: int = 16, widths: Sequence[int] = WIDTHS, outputs: int = 1, norm: Norm = "batch",
        head: Head = "published", decoder: Literal["chained", "unchained"] = "chained",
    ) -> None:  # fmt: skip
        super().__init__(frames, widths, outputs, norm, head)
        if decoder not in ("chained", "unchained"):
            raise PerceptionError(f"PyramidNet: decoder: expected 'chained' or 'unchained', found {decoder!r}")
        self.decoder = decoder
        for k, width in enumerate(self.widths, start=1):
            self.add_unit(f"poolconv{k}", f"poolbn{k}", nn.Conv2d(width, width, 3, padding=1))
            self.add_up(k)
            skip, out, kernel = (self.widths[k - 2] if k > 1 else self.frames), self.up_width(k), 3 if k > 1 else 1
            layer = nn.ConvTranspose2d(out + skip, out, kernel, padding=kernel // 2)
            self.add_unit(f"upconv{k}", f"upbn{k}", layer)
            self.add_last(k, out)

    def forward(self, x: Tensor) -> Tensor:
        """Map stacks (B, frames, H, W) -> (B, outputs, H, W); H and W of at least 2 ** levels."""
        blocks, _ = self.encode(x)
        if self.decoder == "unchained":
            return self.decode(1, self.lateral(1, blocks[0]), x)[1]
        laterals = [self.lateral(k, block) for k, block in enumerate(blocks, start=1)]
        y = laterals[-1]
        for k in range(len(blocks), 0, -1):
            _, y = self.decode(k, y, laterals[k - 2] if k > 1 else x)
        return y

    def lateral(self, k: int, block: Tensor) -> Tensor:
        """Lateral map of a level, half the size of its block."""
        return self.unit(f"poolconv{k}", f"poolbn{k}", F.max_pool2d(block, 2))

    def decode(self, k: int, below: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        """Up-sampled map, as the convolution gives it, and fused map of decoder level k."""
        up = self.unit(f"tranconv{k}", f"tranbn{k}", below)
        joined = torch.cat([fit(up, skip.shape[2:]), skip], dim=1)
        return up, self.last(k, self.unit(f"upconv{k}", f"upbn{k}", joined))


@MODELS.register_module()
class AutoencoderNet(MapEncoder):
    """The network that reconstructs or predicts maps: no lateral connections (spec ppn 3.4).

    Args:
        frames: See `MapEncoder`.
        widths: See `MapEncoder`.
        outputs: Maps to predict.
        norm: See `MapEncoder`.
        head: See `MapEncoder`.
        skip: Give every decoder level the encoder's map of its size too; not as published.
    """

    def __init__(
        self, frames: int = 16, widths: Sequence[int] = WIDTHS, outputs: int = 1, norm: Norm = "batch",
        head: Head = "published", skip: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(frames, widths, outputs, norm, head)
        self.skip = skip
        for k, width in enumerate(self.widths, start=1):
            self.add_up(k)
            self.add_last(k, self.up_width(k) + (width if skip else 0))

    def forward(self, x: Tensor, raw_size: bool = False) -> Tensor:
        """Map stacks (B, frames, H, W) -> (B, outputs, H, W).

        Args:
            x: Stacks, sides of at least 2 ** levels.
            raw_size: Leave up-sampled maps at the size the convolutions give, as the original does.
        """
        blocks, y = self.encode(x)
        for k in range(len(blocks), 0, -1):
            y = self.decode(k, y, blocks[k - 1], raw_size)
        return y

    def decode(self, k: int, below: Tensor, block: Tensor, raw_size: bool = False) -> Tensor:
        """Map of decoder level k from the one below, at the size of the encoder's ``block``."""
        up = self.unit(f"tranconv{k}", f"tranbn{k}", below)
        if not raw_size:
            up = fit(up, block.shape[2:])
        return self.last(k, torch.cat([up, block], dim=1) if self.skip else up)
