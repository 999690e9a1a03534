"""Side-by-side timings of the parts of GANet that the obvious implementation makes slow."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from perception.bench.core import Pair, benchmark
from perception.nn.deform_conv import deform_conv_1xp

from .loss import assign_points


@benchmark("ops", "deform_conv_1xp", naive="torchvision.ops.deform_conv2d", unit="map")
def deform_conv() -> Pair:
    """Forward and backward of the tiny model's deformable convolution (grid 20 x 50, seven points)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 64, 20, 50, generator=generator).to(memory_format=torch.channels_last).requires_grad_()
    offset = torch.randn(2, 14, 20, 50, generator=generator).mul(3).requires_grad_()
    weight = torch.randn(32, 64, 1, 7, generator=generator).mul(0.05).requires_grad_()

    def run(backend: str) -> list[torch.Tensor]:
        out = deform_conv_1xp(x, offset, weight, backend)
        return [out.detach(), *torch.autograd.grad(out.square().sum(), (x, offset, weight))]

    def agree(ours: list[torch.Tensor], naive: list[torch.Tensor]) -> bool:
        return all(torch.allclose(a, b, rtol=1e-3, atol=1e-2) for a, b in zip(ours, naive))

    return Pair(lambda: run("auto"), lambda: run("torchvision"), units=2, check=agree)


@benchmark("train", "lane_point_assignment", naive="scipy per lane and position", unit="batch")
def assignment() -> Pair:
    """Assignment of LFA points to samples for a batch of 16 images with four lanes each."""
    rng = np.random.default_rng(0)
    points, samples = rng.normal(10, 5, (64, 21, 7, 2)), rng.normal(10, 5, (64, 21, 2))

    def naive() -> np.ndarray:
        out = np.zeros(points.shape[:3], np.int64)
        for lane, position in np.ndindex(*points.shape[:2]):
            cost = ((points[lane, position][:, None] - samples[lane][None]) ** 2).sum(-1)
            out[lane, position] = linear_sum_assignment(cost)[1]
        return out

    return Pair(lambda: assign_points(points, samples), naive, check=np.array_equal)
