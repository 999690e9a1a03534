"""Peaks of heatmaps along rows: the keypoints of lanes (spec ganet section 6, steps 1 and 2)."""

from __future__ import annotations

import torch
from torch import Tensor

from perception.ops.forms import form_for
from perception.ops.heatmap_peaks import cpu, reference

__all__ = ["heatmap_peaks"]


def heatmap_peaks(heat: Tensor, threshold: float) -> Tensor:
    """List the cells above a threshold that no neighbour in their row exceeds; not differentiable.

    Args:
        heat: (B, h, w) of a floating type. Equal neighbours are all peaks. Values that are not finite are no peaks and
            hide nobody.
        threshold: Peaks are greater, compared in the type of ``heat`` (float32 for smaller types).

    Returns:
        (N, 3) int64 (image, row, column), in this order.

    Raises:
        ValueError: ``heat`` is not a stack of maps of a floating type.
    """
    if heat.ndim != 3 or not heat.is_floating_point():
        raise ValueError(
            f"heatmap_peaks: expected (B, h, w) of a floating type, found {tuple(heat.shape)} {heat.dtype}"
        )
    exact = torch.float64 if heat.dtype == torch.float64 else torch.float32
    return _heatmap_peaks(heat.detach().to(exact), threshold)


@torch.library.custom_op("perception::heatmap_peaks", mutates_args=())
def _heatmap_peaks(heat: Tensor, threshold: float) -> Tensor:
    form = form_for(heat.device)
    if form == "cpu":
        return torch.from_numpy(cpu.heatmap_peaks(heat.numpy(), threshold))
    if form == "cuda" and heat.numel():
        from perception.ops.cuda_support import launching_on
        from perception.ops.heatmap_peaks.cuda import mark_peaks

        marked = torch.empty(heat.shape, dtype=torch.bool, device=heat.device)
        with launching_on(heat) as stream:
            mark_peaks(heat.contiguous(), heat.new_tensor([threshold]), marked, stream)
        return marked.nonzero()
    return reference.heatmap_peaks(heat, threshold)


@_heatmap_peaks.register_fake
def _(heat: Tensor, threshold: float) -> Tensor:
    return heat.new_empty((torch.library.get_ctx().new_dynamic_size(), 3), dtype=torch.int64)
