"""The 1 x P deformable convolution: every backend against a naive loop, gradients against finite differences."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from perception.nn.deform_conv import deform_conv_1xp

BACKENDS = ("numba", "torchvision", "torch")


def naive(x: np.ndarray, offset: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The definition, one output number at a time."""
    batch, channels, height, width = x.shape
    points = weight.shape[3]
    out = np.zeros((batch, weight.shape[0], height, width))
    for b, i, j, k in itertools.product(range(batch), range(height), range(width), range(points)):
        y = i + offset[b, 2 * k, i, j]
        column = j + k - (points - 1) // 2 + offset[b, 2 * k + 1, i, j]
        y0, x0 = int(np.floor(y)), int(np.floor(column))
        value = np.zeros(channels)
        for yy, xx in itertools.product((y0, y0 + 1), (x0, x0 + 1)):
            if 0 <= yy < height and 0 <= xx < width:
                value += x[b, :, yy, xx] * (1 - abs(y - yy)) * (1 - abs(column - xx))
        out[b, :, i, j] += weight[:, :, 0, k] @ value
    return out


def example(points: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, 5, 6, generator=generator)
    offset = 3 * torch.randn(2, 2 * points, 5, 6, generator=generator)
    return x, offset, torch.randn(4, 3, 1, points, generator=generator)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("points", [1, 3, 7])
def test_agrees_with_the_definition(backend: str, points: int):
    x, offset, weight = example(points)
    ours = deform_conv_1xp(x, offset, weight, backend).numpy()
    np.testing.assert_allclose(ours, naive(x.numpy(), offset.numpy(), weight.numpy()), atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_zero_offset_is_an_ordinary_convolution(backend: str):
    x, offset, weight = example(5)
    plain = torch.nn.functional.conv2d(x, weight, padding=(0, 2))
    torch.testing.assert_close(
        deform_conv_1xp(x, torch.zeros_like(offset), weight, backend), plain, atol=1e-5, rtol=1e-5
    )


def test_gradients_of_all_backends_agree():
    gradients = []
    for backend in BACKENDS:
        tensors = [tensor.clone().requires_grad_() for tensor in example(3)]
        out = deform_conv_1xp(*tensors, backend)
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        gradients.append([tensor.grad for tensor in tensors])
    for other in gradients[1:]:
        for ours, theirs in zip(gradients[0], other):
            torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e9])
def test_wild_offsets_sample_nothing(value: float):
    x, offset, weight = example(3)
    out = deform_conv_1xp(x, torch.full_like(offset, value), weight)
    assert torch.equal(out, torch.zeros_like(out))


def test_half_precision_samples_at_exact_positions():
    x, offset, weight = example(3)
    exact = deform_conv_1xp(x, offset, weight)
    with torch.autocast("cpu", torch.bfloat16):
        half = deform_conv_1xp(x, offset, weight)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), exact, atol=0.1, rtol=0.05)
