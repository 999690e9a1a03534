"""The definition: every canvas is warped over the whole image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

EDGE = 1e-6
"""Images are kept this far away from 0 and 1."""


def source_grid(matrices: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, H, W, 2) canvas xy of every image pixel, float64."""
    inverse = torch.linalg.inv(matrices.double())
    y, x = torch.meshgrid(
        torch.arange(size[0], dtype=torch.float64, device=matrices.device),
        torch.arange(size[1], dtype=torch.float64, device=matrices.device),
        indexing="ij",
    )
    points = torch.stack([x, y, torch.ones_like(x)], -1).reshape(1, -1, 3) @ inverse.transpose(1, 2)
    return (points[..., :2] / points[..., 2:]).reshape(len(matrices), *size, 2)


def warp(canvases: Tensor, matrices: Tensor, size: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """(N, C, h, w) canvases -> (N, C, H, W); zeros outside the canvas."""
    if not len(canvases):
        return canvases.new_zeros(0, canvases.shape[1], *size)
    extent = torch.tensor([canvases.shape[3] - 1, canvases.shape[2] - 1], dtype=torch.float64, device=canvases.device)
    grid = (source_grid(matrices, size) / extent.clamp(min=1) * 2 - 1).nan_to_num(1e6, 1e6, -1e6).clamp(-1e6, 1e6)
    return F.grid_sample(canvases, grid.to(canvases.dtype), mode, "zeros", align_corners=True)


def paste(images: Tensor, canvases: Tensor, matrices: Tensor, owners: Tensor, mode: str, premultiplied: bool) -> Tensor:
    """See ``perception.ops.paste.paste``."""
    size = (images.shape[2], images.shape[3])
    warped = warp(canvases, matrices, size, mode).clamp(0, 1)
    total = images.new_zeros(len(images), 4, *size).index_add(0, owners, warped.to(images.dtype)).clamp(max=1)
    colour, alpha = total[:, :3], total[:, 3:]
    return (1 - alpha) * images.clamp(EDGE, 1 - EDGE) + (colour if premultiplied else alpha * colour)
