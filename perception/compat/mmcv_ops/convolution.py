"""Deformable convolutions, versions 1 and 2, on torchvision's kernel.

The geometry comes by keyword as ``mmcv.ops`` passes it. Groups are implied by the shapes of kernel and offsets;
``columns``, ``ones`` and ``im2col_step`` serve the scratch space of the compiled version and are not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import deform_conv2d

from perception.compat.mmcv_ops.gradients import gradients

__all__ = [
    "deform_conv_backward_input",
    "deform_conv_backward_parameters",
    "deform_conv_forward",
    "modulated_deform_conv_backward",
    "modulated_deform_conv_forward",
]


def deform_conv_forward(
    input: Tensor, weight: Tensor, offset: Tensor, output: Tensor, columns: Tensor, ones: Tensor, **geometry: int
) -> None:
    """Deformable convolution v1 (Dai et al., ICCV 2017).

    Args:
        input: (B, C, H, W).
        weight: (O, C / group, kH, kW).
        offset: (B, 2 * deformable_group * kH * kW, H', W') displacements in cells, y before x.
        output: (B, O, H', W'), filled.
        columns: Not used.
        ones: Not used.
        geometry: Stride ``dH, dW``, padding ``padH, padW``, ``dilationH, dilationW``, and what the shapes imply.
    """
    output.copy_(deform_conv2d(input, offset, weight, **_geometry_v1(geometry)))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **geometry: int,
) -> None:
    """Gradients of :func:`deform_conv_forward` for input and offset; adds to ``grad_input`` and ``grad_offset``."""

    def forward(x: Tensor, shift: Tensor) -> Tensor:
        return deform_conv2d(x, shift, weight, **_geometry_v1(geometry))

    for target, gradient in zip((grad_input, grad_offset), gradients(forward, [input, offset], grad_output)):
        target.add_(gradient)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    scale: float = 1.0,
    **geometry: int,
) -> None:
    """Gradient of :func:`deform_conv_forward` for the kernel; adds ``scale`` times it to ``grad_weight``."""

    def forward(kernel: Tensor) -> Tensor:
        return deform_conv2d(input, offset, kernel, **_geometry_v1(geometry))

    (gradient,) = gradients(forward, [torch.zeros_like(grad_weight)], grad_output)  # linear in the kernel: any will do
    grad_weight.add_(gradient, alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    with_bias: bool,
    **geometry: int,
) -> None:
    """Deformable convolution v2 (Zhu et al., CVPR 2019): samples are weighted by a mask.

    Args:
        input: (B, C, H, W).
        weight: (O, C / group, kernel_h, kernel_w).
        bias: (O,), used when ``with_bias``.
        ones: Not used.
        offset: (B, 2 * deformable_group * kernel_h * kernel_w, H', W') displacements in cells, y before x.
        mask: (B, deformable_group * kernel_h * kernel_w, H', W').
        output: (B, O, H', W'), filled.
        columns: Not used.
        with_bias: Add the bias.
        geometry: ``stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w``, and what the shapes imply.
    """
    options = _geometry_v2(geometry)
    output.copy_(deform_conv2d(input, offset, weight, bias if with_bias else None, mask=mask, **options))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    with_bias: bool,
    **geometry: int,
) -> None:
    """Gradients of :func:`modulated_deform_conv_forward`; adds to every ``grad_*`` but ``grad_output``."""

    def forward(x: Tensor, kernel: Tensor, shift: Tensor, gate: Tensor) -> Tensor:
        return deform_conv2d(x, shift, kernel, mask=gate, **_geometry_v2(geometry))

    found = gradients(forward, [input, weight, offset, mask], grad_output)
    for target, gradient in zip((grad_input, grad_weight, grad_offset, grad_mask), found):
        target.add_(gradient)
    if with_bias:
        grad_bias.add_(grad_output.sum(dim=(0, 2, 3)))


def _geometry_v1(given: Mapping[str, int]) -> dict[str, Any]:
    """Stride, padding and dilation as torchvision takes them, from the keywords of version 1."""
    return {
        "stride": (given["dH"], given["dW"]),
        "padding": (given["padH"], given["padW"]),
        "dilation": (given["dilationH"], given["dilationW"]),
    }


def _geometry_v2(given: Mapping[str, int]) -> dict[str, Any]:
    """Stride, padding and dilation as torchvision takes them, from the keywords of version 2."""
    return {
        "stride": (given["stride_h"], given["stride_w"]),
        "padding": (given["pad_h"], given["pad_w"]),
        "dilation": (given["dilation_h"], given["dilation_w"]),
    }
