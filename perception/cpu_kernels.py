"""Which instruction set torch computes with on a CPU."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["use_avx2_kernels"]

SETTINGS = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
"""Environment variables of torch and of oneDNN; both are read at the first operation, not later."""


def use_avx2_kernels(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Let torch use AVX2 where the processor has AVX-512, so that sums are added in the order of the golden runs.

    AVX-512 kernels add in another order. Deep networks whose attention has large unscaled logits (GANet with a
    ResNet-101) make 1e-5 in the backbone 2e-3 of it, beyond the tolerance of golden data. Variables that are set
    already are left alone, and subprocesses inherit them.

    Args:
        cpuinfo: Description of the processor; where there is no such file, nothing is changed.

    Returns:
        Whether the processor has AVX-512.
    """
    try:
        flags = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    if "avx512f" not in flags.split():
        return False
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    return True
