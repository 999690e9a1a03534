"""Cases on which the forms of the op are compared."""

from __future__ import annotations

import numpy as np
import torch

from perception.ops.ray_visibility import cpu, reference
from perception.ops.verify import Check, Outputs

_SHAPE = (9, 12)


def _cases() -> dict[str, dict]:
    rng = np.random.default_rng(0)
    inside, around = rng.integers(0, 9, (25, 2)), rng.integers(-20, 30, (40, 2))
    ends = {
        "inside": inside,
        "partly outside": around,
        "duplicates": np.repeat(inside[:4], 5, axis=0),
        "all directions": np.array([[4 + a, 5 + b] for a in (-3, 0, 3) for b in (-5, -2, 0, 2, 5)]),
        "at the sensor": np.array([[4, 5]]),
        "one": inside[:1],
        "nothing": inside[:0],
    }
    cases = {name: {"ends": array.astype(np.int64), "start": np.array([4, 5])} for name, array in ends.items()}
    cases["sensor outside"] = {"ends": around, "start": np.array([-3, 20])}
    cases["sensor in the corner"] = {"ends": around, "start": np.array([0, 0])}
    return cases


def _reference(ends: np.ndarray, start: np.ndarray) -> Outputs:
    return (reference.visible_cells(torch.from_numpy(ends), torch.from_numpy(start), _SHAPE).numpy(),)


def _cpu(ends: np.ndarray, start: np.ndarray) -> Outputs:
    out = np.zeros(_SHAPE, np.uint8)
    cpu.visible_cells(ends, start, out)
    return (out,)


def _cuda(ends: np.ndarray, start: np.ndarray) -> Outputs:
    from numba.cuda import to_device

    from perception.ops.ray_visibility.cuda import mark_visible

    out = np.zeros(_SHAPE, np.uint8)
    if len(ends):
        on_device = to_device(out)
        mark_visible(to_device(ends), to_device(start), on_device)
        out = on_device.copy_to_host()
    return (out,)


CHECK = Check(_cases, _reference, _cpu, _cuda)
