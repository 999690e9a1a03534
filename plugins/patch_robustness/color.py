"""Colour spaces that lighting is measured in, differentiable: HSV, CIE Lab, and the log-LMS Lab of Reinhard et al."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["CLAMP", "hsv_to_rgb", "lab_to_rgb", "reinhard_to_rgb", "rgb_to_hsv", "rgb_to_lab", "rgb_to_reinhard"]

CLAMP = 1e-6
"""Images are kept this far from 0 and 1, where logarithms and roots have no gradient."""

_XYZ = [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
_RGB = [
    [3.2404813432005266, -1.5371515162713185, -0.4985363261688878],
    [-0.9692549499965682, 1.8759900014898907, 0.0415559265582928],
    [0.0556466391351772, -0.2040413383665112, 1.0573110696453443],
]
_WHITE = [0.95047, 1.0, 1.08883]
_LMS = [[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]]
_LMS_BACK = [[4.4679, -3.5873, 0.1193], [-1.2186, 2.3809, -0.1624], [0.0497, -0.2439, 1.2045]]
_OPPONENT = [[1.0, 1.0, 1.0], [1.0, 1.0, -2.0], [1.0, -1.0, 0.0]]
_OPPONENT_SCALE = [1 / math.sqrt(3), 1 / math.sqrt(6), 1 / math.sqrt(2)]


def _mix(matrix: list[list[float]], image: Tensor) -> Tensor:
    """Multiply the channels of (N, 3, ...) by a 3x3 matrix."""
    return torch.einsum("ij,nj...->ni...", torch.tensor(matrix, dtype=image.dtype, device=image.device), image)


def _per_channel(values: list[float], image: Tensor) -> Tensor:
    return torch.tensor(values, dtype=image.dtype, device=image.device).view(1, 3, *[1] * (image.ndim - 2))


def rgb_to_hsv(image: Tensor) -> Tensor:
    """(N, 3, ...) RGB in [0, 1] -> hue in radians [0, 2 pi), saturation, value."""
    high, arg = image.max(1)
    delta = high - image.min(1).values
    saturation = delta / (high + 1e-8)
    safe = torch.where(delta == 0, torch.ones_like(delta), delta)
    red, green, blue = (high.unsqueeze(1) - image).unbind(1)
    hues = torch.stack([blue - green, (red - blue) + 2 * safe, (green - red) + 4 * safe], 1) / safe.unsqueeze(1)
    hue = hues.gather(1, arg.unsqueeze(1)).squeeze(1)
    return torch.stack([2 * math.pi * ((hue / 6) % 1), saturation, high], 1)


def hsv_to_rgb(image: Tensor) -> Tensor:
    """Inverse of ``rgb_to_hsv``."""
    hue, saturation, value = image[:, 0] / (2 * math.pi), image[:, 1], image[:, 2]
    sector = torch.floor(hue * 6)
    part = hue * 6 - sector
    index = (sector.long() % 6).unsqueeze(1)
    p, q = value * (1 - saturation), value * (1 - part * saturation)
    t = value * (1 - (1 - part) * saturation)
    red = torch.stack([value, q, p, p, t, value], 1)
    green = torch.stack([t, value, value, q, p, p], 1)
    blue = torch.stack([p, p, t, value, value, q], 1)
    return torch.cat([channel.gather(1, index) for channel in (red, green, blue)], 1)


def rgb_to_lab(image: Tensor) -> Tensor:
    """(N, 3, ...) sRGB in [0, 1] -> CIE L in [0, 100], a, b (white D65)."""
    linear = torch.where(image > 0.04045, ((image.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4, image / 12.92)
    xyz = _mix(_XYZ, linear) / _per_channel(_WHITE, image)
    f = torch.where(xyz > 0.008856, xyz.clamp(min=0.008856) ** (1 / 3), 7.787 * xyz + 4 / 29)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def lab_to_rgb(image: Tensor) -> Tensor:
    """Inverse of ``rgb_to_lab``, clipped to [0, 1]."""
    lightness, a, b = image.unbind(1)
    y = (lightness + 16) / 116
    f = torch.stack([a / 500 + y, y, (y - b / 200).clamp(min=0)], 1)
    xyz = torch.where(f > 0.2068966, f.clamp(min=0.2068966) ** 3, (f - 4 / 29) / 7.787) * _per_channel(_WHITE, image)
    linear = _mix(_RGB, xyz)
    curve = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curve, 12.92 * linear).clamp(0, 1)


def rgb_to_reinhard(image: Tensor) -> Tensor:
    """(N, 3, ...) RGB in [0, 1] -> the decorrelated log space l, alpha, beta, as REAP computes it (natural log).

    Every product takes a pixel as a row vector: channel j of the result sums over the *first* index of the matrix.
    """
    lms = torch.log(_mix(_transposed(_LMS), image.clamp(CLAMP, 1 - CLAMP)))
    return _mix(_transposed(_lab_matrix()), lms)


def reinhard_to_rgb(image: Tensor) -> Tensor:
    """Inverse of ``rgb_to_reinhard``, clipped to [0, 1]."""
    lms = torch.exp(_mix(_lab_matrix(), image))
    return _mix(_transposed(_LMS_BACK), lms).clamp(0, 1)


def _lab_matrix() -> list[list[float]]:
    """Orthonormal, so its transpose takes back what it does."""
    return [[s * value for value in row] for s, row in zip(_OPPONENT_SCALE, _OPPONENT)]


def _transposed(matrix: list[list[float]]) -> list[list[float]]:
    return [list(row) for row in zip(*matrix)]
