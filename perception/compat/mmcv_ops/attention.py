"""Multi-scale deformable attention in plain torch."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from perception.compat.mmcv_ops.gradients import gradients

__all__ = ["ms_deform_attn_backward", "ms_deform_attn_forward"]


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Multi-scale deformable attention (Zhu et al., ICLR 2021).

    Args:
        value: (B, K, heads, D), the maps of all levels flattened and joined; K is the sum of H * W.
        value_spatial_shapes: (L, 2) H and W of the levels.
        value_level_start_index: (L,) first key of each level, implied by the shapes.
        sampling_locations: (B, Q, heads, L, P, 2) x and y, 0 to 1 from border to border of a map.
        attention_weights: (B, Q, heads, L, P).
        im2col_step: Batch chunk of the compiled version.

    Returns:
        (B, Q, heads * D).
    """
    return _deformable_attention(value_spatial_shapes.tolist(), value, sampling_locations, attention_weights)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Gradients of :func:`ms_deform_attn_forward`; adds to the three ``grad_*`` after ``grad_output``."""
    shapes = value_spatial_shapes.tolist()

    def forward(*inputs: Tensor) -> Tensor:
        return _deformable_attention(shapes, *inputs)

    found = gradients(forward, [value, sampling_locations, attention_weights], grad_output)
    for target, gradient in zip((grad_value, grad_sampling_loc, grad_attn_weight), found):
        target.add_(gradient)


def _deformable_attention(shapes: list[list[int]], value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    batch, _, heads, width = value.shape
    maps = value.permute(0, 2, 3, 1).flatten(0, 1)  # (B * heads, D, K)
    grids = (2 * locations - 1).transpose(1, 2).flatten(0, 1)  # (B * heads, Q, L, P, 2)
    weights = weights.transpose(1, 2).flatten(0, 1)  # (B * heads, Q, L, P)
    output = maps.new_zeros(batch * heads, width, locations.shape[1])
    levels = maps.split([rows * columns for rows, columns in shapes], dim=-1)
    for level, (keys, shape) in enumerate(zip(levels, shapes)):
        sampled = F.grid_sample(keys.unflatten(-1, shape), grids[:, :, level], align_corners=False)
        output = output + (sampled * weights[:, None, :, level]).sum(dim=-1)  # (B * heads, D, Q)
    return output.unflatten(0, (batch, heads)).permute(0, 3, 1, 2).flatten(2)
