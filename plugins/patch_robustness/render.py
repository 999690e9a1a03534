"""Patches on surfaces: relight, mask, warp, composite; differentiable in the patch (spec section 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from perception.errors import PerceptionError
from perception.geometry.homography import Mode
from perception.ops.paste import Interpolation, paste

from .color import CLAMP
from .lighting import apply_lighting
from .surfaces import Surface, surface_matrices

__all__ = ["compose_canvas", "placement_mask", "render", "render_canvases"]


def compose_canvas(
    relit: Tensor,
    patch_masks: Tensor,
    surface_masks: Tensor,
    augment: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """RGBA canvases of relit patches, already multiplied by their masks.

    Args:
        relit: (N, 3, w, w) RGB.
        patch_masks: (N or 1, 1, w, w) where the patch is.
        surface_masks: (N or 1, 1, w, w) where the surface is; a patch never leaves it.
        augment: Moves the (N, 4, w, w) RGBA of the patch on the surface.

    Returns:
        (N, 4, w, w).
    """
    relit = relit.clamp(CLAMP, 1 - CLAMP)
    alpha = patch_masks.to(relit) if augment is not None else patch_masks.to(relit) * surface_masks.to(relit)
    alpha = alpha.expand(len(relit), 1, *relit.shape[2:])
    canvas = torch.cat([relit * alpha, alpha], 1)
    return canvas if augment is None else augment(canvas) * surface_masks.to(relit)


def placement_mask(surface: Surface, width: int) -> Tensor:
    """(width, width) mask of the part of a surface's canvas that its ``region`` allows."""
    mask = surface.canonical(width)[0]
    if surface.region is None:
        return torch.ones_like(mask)
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    top, height = int(rows[0]), len(rows)
    left, extent = int(columns[0]), len(columns)
    r0, r1, c0, c1 = surface.region
    allowed = torch.zeros_like(mask)
    allowed[
        top + round(r0 * height) : top + max(round(r1 * height), round(r0 * height) + 1),
        left + round(c0 * extent) : left + max(round(c1 * extent), round(c0 * extent) + 1),
    ] = 1
    return allowed


def _relight(patches: Tensor, surfaces: Sequence[Surface]) -> Tensor:
    """Relight (N, 3, w, w) patches, surfaces of one method and size of coefficients together."""
    groups: dict[tuple[str, torch.Size], list[int]] = {}
    for index, surface in enumerate(surfaces):
        groups.setdefault((surface.lighting.method, surface.lighting.coefficients.shape), []).append(index)
    if len(groups) == 1:
        ((method, _),) = groups
        coefficients = torch.stack([surface.lighting.coefficients for surface in surfaces]).to(patches)
        return apply_lighting(patches, method, coefficients)
    relit = torch.empty_like(patches)
    for (method, _), members in groups.items():
        coefficients = torch.stack([surfaces[i].lighting.coefficients for i in members]).to(patches)
        where = torch.tensor(members, device=patches.device)
        relit = relit.index_copy(0, where, apply_lighting(patches[where], method, coefficients))
    return relit


def render_canvases(
    patches: Tensor,
    surfaces: Sequence[Surface],
    patch_masks: Tensor | None = None,
    augment: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Relit and masked RGBA canvases (N, 4, w, w) of (N or 1, 3, w, w) patches; see ``render``."""
    count, width = len(surfaces), patches.shape[3]
    if patches.ndim != 4 or patches.shape[1] != 3 or patches.shape[2] != width or len(patches) not in (1, count):
        raise PerceptionError(f"render: expected patches ({count} or 1, 3, w, w), found {tuple(patches.shape)}")
    masks = torch.stack([surface.canonical(width)[0] for surface in surfaces])[:, None]
    if patch_masks is None:
        patch_masks = torch.stack([placement_mask(surface, width) for surface in surfaces])[:, None]
    relit = _relight(patches.expand(count, 3, width, width), surfaces)
    return compose_canvas(relit, patch_masks, masks, augment)


def render(
    images: Tensor,
    patches: Tensor,
    surfaces: Sequence[Surface],
    *,
    patch_masks: Tensor | None = None,
    owners: Tensor | None = None,
    interp: Interpolation = "bilinear",
    geometry: Mode = "perspective",
    premultiplied: bool = True,
    augment: Callable[[Tensor], Tensor] | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Render patches on surfaces; only the pixels under a patch are computed.

    Args:
        images: (B, 3, H, W) float32 RGB in [0, 1].
        patches: (N, 3, w, w) or (1, 3, w, w) RGB in [0, 1] on the canonical canvas of their surfaces.
        surfaces: N surfaces.
        patch_masks: (N or 1, 1, w, w) part of the canvas the patch covers; None: what each surface's ``region`` says.
        owners: (N,) image of each surface; None: its ``view``.
        interp: ``nearest``, ``bilinear`` or ``bicubic``.
        geometry: ``perspective``, ``affine`` or ``translate_scale``.
        premultiplied: Composite with correct borders; False as REAP does (slightly dark rim).
        augment: Moves the RGBA canvases on their surfaces, see ``eot.EOT``.
        out: Buffer for the result, ``images`` itself to work in place; None makes one copy.

    Returns:
        (B, 3, H, W); gradients flow to ``patches``. A patch that is not finite leaves NaN: see ``attacks``.

    Raises:
        PerceptionError: Shapes do not fit, or a surface is degenerate or reaches behind the camera.
    """
    if not surfaces:
        return images.clone() if out is None else (out if out is images else out.copy_(images))
    canvases = render_canvases(patches, surfaces, patch_masks, augment)
    if owners is None:
        owners = torch.tensor([surface.view for surface in surfaces])
    matrices = surface_matrices(surfaces, patches.shape[3], geometry).to(images.device)
    try:
        return paste(images, canvases, matrices, owners, interp, premultiplied=premultiplied, out=out)
    except ValueError as error:
        raise PerceptionError(f"render: {error}") from error
