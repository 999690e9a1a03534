"""The operators of ``mmcv._ext`` that detectors need, on torchvision and plain torch, for CPU and CUDA tensors.

Signatures are those with which ``mmcv.ops`` calls its compiled extension: outputs are tensors that the caller
allocated and that are filled in place, unless a function returns its result. Gradients come from autograd of the
same forward computation. Operators that are not supplied raise :class:`MissingOperatorError` when they are called.
"""

from __future__ import annotations

from collections.abc import Callable

from perception.compat.mmcv_ops.attention import ms_deform_attn_backward, ms_deform_attn_forward
from perception.compat.mmcv_ops.boxes import nms, roi_align_backward, roi_align_forward, softnms
from perception.compat.mmcv_ops.convolution import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from perception.compat.mmcv_ops.errors import MissingOperatorError, missing_operator
from perception.compat.mmcv_ops.losses import sigmoid_focal_loss_backward, sigmoid_focal_loss_forward

__all__ = ["OPERATORS", "MissingOperatorError", "missing_operator"]


def get_compiler_version() -> str:
    """What mmcv prints as the compiler of its extension."""
    return "none (operators supplied by perception.compat)"


def get_compiling_cuda_version() -> str:
    """What mmcv prints as the CUDA version of its extension."""
    return "not available"


OPERATORS: dict[str, Callable[..., object]] = {
    function.__name__: function
    for function in (
        nms,
        softnms,
        roi_align_forward,
        roi_align_backward,
        deform_conv_forward,
        deform_conv_backward_input,
        deform_conv_backward_parameters,
        modulated_deform_conv_forward,
        modulated_deform_conv_backward,
        ms_deform_attn_forward,
        ms_deform_attn_backward,
        sigmoid_focal_loss_forward,
        sigmoid_focal_loss_backward,
        get_compiler_version,
        get_compiling_cuda_version,
    )
}
"""Name in ``mmcv._ext`` -> supplied function."""
