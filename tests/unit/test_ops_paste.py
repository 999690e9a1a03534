"""Pasting pictures: the kernel agrees with the definition, forward and backward, and touches only what it must."""

from __future__ import annotations

import pytest
import torch

from perception.geometry.homography import solve_homography
from perception.ops.paste import paste, reference

CANVAS = torch.tensor([[[0.0, 0.0], [15.0, 0.0], [15.0, 15.0], [0.0, 15.0]]])


def _scene(seed: int = 0):
    """Five pictures on two images: overlaps, one half outside, one far outside; transparent pixels inside."""
    g = torch.Generator().manual_seed(seed)
    centres = torch.tensor([[20.0, 20.0], [26.0, 24.0], [60.0, 40.0], [78.0, 55.0], [500.0, 500.0]])
    corners = torch.tensor([[-9.0, -8.0], [9.0, -9.0], [8.0, 9.0], [-9.0, 8.0]])
    target = centres[:, None] + corners + torch.randn(5, 4, 2, generator=g)
    canvases = torch.rand(5, 4, 16, 16, generator=g) * (torch.rand(5, 1, 16, 16, generator=g) > 0.2)
    images = torch.rand(2, 3, 60, 80, generator=g)
    owners = torch.tensor([0, 0, 1, 1, 0])
    return (
        images,
        canvases,
        solve_homography(CANVAS.expand(5, 4, 2), target),
        owners,
        torch.randn(2, 3, 60, 80, generator=g),
    )


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("premultiplied", [False, True])
def test_the_kernel_agrees_with_the_definition(mode, premultiplied):
    images, canvases, matrices, owners, weight = _scene()
    results = []
    for function in (
        lambda i, c: paste(i, c, matrices, owners, mode, premultiplied=premultiplied),
        lambda i, c: reference.paste(i, c, matrices, owners, mode, premultiplied),
    ):
        inputs = images.clone().requires_grad_(), canvases.clone().requires_grad_()
        out = function(*inputs)
        results.append((out.detach(), *torch.autograd.grad((out * weight).sum(), inputs)))
    for name, ours, expected in zip(("image", "gradient of images", "gradient of canvases"), *results):
        assert torch.allclose(ours, expected, atol=2e-5), name


def test_gradients_agree_with_finite_differences():
    images, canvases, matrices, owners, weight = _scene(1)
    canvases = (0.2 + 0.2 * canvases).requires_grad_()
    (grad,) = torch.autograd.grad((paste(images, canvases, matrices, owners) * weight).sum(), canvases)
    step = torch.zeros_like(canvases)
    step[0, 1, 7, 7] = 1e-2
    with torch.no_grad():
        values = [
            float((paste(images, canvases + s * step, matrices, owners) * weight).sum().double()) for s in (1, -1)
        ]
    assert abs((values[0] - values[1]) / 2e-2 - float(grad[0, 1, 7, 7])) < 5e-3


def test_an_opaque_picture_replaces_pixels_and_leaves_the_rest():
    images = torch.full((1, 3, 20, 20), 0.25)
    out = paste(
        images, torch.full((1, 4, 4, 4), 0.5).index_fill(1, torch.tensor(3), 1.0), _shift(5, 6), torch.tensor([0])
    )
    assert torch.equal(images, torch.full_like(images, 0.25))
    assert torch.allclose(out[0, :, 6:10, 5:9], torch.tensor(0.5))
    out[0, :, 6:10, 5:9] = 0.25
    assert torch.equal(out, images)


def _shift(x: float, y: float) -> torch.Tensor:
    return torch.tensor([[[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]]])


def test_work_in_place_writes_the_buffer_of_the_caller():
    images, canvases, matrices, owners, _ = _scene()
    expected, buffer = paste(images, canvases, matrices, owners), images.clone()
    out = paste(buffer, canvases, matrices, owners, out=buffer)
    assert out.data_ptr() == buffer.data_ptr()
    assert torch.equal(buffer, expected)
    other = torch.empty_like(images)
    paste(images, canvases, matrices, owners, out=other)
    assert torch.equal(other, expected)


def test_gradients_in_place():
    images, canvases, matrices, owners, weight = _scene()
    canvases.requires_grad_()
    (expected,) = torch.autograd.grad((paste(images, canvases, matrices, owners) * weight).sum(), canvases)
    buffer = images.clone()
    (ours,) = torch.autograd.grad((paste(buffer, canvases, matrices, owners, out=buffer) * weight).sum(), canvases)
    assert torch.equal(ours, expected)


def test_pictures_that_cannot_be_drawn_are_refused():
    images, canvas = torch.rand(1, 3, 20, 20), torch.ones(1, 4, 4, 4)
    horizon = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -0.5, 1.0]]])
    with pytest.raises(ValueError, match="behind the camera"):
        paste(images, canvas, horizon, torch.tensor([0]))
    with pytest.raises(ValueError, match="owners below 1"):
        paste(images, canvas, _shift(0, 0), torch.tensor([1]))
    with pytest.raises(ValueError, match="expected mode"):
        paste(images, canvas, _shift(0, 0), torch.tensor([0]), "cubic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot be written over"):
        wanted = images.clone().requires_grad_()
        paste(wanted, canvas, _shift(0, 0), torch.tensor([0]), out=wanted)


def test_nothing_to_paste():
    images = torch.rand(1, 3, 8, 8)
    out = paste(images, torch.zeros(0, 4, 4, 4), torch.zeros(0, 3, 3), torch.zeros(0, dtype=torch.int64))
    assert torch.equal(out, images)
    assert torch.equal(paste(images, torch.zeros(1, 4, 4, 4), _shift(2, 2), torch.tensor([0])), images)


def test_a_matrix_without_inverse_is_named():
    flat = torch.tensor([[[1.0, 0, 5], [1.0, 0, 5], [0, 0, 1]]])
    with pytest.raises(ValueError, match="no inverse"):
        paste(torch.rand(1, 3, 16, 16), torch.ones(1, 4, 4, 4), flat, torch.zeros(1, dtype=torch.int64))


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_gradients_of_three_overlapping_pictures_equal_those_of_the_definition(mode):
    """Upstream gradients that are expanded, so without memory of their own, as those of a sum are."""
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(2, 3, 40, 48, generator=generator)
    canvases = torch.rand(4, 4, 12, 12, generator=generator) * 0.6
    shifts = torch.tensor([[5.3, 6.1], [10.2, 9.4], [14.7, 3.6], [-4.2, 30.5]])
    matrices = torch.eye(3).repeat(4, 1, 1) * torch.tensor([1.37, 1.37, 1.0]).view(1, 1, 3)
    matrices[:, :2, 2] = shifts
    owners = torch.tensor([1, 1, 1, 0])
    found = []
    for form in (paste, reference.paste):
        free, below = canvases.clone().requires_grad_(), images.clone().requires_grad_()
        out = form(below, free, matrices, owners, mode, premultiplied=True)
        found.append([out.detach(), *torch.autograd.grad(out.sum(), [free, below])])
    for one, two in zip(*found):
        assert torch.allclose(one, two, atol=2e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_a_cuda_device_gives_what_the_cpu_gives(mode):
    images, canvases, matrices, owners, upstream = _scene()
    found = []
    for device in ("cpu", "cuda"):
        free, below = canvases.to(device).requires_grad_(), images.to(device).requires_grad_()
        out = paste(below, free, matrices.to(device), owners.to(device), mode)
        found.append(
            [part.cpu() for part in (out.detach(), *torch.autograd.grad(out, [free, below], upstream.to(device)))]
        )
    for one, two in zip(*found):
        assert torch.allclose(one, two, atol=1e-4)
