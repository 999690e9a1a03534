"""Cases on which the forms of the op are compared."""

from __future__ import annotations

import numpy as np
import torch

from perception.ops.verify import Check, Outputs
from perception.ops.voxelize import cpu, reference

_LOWER, _SIZE, _SHAPE = [-3.0, -2.0, -1.0], [0.5, 0.25, 1.0], [12, 16, 3]


def _cases() -> dict[str, dict]:
    rng = np.random.default_rng(0)
    random = rng.uniform((-4, -3, -2, 0), (4, 3, 3, 1), (80, 4)).astype(np.float32)
    odd = random[:30].copy()
    odd[:9:3, 0], odd[1:9:3, 1], odd[2:9:3, 2] = np.nan, np.inf, -np.inf
    points = {
        "random": random,
        "duplicates": np.repeat(random[:5], 4, axis=0),
        "on borders": np.array([[x, y, z] for x in (-3, 0.5, 3) for y in (-2, 2) for z in (-1, 0, 2)], np.float32),
        "not finite": odd,
        "all NaN": np.full((4, 3), np.nan, np.float32),
        "far away": np.array([[1e30, 0, 0], [0, -1e30, 0], [-3.0000002, 0, 0]], np.float32),
        "one point": random[:1],
        "nothing": random[:0],
    }
    return {name: {"points": np.ascontiguousarray(array)} for name, array in points.items()}


def _reference(points: np.ndarray) -> Outputs:
    return (reference.voxel_index(torch.from_numpy(points), _LOWER, _SIZE, _SHAPE).numpy(),)


def _cpu(points: np.ndarray) -> Outputs:
    out = np.empty(len(points), np.int64)
    cpu.voxel_index(points, np.array(_LOWER + _SIZE, np.float32), np.array(_SHAPE), out)
    return (out,)


def _cuda(points: np.ndarray) -> Outputs:
    from numba.cuda import to_device

    from perception.ops.voxelize.cuda import write_index

    out = np.empty(len(points), np.int64)
    if len(points):
        on_device, numbers = to_device(out), to_device(np.array(_LOWER + _SIZE, np.float32))
        write_index(to_device(points), numbers, to_device(np.array(_SHAPE)), on_device)
        out = on_device.copy_to_host()
    return (out,)


CHECK = Check(_cases, _reference, _cpu, _cuda)
