"""Group norm over a window: a network trained on crops sees the same statistics on whole pictures."""

from __future__ import annotations

import torch
from mmengine.registry import MODELS as ROOT
from torch import Tensor, nn
from torch.nn import functional as F

from perception.errors import PerceptionError

__all__ = ["WindowGroupNorm"]


@ROOT.register_module()
class WindowGroupNorm(nn.GroupNorm):
    """Group norm whose mean and variance are those of a square around each cell.

    Plain group norm takes them over the whole map. A detector trained on small crops, of which an object fills a good
    part, then gets other statistics on a whole picture, and its boxes there are far too large. Maps that fit into the
    window are normalised as by plain group norm; keys of a state dict are the same.

    Args:
        num_channels: Channels.
        num_groups: Groups; divides ``num_channels``.
        window: Odd side of the square, in cells; about the size of the maps in training.
        eps: Added to the variance.

    Raises:
        PerceptionError: The window is even or not positive.
    """

    _abbr_ = "gn"

    def __init__(self, num_channels: int, num_groups: int = 8, window: int = 17, eps: float = 1e-5) -> None:
        super().__init__(num_groups, num_channels, eps)
        if window < 1 or window % 2 == 0:
            raise PerceptionError(f"window group norm: expected an odd window, found {window}")
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W)."""
        count, channels, height, width = x.shape
        side = self.window
        if height <= side and width <= side:
            return super().forward(x)
        grouped = x.view(count, self.num_groups, channels // self.num_groups, height, width)
        moments = torch.stack([grouped.mean(2), grouped.square().mean(2)])
        pooled = F.avg_pool2d(moments.flatten(0, 1), side, 1, side // 2, count_include_pad=False)
        mean, square = pooled.view_as(moments)
        scale = (square - mean * mean).clamp(min=0).add(self.eps).rsqrt()
        normal = ((grouped - mean[:, :, None]) * scale[:, :, None]).view_as(x)
        return normal * self.weight[:, None, None] + self.bias[:, None, None]
