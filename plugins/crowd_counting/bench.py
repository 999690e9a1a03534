"""Side-by-side timings: the light network, density maps, the Bayesian loss, simulated crowds."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from perception.bench.core import Pair, benchmark
from perception.engine.inference import ready_to_run
from perception.registry import MODELS

from . import components  # noqa: F401  (registers the networks)
from .density import adaptive_density, adaptive_sigmas, dots
from .stage import CrowdCountingStage


@benchmark("models", "crowd_light_576x768", naive="M-SFANet", unit="image")
def light() -> Pair:
    """The light network against M-SFANet on one picture of 576 x 768; different networks, so no results to compare.

    The light network reads it by its config, which enlarges it. Both have their norms folded.
    """
    torch.manual_seed(0)
    image = torch.rand(1, 3, 576, 768) * 255
    ours = CrowdCountingStage("crowd_counting/crowd_light_sim.py")
    theirs = ready_to_run(MODELS.build({"type": "M_SFANet"}))

    def light_density() -> torch.Tensor:
        with torch.inference_mode():
            return ours.maps_from_image(image).density

    def published_density() -> torch.Tensor:
        with torch.inference_mode():
            return theirs(image).density

    return Pair(light_density, published_density)


@benchmark("train", "crowd_adaptive_density", naive="a filter of the whole image per head", unit="head")
def density() -> Pair:
    """Geometry-adaptive density of 200 heads on 384 x 512 pixels."""
    points = np.random.default_rng(0).uniform(0, [512, 384], (200, 2))
    shape = (384, 512)

    def naive() -> np.ndarray:
        rows, columns = np.nonzero(dots(points, shape)[0])
        sigma = adaptive_sigmas(np.stack([columns, rows], -1), shape)
        total = np.zeros(shape, np.float32)
        for row, column, width in zip(rows, columns, sigma):
            one = np.zeros(shape, np.float32)
            one[row, column] = 1
            total += gaussian_filter(one, width, mode="constant")
        return total

    def agree(a: np.ndarray, b: np.ndarray) -> bool:
        return bool(np.allclose(a, b, rtol=1e-3, atol=1e-6))

    return Pair(lambda: adaptive_density(points, shape), naive, units=200, check=agree)
