"""Definition of the op in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def heatmap_peaks(heat: Tensor, threshold: float) -> Tensor:
    """Peaks along rows, see :func:`perception.ops.heatmap_peaks.heatmap_peaks`."""
    heat = torch.where(heat.isfinite(), heat, -torch.inf)
    padded = F.pad(heat, (1, 1), value=-torch.inf)
    return ((heat >= padded[..., :-2]) & (heat >= padded[..., 2:]) & (heat > threshold)).nonzero()
