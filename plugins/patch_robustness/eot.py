"""Expectation over transformation: the patch an attack sees is moved, relit and disturbed, from one generator."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from perception.errors import PerceptionError

__all__ = ["EOT"]


@dataclass(frozen=True)
class EOT:
    """Ranges of the disturbances; all 0 (the default) leaves the patch as it is.

    Attributes:
        rotation: Largest angle in degrees.
        translation: Largest shift as a share of the canvas.
        scale: Magnification is drawn from 1 / (1 + scale) .. 1 + scale.
        jitter: Largest relative change of brightness and contrast of the patch.
        noise: Half width of uniform noise on the patch.
        blur: Largest standard deviation of a Gaussian blur, in canvas pixels.
    """

    rotation: float = 0.0
    translation: float = 0.0
    scale: float = 0.0
    jitter: float = 0.0
    noise: float = 0.0
    blur: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= float(value) < math.inf:
                raise PerceptionError(f"EOT {name}: expected 0 or more, found {value}")

    def patch(self, patches: Tensor, generator: torch.Generator) -> Tensor:
        """Disturb (N, 3, w, w) patches in [0, 1]; differentiable."""
        count = len(patches)
        if self.jitter:
            gain, offset = (2 * torch.rand(2, count, 1, 1, 1, generator=generator) - 1) * self.jitter
            mean = patches.mean((1, 2, 3), keepdim=True)
            patches = (patches - mean) * (1 + gain) + mean * (1 + offset)
        if self.noise:
            patches = patches + (2 * torch.rand(patches.shape, generator=generator) - 1) * self.noise
        if self.blur:
            patches = _blurred(patches, float(torch.rand((), generator=generator)) * self.blur)
        return patches.clamp(0, 1)

    def canvas(self, canvases: Tensor, generator: torch.Generator) -> Tensor:
        """Move (N, 4, w, w) RGBA canvases on their surface; differentiable."""
        if not (self.rotation or self.translation or self.scale):
            return canvases
        angle, x, y, size = (2 * torch.rand(4, len(canvases), generator=generator) - 1).unbind(0)
        angle, factor = torch.deg2rad(angle * self.rotation), torch.exp(-size * math.log1p(self.scale))
        cos, sin = factor * torch.cos(angle), factor * torch.sin(angle)
        shift = 2 * self.translation
        theta = torch.stack([cos, sin, x * shift, -sin, cos, y * shift], 1).reshape(-1, 2, 3)
        grid = F.affine_grid(theta, list(canvases.shape), align_corners=False)
        return F.grid_sample(canvases, grid, "bilinear", "zeros", align_corners=False)


def _blurred(images: Tensor, sigma: float) -> Tensor:
    if sigma < 0.1:
        return images
    reach = max(int(3 * sigma + 0.5), 1)
    x = torch.arange(-reach, reach + 1, dtype=images.dtype)
    kernel = torch.exp(-(x**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel, groups=3), kernel.transpose(2, 3), groups=3)
