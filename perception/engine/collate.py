"""How samples become a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.registry import FUNCTIONS

from perception.errors import PerceptionError

__all__ = ["stack_samples"]


@FUNCTIONS.register_module()
def stack_samples(batch: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Stack the ``inputs`` of packed samples, tensors of one shape; ``data_samples`` stay apart, a list of them.

    Raises:
        PerceptionError: The inputs have several shapes.
    """
    shapes = {tuple(sample["inputs"].shape) for sample in batch}
    if len(shapes) != 1:
        raise PerceptionError(f"batch: expected inputs of one shape, found {sorted(shapes)}")
    return {
        "inputs": torch.stack([sample["inputs"] for sample in batch]),
        "data_samples": [sample["data_samples"] for sample in batch],
    }
