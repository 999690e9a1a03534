"""Which form of an op serves a device: the numba kernel of the CPU, the one of CUDA, or the plain reference."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from typing import Literal

import torch

Form = Literal["cpu", "cuda", "reference"]


@lru_cache(maxsize=1)
def has_numba_cuda() -> bool:
    """Tell whether the package numba-cuda (the extra ``cuda``) is installed; nothing is imported."""
    return importlib.util.find_spec("numba_cuda") is not None


def form_for(device: torch.device) -> Form:
    """Choose the form of an op for tensors on a device.

    Args:
        device: Where the op's arguments are.

    Returns:
        ``"reference"`` on CUDA without numba-cuda and on every other kind of device.
    """
    if device.type == "cpu":
        return "cpu"
    return "cuda" if device.type == "cuda" and has_numba_cuda() else "reference"
