"""Cases on which the forms of the op are compared."""

from __future__ import annotations

import numpy as np
import torch

from perception.ops.heatmap_peaks import cpu, reference
from perception.ops.verify import Check, Outputs


def _cases() -> dict[str, dict]:
    rng = np.random.default_rng(0)
    random = rng.random((2, 4, 7), np.float32)
    odd = random.copy()
    odd[0, :, 2], odd[1, :, 0], odd[1, 1] = np.nan, np.inf, -np.inf
    maps = {
        "random": random,
        "float64": random.astype(np.float64),
        "not finite": odd,
        "plateaus": np.round(3 * random) / 3,
        "at the threshold": np.full((1, 2, 3), 0.4, np.float32),
        "no image": random[:0],
        "no row": random[:, :0],
        "one column": random[:, :, :1],
        "one cell": random[:1, :1, :1],
    }
    cases = {name: {"heat": heat, "threshold": 0.4} for name, heat in maps.items()}
    return cases | {"everything": {"heat": odd, "threshold": -np.inf}, "nothing": {"heat": odd, "threshold": np.nan}}


def _reference(heat: np.ndarray, threshold: float) -> Outputs:
    return (reference.heatmap_peaks(torch.from_numpy(heat), threshold).numpy(),)


def _cpu(heat: np.ndarray, threshold: float) -> Outputs:
    return (cpu.heatmap_peaks(heat, threshold),)


def _cuda(heat: np.ndarray, threshold: float) -> Outputs:
    from numba.cuda import to_device

    from perception.ops.heatmap_peaks.cuda import mark_peaks

    marked = np.zeros(heat.shape, np.bool_)
    if heat.size:
        out = to_device(marked)
        mark_peaks(to_device(np.ascontiguousarray(heat)), to_device(np.array([threshold], heat.dtype)), out)
        marked = out.copy_to_host()
    return (np.argwhere(marked),)


CHECK = Check(_cases, _reference, _cpu, _cuda)
