"""Pasting flat pictures into images: projective warp, sum of overlaps, composite; differentiable, only where they land.

A picture is an RGBA canvas that was multiplied by its alpha already. The definition warps every canvas over the whole
image; the kernels for the CPU and for CUDA visit only the pixels a picture can reach, so their cost does not grow with
the image. On other devices the definition is used.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from perception.ops.forms import form_for
from perception.ops.paste import cpu, reference
from perception.ops.paste.device import PasteOnDevice
from perception.ops.paste.windows import MODES, windows

__all__ = ["Interpolation", "paste", "warp"]

Interpolation = Literal["nearest", "bilinear", "bicubic"]


def paste(
    images: Tensor,
    canvases: Tensor,
    matrices: Tensor,
    owners: Tensor,
    mode: Interpolation = "bilinear",
    *,
    premultiplied: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """Warp canvases into images and composite them: ``(1 - a) * image + a * rgb`` on the clipped sum of all RGBA.

    Args:
        images: (B, 3, H, W) float32 in [0, 1]; touched pixels are kept 1e-6 away from 0 and 1.
        canvases: (N, 4, h, w) float32 RGBA in [0, 1], all four channels 0 where transparent.
        matrices: (N, 3, 3) canvas xy -> image xy, pixel centres at integers.
        owners: (N,) int64 image of each canvas.
        mode: ``nearest``, ``bilinear`` or ``bicubic`` (a = -0.75), zeros outside the canvas.
        premultiplied: Composite ``(1 - a) * image + rgb``, the right formula for such canvases; off as in REAP, which
            multiplies the border by its alpha twice.
        out: Contiguous float32 buffer of the shape of ``images`` that receives the result, ``images`` itself for work
            in place; None copies.

    Returns:
        (B, 3, H, W), ``out`` where it was given. Gradients flow to ``canvases``, and to ``images`` unless ``out`` was
        given.

    Raises:
        ValueError: Shapes, types, owners or ``out`` do not fit; a canvas that reaches behind the camera; a matrix
            without inverse.
    """
    _check(images, canvases, matrices, owners, mode, out)
    form = form_for(images.device)
    if form != "reference" and images.dtype == canvases.dtype == torch.float32:
        kernel = _Paste if form == "cpu" else PasteOnDevice
        return kernel.apply(images, canvases, matrices, owners, mode, premultiplied, out)
    result = reference.paste(images, canvases, matrices, owners, mode, premultiplied)
    return result if out is None else out.copy_(result)


def warp(canvases: Tensor, matrices: Tensor, size: tuple[int, int], mode: Interpolation = "bilinear") -> Tensor:
    """Warp (N, C, h, w) canvases over whole images: (N, C, H, W) of ``size`` = (H, W), zeros outside the canvas."""
    return reference.warp(canvases, matrices, size, mode)


def _check(images: Tensor, canvases: Tensor, matrices: Tensor, owners: Tensor, mode: str, out: Tensor | None) -> None:
    count = len(canvases)
    if images.ndim != 4 or images.shape[1] != 3 or canvases.ndim != 4 or canvases.shape[1] != 4:
        found = f"{tuple(images.shape)}, {tuple(canvases.shape)}"
        raise ValueError(f"paste: expected images (B, 3, H, W) and canvases (N, 4, h, w), found {found}")
    if matrices.shape != (count, 3, 3) or owners.shape != (count,):
        found = f"{tuple(matrices.shape)}, {tuple(owners.shape)}"
        raise ValueError(f"paste: expected matrices ({count}, 3, 3) and owners ({count},), found {found}")
    if mode not in MODES:
        raise ValueError(f"paste: expected mode {', '.join(MODES)}, found {mode!r}")
    if count and not (int(owners.min()) >= 0 and int(owners.max()) < len(images)):
        raise ValueError(f"paste: expected owners below {len(images)}, found {owners.tolist()}")
    if out is not None and (out.shape != images.shape or out.dtype != torch.float32 or not out.is_contiguous()):
        raise ValueError(f"paste: expected out contiguous float32 {tuple(images.shape)}, found {tuple(out.shape)}")
    if out is not None and torch.is_grad_enabled() and (images.requires_grad or out.requires_grad):
        raise ValueError("paste: an image that needs a gradient cannot be written over; leave out=None")


def _inverse(matrices: Tensor) -> Tensor:
    """(N, 3, 3) float64; numpy needs a tenth of the time of torch for a few small matrices."""
    try:
        return torch.from_numpy(np.linalg.inv(matrices.detach().double().numpy()))
    except np.linalg.LinAlgError as error:
        raise ValueError("paste: a matrix has no inverse") from error


class _Paste(torch.autograd.Function):
    """The CPU kernel; keeps the pixels under the pictures for the backward pass, never a second whole image."""

    @staticmethod
    def forward(ctx: Any, images, canvases, matrices, owners, mode, premultiplied, out):  # type: ignore[override]
        result = images.clone(memory_format=torch.contiguous_format) if out is None else out
        if out is not None and out.data_ptr() != images.data_ptr():
            out.copy_(images)
        packed = canvases.detach().permute(0, 2, 3, 1).contiguous()
        places = windows(packed, matrices, tuple(images.shape[2:]), mode)
        inverse = _inverse(matrices)
        order = cpu.arrange(places, owners)
        needed = canvases.numel() and any(ctx.needs_input_grad[:2])
        kept = cpu.keep(result, places, owners) if needed else None
        cpu.composite(result, packed, inverse, places, owners, order, MODES[mode], premultiplied)
        ctx.state = (packed, inverse, places, owners, order, MODES[mode], premultiplied)
        ctx.kept, ctx.needs_images = kept, ctx.needs_input_grad[0]
        if out is not None:
            ctx.mark_dirty(out)
        return result

    @staticmethod
    def backward(ctx: Any, grad):  # type: ignore[override]
        packed = ctx.state[0]
        for_images = grad.contiguous().clone() if ctx.needs_images else None
        for_canvases = torch.zeros_like(packed)
        if ctx.kept is not None:
            cpu.gradient(grad, ctx.kept, *ctx.state, for_canvases, for_images)  # type: ignore[call-arg]
        return for_images, for_canvases.permute(0, 3, 1, 2), None, None, None, None, None
