"""Definition of the op in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor


def points_in_boxes(points: Tensor, rows: Tensor) -> Tensor:
    """First box of every point (N, 3) float64; ``rows`` as of ``box_rows``."""
    found = torch.full((len(points),), -1, dtype=torch.int64, device=points.device)
    for i, (x, y, z, length, width, height, cos, sin) in enumerate(rows.unbind(0)):
        dx, dy = points[:, 0] - x, points[:, 1] - y
        inside = ((cos * dx + sin * dy).abs() <= length) & ((cos * dy - sin * dx).abs() <= width)
        found[inside & ((points[:, 2] - z).abs() <= height) & (found < 0)] = i
    return found
