"""The synthetic baseline of REAP: a drawn sign pasted in the middle of a photo and moved at random (spec section 5).

The signs have no place in the scene, no light of it and no perspective: what the realistic rendering is compared with.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .color import CLAMP

__all__ = ["paste_synthetic", "random_affine", "warp_half_pixel"]


def random_affine(
    count: int,
    size: tuple[int, int],
    generator: torch.Generator,
    rotation: float = 15.0,
    translation: float = 0.4,
    scale: tuple[float, float] = (1.0, 1.0),
) -> Tensor:
    """Draw maps about the image centre.

    Args:
        count: How many.
        size: (H, W) of the images.
        generator: Source of randomness.
        rotation: Largest angle in degrees.
        translation: Largest shift as a share of the image.
        scale: Range of the magnification.

    Returns:
        (count, 3, 3) pixel -> pixel.
    """
    angle, shift_x, shift_y, size_draw = (2 * torch.rand(4, count, generator=generator) - 1).unbind(0)
    angle = torch.deg2rad(angle * rotation)
    low, high = math.log(scale[0]), math.log(scale[1])
    factor = torch.exp(low + (size_draw + 1) / 2 * (high - low))
    cos, sin = factor * torch.cos(angle), factor * torch.sin(angle)
    centre_x, centre_y = (size[1] - 1) / 2, (size[0] - 1) / 2
    move_x = centre_x + shift_x * translation * size[1] - cos * centre_x - sin * centre_y
    move_y = centre_y + shift_y * translation * size[0] + sin * centre_x - cos * centre_y
    zero, one = torch.zeros(count), torch.ones(count)
    return torch.stack([cos, sin, move_x, -sin, cos, move_y, zero, zero, one], 1).reshape(count, 3, 3)


def warp_half_pixel(images: Tensor, matrices: Tensor) -> Tensor:
    """Warp (N, C, H, W) by (N, 3, 3) as REAP does: normalised with size - 1, sampled with half-pixel centres."""
    height, width = images.shape[2:]
    scale = torch.tensor([[2 / (width - 1), 0, -1], [0, 2 / (height - 1), -1], [0, 0, 1]], dtype=torch.float64)
    normal = scale @ matrices.double() @ torch.linalg.inv(scale)
    theta = torch.linalg.inv(normal)[:, :2].to(images.dtype)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, "bilinear", "zeros", align_corners=False)


def paste_synthetic(
    images: Tensor,
    template: Tensor,
    mask: Tensor,
    patches: Tensor | None,
    patch_masks: Tensor | None,
    matrices: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Paste a drawn sign, with or without a patch, into every image.

    Args:
        images: (B, 3, H, W) RGB in [0, 1].
        template: (3, w, w) the sign on its canonical canvas, see ``resize_template``.
        mask: (w, w) of 0 and 1, its outline.
        patches: (B or 1, 3, w, w) RGB in [0, 1]; None for the clean sign.
        patch_masks: (B or 1, 1, w, w) where the patch is.
        matrices: (B, 3, 3) moves the sign from the middle of the image; None leaves it there.

    Returns:
        (B, 3, H, W) images, and (B, 4) float32 x0, y0, x1, y1 of the sign.
    """
    count, _, height, width = images.shape
    side = template.shape[-1]
    top, left = (height - template.shape[-2]) // 2, (width - side) // 2
    sign = template.expand(count, *template.shape)
    if patches is not None and patch_masks is not None:
        covered = patch_masks.to(sign) * mask
        sign = (1 - covered) * sign + covered * patches.clamp(CLAMP, 1 - CLAMP)
    canvas = torch.cat([sign, mask.expand(count, 1, *mask.shape).to(sign)], 1)
    canvas = F.pad(canvas, (left, width - left - side, top, height - top - template.shape[-2]))
    if matrices is not None:
        canvas = warp_half_pixel(canvas, matrices)
    colour, alpha = canvas[:, :3].clamp(0, 1), canvas[:, 3:].clamp(0, 1)
    return (1 - alpha) * images.clamp(CLAMP, 1 - CLAMP) + alpha * colour, _bounds(alpha[:, 0].detach() > 0)


def resize_template(template: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (3, h, w) to (h', w') without antialiasing, as the versions of the reference do."""
    return F.interpolate(template[None], size, mode="bilinear", align_corners=False, antialias=False)[0]


def _bounds(masks: Tensor) -> Tensor:
    boxes = torch.zeros(len(masks), 4)
    for box, mask in zip(boxes, masks):
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        if len(rows):
            box[:] = torch.tensor([columns[0], rows[0], columns[-1], rows[-1]], dtype=torch.float32)
    return boxes
