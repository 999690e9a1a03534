"""Starting from trained weights (the config's ``load_from``)."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from perception.engine.checkpoint import find_weights, load_weights
from perception.registry import HOOKS


@HOOKS.register_module()
class InitialWeights(Hook):
    """Load weights into the model before training, strictly, and before an average of them is begun.

    Args:
        weights: File (safetensors, or a foreign checkpoint of tensors) or name of shipped weights.
        trust: Unpickle files that hold more than tensors.
    """

    priority = "VERY_HIGH"

    def __init__(self, weights: str, trust: bool = False) -> None:
        self.weights, self.trust = str(find_weights(weights)), trust

    def before_run(self, runner: Any) -> None:
        """Load them; a resumed run replaces them afterwards."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        load_weights(model, self.weights, self.trust)
        for module in model.modules():  # the runner initialises what says that it was not, after this hook
            if hasattr(module, "_is_init"):
                module._is_init = True
        runner.logger.info(f"starting from {self.weights}")
