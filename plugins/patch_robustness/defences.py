"""Defences that change the input, as victims of their own: attacked through themselves with EoT and BPDA."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from mmengine.registry import Registry
from torch import Tensor
from torch.nn import functional as F

from perception.attack import ATTACK_TARGETS, AttackSample, AttackTarget
from perception.errors import PerceptionError

from .wrapped import WrappedTarget

__all__ = ["DEFENCES", "DefendedTarget", "InputDefence", "Jpeg", "MedianFilter", "RandomResize", "content_generator"]

DEFENCES = Registry("defence", scope="perception")
"""Input transforms by the name that configs use."""


class InputDefence(Protocol):
    """A transform of images that keeps their size, so that boxes and lanes keep their place.

    Attributes:
        random: Whether it draws; an attack then averages over draws (EoT).
    """

    random: bool

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> the same; with a gradient, exact or in its place the identity (BPDA)."""
        ...


class _JpegStraightThrough(torch.autograd.Function):
    """Real compression forward; backward the identity, which approximates it (BPDA)."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, quality: int) -> Tensor:
        out = []
        for image in (images.detach().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy():
            _, code = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
            decoded = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))
            out.append(torch.from_numpy(np.ascontiguousarray(decoded[..., ::-1])))
        return torch.stack(out).permute(0, 3, 1, 2).to(images) / 255

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


@DEFENCES.register_module()
class Jpeg:
    """JPEG compression.

    Args:
        quality: 1 to 100.

    Raises:
        PerceptionError: Another quality.
    """

    random = False

    def __init__(self, quality: int = 50) -> None:
        if not 1 <= quality <= 100:
            raise PerceptionError(f"jpeg defence: expected quality 1 to 100, found {quality}")
        self.quality = int(quality)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See ``InputDefence``."""
        found: Tensor = _JpegStraightThrough.apply(images, self.quality)
        return found


@DEFENCES.register_module()
class MedianFilter:
    """Median of a square window of each channel; its gradient is exact.

    Args:
        size: Side of the window, odd.

    Raises:
        PerceptionError: An even side, or one below 3.
    """

    random = False

    def __init__(self, size: int = 3) -> None:
        if size < 3 or size % 2 == 0:
            raise PerceptionError(f"median defence: expected an odd size of 3 or more, found {size}")
        self.size = int(size)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See ``InputDefence``."""
        reach = self.size // 2
        padded = F.pad(images, (reach,) * 4, mode="replicate")
        return padded.unfold(2, self.size, 1).unfold(3, self.size, 1).flatten(4).median(-1).values


@DEFENCES.register_module()
class RandomResize:
    """Down to a random size and back.

    Args:
        scale: Range of the factor.

    Raises:
        PerceptionError: A range outside (0, 1].
    """

    random = True

    def __init__(self, scale: tuple[float, float] = (0.6, 1.0)) -> None:
        if not 0 < scale[0] <= scale[1] <= 1:
            raise PerceptionError(f"resize defence: expected 0 < scale <= 1, found {tuple(scale)}")
        self.scale = (float(scale[0]), float(scale[1]))

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See ``InputDefence``."""
        size = images.shape[2:]
        factor = self.scale[0] + (self.scale[1] - self.scale[0]) * float(torch.rand((), generator=generator))
        small = (max(round(size[0] * factor), 1), max(round(size[1] * factor), 1))
        if small == tuple(size):
            return images
        reduced = F.interpolate(images, small, mode="bilinear", align_corners=False, antialias=True)
        return F.interpolate(reduced, tuple(size), mode="bilinear", align_corners=False)


def content_generator(images: Tensor, seed: int) -> torch.Generator:
    """A generator that depends on the images and a seed only: draws change with the patch, and runs repeat."""
    content = (images.detach().clamp(0, 1) * 255).round().to(torch.uint8).cpu().contiguous().numpy().tobytes()
    return torch.Generator().manual_seed(zlib.crc32(content) ^ (seed & 0xFFFFFFFF))


@ATTACK_TARGETS.register_module()
class DefendedTarget(WrappedTarget):
    """A victim behind an input defence. Its gradient goes through the defence, so that an attack adapts to it.

    Args:
        target: The victim, or its config.
        defence: One of ``DEFENCES``, or its config.
        draws: Draws that ``loss`` averages over where the defence is random.
        seed: Of the draws.

    Raises:
        PerceptionError: Fewer than one draw.
    """

    def __init__(
        self, target: AttackTarget | dict, defence: InputDefence | dict, draws: int = 4, seed: int = 0
    ) -> None:
        super().__init__(target)
        self.defence: Any = DEFENCES.build(defence) if isinstance(defence, dict) else defence
        if draws < 1:
            raise PerceptionError(f"defended target: expected 1 draw or more, found {draws}")
        self.draws, self.seed = (int(draws) if self.defence.random else 1), seed

    @property
    def defence_name(self) -> str:
        """Name and settings of the defence."""
        shown = ", ".join(f"{key}={value}" for key, value in vars(self.defence).items())
        return f"{type(self.defence).__name__}({shown})"

    def loss(self, images: Tensor, samples: Sequence[AttackSample], goal: str) -> Tensor:
        """(B,) the victim's loss on defended images, mean over draws."""
        generator = content_generator(images, self.seed)
        shown = [self.target.loss(self.defence(images, generator), samples, goal) for _ in range(self.draws)]
        return torch.stack(shown).mean(0)

    def predict(self, images: Tensor, samples: Sequence[AttackSample]) -> list[Any]:
        """The victim's results on defended images, one draw."""
        found: list[Any] = self.target.predict(self.defence(images, content_generator(images, self.seed)), samples)
        return found
