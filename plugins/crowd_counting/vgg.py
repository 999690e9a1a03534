"""VGG encoders with the published names (spec crowd sections 1.1 and 1.7)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from perception.engine.checkpoint import load_state
from perception.errors import PerceptionError

from .blocks import BaseConv

VGG16 = (2, 2, 3, 3, 3)
VGG19 = (2, 2, 4, 4, 4)
WIDTHS = (64, 128, 256, 512, 512)


class Pooled(NamedTuple):
    """A pooled map with what unpooling needs: ``values``, ``indices`` and the size (h, w) before pooling."""

    values: Tensor
    indices: Tensor
    size: torch.Size


class VGG(nn.Module):
    """Convolutional part of a VGG.

    Args:
        depths: Convolutions of each block.
        norm: With batch norm (VGG16-bn) or without (VGG19).
        blocks: How many of the five blocks to build.
    """

    def __init__(self, depths: tuple[int, ...], norm: bool, blocks: int = 5) -> None:
        super().__init__()
        self.depths, self.norm, self.blocks = depths, norm, blocks
        inside = 3
        for block in range(blocks):
            for layer in range(depths[block]):
                setattr(self, f"conv{block + 1}_{layer + 1}", BaseConv(inside, WIDTHS[block], 3, norm))
                inside = WIDTHS[block]

    def run_block(self, x: Tensor, block: int) -> Tensor:
        """Convolutions of block ``block`` (from 1)."""
        for layer in range(self.depths[block - 1]):
            x = getattr(self, f"conv{block}_{layer + 1}")(x)
        return x

    def taps(self, x: Tensor) -> list[Tensor]:
        """Last map of each block, before the next pooling: strides 1, 2, 4, 8, 16."""
        found = []
        for block in range(1, self.blocks + 1):
            x = self.run_block(x if block == 1 else F.max_pool2d(x, 2), block)
            found.append(x)
        return found

    def pooled(self, x: Tensor) -> tuple[list[Pooled], Tensor]:
        """Maps pooled after blocks 1 to 4 with their indices, and the map of block 4 before its pooling."""
        found = []
        for block in range(1, 5):
            before = self.run_block(x, block)
            x, indices = F.max_pool2d(before, 2, return_indices=True)
            found.append(Pooled(x, indices, before.shape[2:]))
        return found, before

    def load_imagenet(self, path: str | Path) -> None:
        """Take over torchvision's ImageNet weights of the same VGG from a local file.

        Raises:
            PerceptionError: The file holds another network.
        """
        state = load_state(path)
        rows = sorted({int(key.split(".")[1]) for key in state if key.startswith("features.")})
        layers = [
            getattr(self, f"conv{block + 1}_{layer + 1}")
            for block in range(self.blocks)
            for layer in range(self.depths[block])
        ]
        parts = [part for layer in layers for part in ([layer.conv, layer.bn] if self.norm else [layer.conv])]
        if len(rows) < len(parts):
            raise PerceptionError(f"{path}: expected {len(parts)} layers 'features.N', found {len(rows)}")
        for row, part in zip(rows, parts):
            prefix = f"features.{row}."
            own = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
            try:
                part.load_state_dict(own, strict=not self.norm)
            except RuntimeError as error:
                raise PerceptionError(f"{path}: {prefix} does not fit this VGG: {error}") from error


def unpool(pooled: Pooled, values: Tensor | None = None) -> Tensor:
    """Put values back where the maxima were; zero elsewhere."""
    source = pooled.values if values is None else values
    return F.max_unpool2d(source, pooled.indices, [2, 2], output_size=tuple(pooled.size))
