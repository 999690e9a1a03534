"""Cases on which the forms of the op are compared."""

from __future__ import annotations

import numpy as np
import torch

from perception.ops.ego_motion import cpu, reference
from perception.ops.verify import Check, Outputs


def _cases() -> dict[str, dict]:
    rng = np.random.default_rng(0)
    points = rng.uniform(-60, 60, (50, 4)).astype(np.float32)
    turns, _ = np.linalg.qr(rng.standard_normal((3, 3, 3)))
    rows = np.concatenate([turns, rng.uniform(-30, 30, (3, 3, 1))], axis=2)
    far = rows.copy()
    far[:, :, 3] += 5e6
    odd = points[:12].copy()
    odd[0, 0], odd[1, 1], odd[2, 2], odd[3] = np.nan, np.inf, -np.inf, np.nan
    which = rng.integers(0, 3, 50)
    cases = {
        "random": (points, rows, which),
        "one transform": (points, rows[:1], which * 0),
        "identity": (points, np.eye(4)[None, :3], which * 0),
        "far from the origin": (points, far, which),
        "duplicates": (np.repeat(points[:5], 3, axis=0), rows, which[:15]),
        "not finite": (odd, rows, which[:12]),
        "one point": (points[:1], rows, which[:1]),
        "nothing": (points[:0], rows, which[:0]),
    }
    names = ("points", "rows", "which")
    return {name: dict(zip(names, map(np.ascontiguousarray, values))) for name, values in cases.items()}


def _reference(**case: np.ndarray) -> Outputs:
    return (reference.compensate(*map(torch.from_numpy, case.values())).numpy(),)


def _cpu(points: np.ndarray, rows: np.ndarray, which: np.ndarray) -> Outputs:
    out = np.empty((len(points), 3), np.float32)
    cpu.compensate(points, rows, which, out)
    return (out,)


def _cuda(points: np.ndarray, rows: np.ndarray, which: np.ndarray) -> Outputs:
    from numba.cuda import to_device

    from perception.ops.ego_motion.cuda import move_points

    out = np.empty((len(points), 3), np.float32)
    if len(points):
        on_device = to_device(out)
        move_points(to_device(points), to_device(rows), to_device(which), on_device)
        out = on_device.copy_to_host()
    return (out,)


CHECK = Check(_cases, _reference, _cpu, _cuda)
