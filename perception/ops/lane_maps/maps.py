"""What the op returns."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class LaneMaps(NamedTuple):
    """Training maps on a grid of h x w cells for B images, float32.

    Attributes:
        keypoint_hm: (B, 1, h, w) Gaussians around every vertex, merged by maximum.
        start_hm: (B, 1, h, w) Gaussians around the first vertex of every lane.
        cell_offset: (B, 2, h, w) from the cell (x, y) to the vertex inside it.
        start_offset: (B, 2, h, w) from that vertex to the first vertex of its lane.
        start_weight: (B, 2, h, w) weight of that offset: 1; 0.2 below the start; 0.4 beyond twice the lane's height.
        offset_mask: (B, 1, h, w) 1 where there is a vertex.
    """

    keypoint_hm: Tensor
    start_hm: Tensor
    cell_offset: Tensor
    start_offset: Tensor
    start_weight: Tensor
    offset_mask: Tensor


CHANNELS = (1, 1, 2, 2, 2, 1)
"""Of the maps, in their order."""


def empty_maps(shape: tuple[int, int, int], device: torch.device | str = "cpu") -> LaneMaps:
    """Maps of zeros for (B, h, w)."""
    images, height, width = shape
    return LaneMaps(*(torch.zeros(images, channels, height, width, device=device) for channels in CHANNELS))
