"""The one path from an image to the network's input: keep the aspect, resize, pad right and below."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

PAD = 114.0
"""Grey level of the padding."""


@dataclass(frozen=True)
class Fit:
    """How an image lies in the input.

    Attributes:
        size: (width, height) of the image.
        resized: (width, height) it has in the input, whose upper left corner it fills.
    """

    size: tuple[int, int]
    resized: tuple[int, int]

    @property
    def scale(self) -> np.ndarray:
        """(4,) factors of x, y, x, y from image to input."""
        return np.array([self.resized[0] / self.size[0], self.resized[1] / self.size[1]] * 2)


def fit(size: tuple[int, int], target: tuple[int, int]) -> Fit:
    """Fit (width, height) into ``target`` (width, height)."""
    scale = min(target[0] / size[0], target[1] / size[1])
    return Fit(size, (max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)))


def letterbox(image: np.ndarray, target: tuple[int, int]) -> tuple[np.ndarray, Fit]:
    """(H, W, 3) uint8 -> (3, h, w) float32 in 0..255 of ``target`` (width, height)."""
    found = fit((image.shape[1], image.shape[0]), target)
    if found.resized != found.size:
        image = cv2.resize(image, found.resized, interpolation=cv2.INTER_LINEAR)
    out = np.full((3, target[1], target[0]), PAD, np.float32)
    out[:, : found.resized[1], : found.resized[0]] = image.transpose(2, 0, 1)
    return out, found


def letterbox_tensor(images: Tensor, target: tuple[int, int]) -> tuple[Tensor, Fit]:
    """The same on (B, 3, H, W) float tensors, differentiable and without rounding to grey levels."""
    found = fit((images.shape[3], images.shape[2]), target)
    if found.resized != found.size:
        images = F.interpolate(images, (found.resized[1], found.resized[0]), mode="bilinear", align_corners=False)
    right, below = target[0] - found.resized[0], target[1] - found.resized[1]
    return F.pad(images, (0, right, 0, below), value=PAD), found


def to_image(boxes: np.ndarray, found: Fit) -> np.ndarray:
    """(N, 4) boxes of the input as (N, 4) float32 boxes of the image, cut at its border."""
    width, height = found.size
    moved = torch.as_tensor(boxes).double().numpy().reshape(-1, 4) / found.scale
    return np.clip(moved, 0, [width, height, width, height]).astype(np.float32)
