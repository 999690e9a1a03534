"""The convolutional branches of GANet (spec ganet section 1.4)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from perception.registry import MODELS

from .neck import NeckOutput


class LaneMaps(NamedTuple):
    """Raw network output on the grid of cells (h, w).

    Attributes:
        keypoint_logit: (B, 1, h, w) logit that a cell holds a lane point.
        start_logit: (B, 1, h, w) logit that it holds the lowest point of a lane, or None without that branch.
        start_offset: (B, 2, h, w) vector (x, y) from the cell to the start point of its lane, in cells.
        cell_offset: (B, 2, h, w) vector (x, y) from the cell to the lane point inside it, in cells.
        points: (B, 2P, h, w) LFA points (y, x) relative to the cell, in cells.
    """

    keypoint_logit: Tensor
    start_logit: Tensor | None
    start_offset: Tensor
    cell_offset: Tensor
    points: Tensor


def clamped_sigmoid(logit: Tensor) -> Tensor:
    """Probability in [1e-4, 1 - 1e-4], so that its logarithm stays finite."""
    return logit.sigmoid().clamp(1e-4, 1 - 1e-4)


class _Branch(nn.Module):
    def __init__(self, member: str, in_channels: int, channels: int, out_channels: int, bias: float) -> None:
        super().__init__()
        last = nn.Conv2d(channels, out_channels, 1)
        nn.init.constant_(last.bias, bias)  # type: ignore[arg-type]
        layers = nn.Sequential(nn.Conv2d(in_channels, channels, 3, padding=1), nn.ReLU(inplace=True), last)
        self.member = member
        self.add_module(member, layers)

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, self.member)(x)


@MODELS.register_module()
class GANetHead(nn.Module):
    """Keypoint and start-point heatmaps from the aggregated map, both offset maps from the map before aggregation.

    Args:
        in_channels: Channels of the neck.
        branch_channels: Hidden channels of each branch.
        start_branch: Create the start-point heatmap; published checkpoints hold it, nothing in decoding reads it.
    """

    def __init__(self, in_channels: int = 64, branch_channels: int = 64, start_branch: bool = True) -> None:
        super().__init__()
        sizes = (in_channels, branch_channels)
        self.centerpts_head = _Branch("hm", *sizes, 1, -2.19) if start_branch else None
        self.keypts_head = _Branch("hm", *sizes, 1, -2.19)
        self.offset_head = _Branch("offset_map", *sizes, 2, 0.0)
        self.reg_head = _Branch("offset_map", *sizes, 2, 0.0)

    def forward(self, neck: NeckOutput) -> LaneMaps:
        """Predict the maps."""
        start = None if self.centerpts_head is None else self.centerpts_head(neck.feature)
        return LaneMaps(
            keypoint_logit=self.keypts_head(neck.feature),
            start_logit=start,
            start_offset=self.offset_head(neck.aux_feature),
            cell_offset=self.reg_head(neck.aux_feature),
            points=neck.points,
        )


def decode_inputs(maps: LaneMaps) -> tuple[Tensor, Tensor, Tensor]:
    """Heatmap (B, h, w), start offset (B, 2, h, w) and cell offset (B, 2, h, w) in float32 on the CPU."""
    heat = clamped_sigmoid(maps.keypoint_logit.float())[:, 0]
    return heat.detach().cpu(), maps.start_offset.detach().float().cpu(), maps.cell_offset.detach().float().cpu()


__all__ = ["GANetHead", "LaneMaps", "clamped_sigmoid", "decode_inputs"]
