"""Rendering signs of 80 pixels: only the pixels under the patch, against warping canvases over the whole image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from perception.bench.core import Pair, benchmark
from perception.ops.paste import reference, warp

from .lighting import Lighting, apply_lighting
from .render import compose_canvas, render
from .signs import patch_mask, sign_class
from .surfaces import Surface, surface_matrices

SIDE = 80


def _scene(count: int, height: int, width: int) -> tuple[Tensor, Tensor, list[Surface], Tensor]:
    """Images, patch, one octagon of 80 pixels in each image, and the mask of a patch that covers the whole sign."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, height, width, generator=generator)
    corners = torch.tensor([[0.29, 0.0], [1.0, 0.3], [0.7, 1.0], [0.0, 0.7]]) * (SIDE - 1)
    light = Lighting("percentile", torch.tensor([[0.4, 0.1]]))
    found = sign_class("octagon")
    size = (found.height_mm / 1000, found.width_mm / 1000)
    surfaces = []
    for view in range(count):
        jitter = torch.rand(4, 2, generator=generator) * 2
        surfaces.append(Surface(corners + jitter + torch.tensor([50.3, 70.6]), found.shape, size, light, view))
    mask = torch.ones(1, 1, 64, 64)
    return images, torch.rand(1, 3, 64, 64, generator=generator), surfaces, mask


def _whole_image(images: Tensor, patch: Tensor, surfaces: list[Surface], mask: Tensor) -> Tensor:
    """The steps of REAP: both canvases are warped over the whole image."""
    coefficients = torch.stack([surface.lighting.coefficients for surface in surfaces])
    relit = apply_lighting(patch.expand(len(surfaces), -1, -1, -1), "percentile", coefficients)
    objects = torch.stack([surface.canonical(64)[0] for surface in surfaces])[:, None]
    canvas = compose_canvas(relit, mask, objects)
    matrices = surface_matrices(surfaces, 64)
    warp(objects, matrices, (images.shape[2], images.shape[3]), "nearest")
    owners = torch.tensor([surface.view for surface in surfaces])
    return reference.paste(images, canvas, matrices, owners, "bilinear", False)


def _pair(count: int, height: int, width: int, in_place: bool, gradient: bool) -> Pair:
    images, patch, surfaces, mask = _scene(count, height, width)
    buffer = images.clone()
    upstream = torch.ones_like(images)

    def run(draw: Callable[[Tensor], Tensor]) -> list[Tensor]:
        if not gradient:
            with torch.no_grad():
                return [draw(patch)]
        free = patch.clone().requires_grad_()
        out = draw(free)
        return [out.detach(), *torch.autograd.grad(out, free, upstream)]

    def ours() -> list[Tensor]:
        target = buffer.detach() if in_place else None
        source = images if target is None else target
        return run(lambda p: render(source, p, surfaces, patch_masks=mask, premultiplied=False, out=target))

    def agree(one: list[Tensor], two: list[Tensor]) -> bool:
        return all(torch.allclose(a, b, atol=1e-3) for a, b in zip(one, two))

    return Pair(ours, lambda: run(lambda p: _whole_image(images, p, surfaces, mask)), units=count, check=agree)


def _register(name: str, count: int, height: int, width: int, in_place: bool, gradient: bool) -> None:
    title = f"{name}_{count}x{height}x{width}{'_gradient' if gradient else ''}"
    benchmark("render", title, naive="canvases warped over the whole image", unit="sign")(
        lambda: _pair(count, height, width, in_place, gradient)
    )


for _gradient in (False, True):
    _register("in_place", 8, 512, 512, True, _gradient)
    _register("one_copy", 8, 512, 512, False, _gradient)
    _register("in_place", 1, 1536, 2048, True, _gradient)
    _register("one_copy", 1, 1536, 2048, False, _gradient)


@benchmark("render", "sticker_10x10in_8x512x512", naive="canvases warped over the whole image", unit="sign")
def sticker() -> Pair:
    """A sticker of 10 x 10 inches on the sign, in place: what an attack step renders."""
    images, patch, surfaces, _ = _scene(8, 512, 512)
    found = sign_class("octagon")
    mask = patch_mask("1_10x10_bottom", (found.height_mm, found.width_mm))[None, None]
    buffer = images.clone()

    def ours() -> Tensor:
        with torch.no_grad():
            return render(buffer, patch, surfaces, patch_masks=mask, premultiplied=False, out=buffer)

    def naive() -> Tensor:
        with torch.no_grad():
            return _whole_image(images, patch, surfaces, mask)

    return Pair(ours, naive, units=8, check=lambda a, b: torch.allclose(a, b, atol=1e-3))
