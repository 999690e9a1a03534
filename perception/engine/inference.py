"""Networks as they run once they no longer learn."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["ready_to_run"]


def ready_to_run(model: nn.Module, device: torch.device | str = "cpu") -> nn.Module:
    """Move a trained network to a device, in evaluation mode, and make it faster; results change by rounding only.

    Batch norms are folded into the convolutions before them: in every `nn.Sequential`, and where a module has a method
    ``fold_norm``, which does it itself. On a processor, 1 x 1 convolutions are marked as dilated: that changes nothing
    about them but which implementation torch picks in a single thread (oneDNN's, which is faster than its own).
    Gradients still reach inputs; the keys of the state_dict are no longer those of a checkpoint.

    Args:
        model: Changed in place; load its weights before.
        device: Where it will run.

    Returns:
        ``model``.
    """
    model.to(device).eval()
    for module in list(model.modules()):
        if isinstance(module, nn.Sequential):
            _fold(module)
        elif callable(fold := getattr(module, "fold_norm", None)):
            fold()
    if torch.device(device).type == "cpu":
        for module in model.modules():
            if isinstance(module, nn.Conv2d) and set(module.kernel_size) == {1} and module.groups == 1:
                module.dilation = (2, 2)
    return model.eval()  # the new parts as well


def _fold(layers: nn.Sequential) -> None:
    names = list(layers._modules)
    for first, second in pairwise(names):
        conv, norm = layers._modules[first], layers._modules[second]
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            layers._modules[first], layers._modules[second] = fuse_conv_bn_eval(conv, norm), nn.Identity()
