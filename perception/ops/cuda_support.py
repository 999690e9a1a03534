"""What the CUDA kernels share; importing it needs the package numba-cuda, so only ``cuda.py`` of an op does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from numba import cuda
from numba.core import config

SIMULATED = bool(config.ENABLE_CUDASIM)  # type: ignore[attr-defined]
"""Kernels run in numba's simulator on numpy arrays (``NUMBA_ENABLE_CUDASIM=1``)."""

THREADS = 8 if SIMULATED else 128
"""Threads a block; the simulator starts one of Python's threads for each."""

if SIMULATED:

    @cuda.jit(device=True)
    def product(a: float, b: float) -> float:
        """Multiply two float64."""
        return a * b

    product32 = product

else:
    from numba.cuda import libdevice

    product = libdevice.dmul_rn  # rounded by itself: the compiler may not fuse it with an addition
    product32 = libdevice.fmul_rn


@contextmanager
def launching_on(tensor: torch.Tensor) -> Iterator[Any]:
    """Make a tensor's device numba's current one and yield torch's current stream there, for kernel launches."""
    with cuda.gpus[tensor.get_device()]:
        yield cuda.external_stream(torch.cuda.current_stream(tensor.device).cuda_stream)


def blocks(count: int) -> int:
    """Return how many blocks hold one thread for each of ``count`` items."""
    return -(-count // THREADS)
