"""Tileable noise textures, made once per process from a fixed seed, and their sampling in compiled code."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit

SIZE = 256
"""Side of the textures in texels; they repeat."""

WHITE, SMOOTH, FRACTAL = range(3)
"""Channels: independent texels, one octave with features of about 8 texels, and a 1/f sum."""


@lru_cache(maxsize=1)
def texture() -> np.ndarray:
    """(SIZE, SIZE, 3) float32 noise; every channel has mean 0, standard deviation about 1, clipped to [-2.5, 2.5]."""
    rng = np.random.default_rng(20240229)
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)[None])
    layers = [rng.normal(size=(SIZE, SIZE))]
    for gain in (np.exp(-((frequency * 16) ** 2)), 1 / np.maximum(frequency, 1.5 / SIZE) ** 1.3):
        spectrum = np.fft.fft2(rng.normal(size=(SIZE, SIZE))) * gain
        spectrum[0, 0] = 0
        layers.append(np.fft.ifft2(spectrum).real)
    layers = [np.clip(layer / layer.std(), -2.5, 2.5) for layer in layers]
    return np.ascontiguousarray(np.stack(layers, -1), dtype=np.float32)


@njit(cache=True, fastmath=True, inline="always")
def sample(tex: np.ndarray, x: float, y: float, channel: int) -> float:
    """Bilinear sample at texel coordinates (x, y), wrapped."""
    fx, fy = np.floor(x), np.floor(y)
    i, j = int(fx) & 255, int(fy) & 255
    k, m = (i + 1) & 255, (j + 1) & 255
    u, v = x - fx, y - fy
    top = tex[j, i, channel] * (1 - u) + tex[j, k, channel] * u
    bottom = tex[m, i, channel] * (1 - u) + tex[m, k, channel] * u
    return top * (1 - v) + bottom * v


@njit(cache=True, fastmath=True, inline="always")
def smoothstep(low: float, high: float, value: float) -> float:
    """0 below ``low``, 1 above ``high``, cubic between."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)
