"""Refusing to train with frozen layers that were never loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from perception.errors import PerceptionError
from perception.registry import HOOKS

__all__ = ["FrozenGuard"]


@HOOKS.register_module()
class FrozenGuard(Hook):
    """Stop a training whose frozen layers hold random weights; they would stay random for ever.

    A module with ``frozen_stages >= 0`` counts as loaded when its attribute ``has_weights`` says so, when its
    ``init_cfg`` is of type ``Pretrained``, or when the whole model starts from weights.

    Args:
        loaded: The model as a whole starts from weights (``load_from``).
    """

    priority = "HIGHEST"

    def __init__(self, loaded: bool = False) -> None:
        self.loaded = loaded

    def before_train(self, runner: Any) -> None:
        """Look at every module.

        Raises:
            PerceptionError: Names the module, the file that was looked for, and the folder of downloaded files.
        """
        if self.loaded or runner.iter:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for name, module in model.named_modules():
            stages = getattr(module, "frozen_stages", -1)
            if isinstance(stages, int) and stages >= 0 and not _has_weights(module):
                source = getattr(module, "pretrained", None) or "no file is configured"
                cache = Path(torch.hub.get_dir()) / "checkpoints"
                raise PerceptionError(
                    f"{name} freezes {stages} stages but has random weights; looked for: {source}. Give "
                    f"model.{name}.pretrained (a file, or torchvision://NAME, kept in {cache}), start from trained "
                    f"weights with load_from=FILE, or train all layers with model.{name}.frozen_stages=-1"
                )


def _has_weights(module: nn.Module) -> bool:
    if hasattr(module, "has_weights"):
        return bool(module.has_weights)
    configured = getattr(module, "init_cfg", None) or []
    kinds = [configured] if isinstance(configured, Mapping) else configured
    return any(kind.get("type") == "Pretrained" for kind in kinds)
