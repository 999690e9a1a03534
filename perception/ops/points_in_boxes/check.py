"""Cases on which the forms of the op are compared."""

from __future__ import annotations

import numpy as np
import torch

from perception.ops.points_in_boxes import box_rows, cpu, reference
from perception.ops.verify import Check, Outputs


def _cases() -> dict[str, dict]:
    rng = np.random.default_rng(0)
    points = rng.uniform(-4, 4, (70, 3))
    boxes = np.column_stack([rng.uniform(-3, 3, (6, 3)), rng.uniform(1, 5, (6, 3)), rng.uniform(-7, 7, 6)])
    odd = points[:20].copy()
    odd[0], odd[1, 0], odd[2, 1], odd[3, 2] = np.nan, np.inf, -np.inf, np.nan
    unit = np.array([[0, 0, 0, 2, 2, 2, 0.0]])
    faces = np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 1.0000001) for z in (-1, 1)], np.float64)
    pairs = {
        "random": (points, boxes),
        "boxes on top of each other": (points, np.repeat(boxes[:2], 3, axis=0)),
        "on faces": (faces, unit),
        "not finite": (odd, boxes),
        "box of NaN": (points, np.full((1, 7), np.nan)),
        "box without size": (np.zeros((1, 3)), np.zeros((1, 7))),
        "no boxes": (points, boxes[:0]),
        "no points": (points[:0], boxes),
        "one of each": (points[:1], boxes[:1]),
    }
    return {
        name: {"points": one, "rows": box_rows(torch.from_numpy(two)).numpy()} for name, (one, two) in pairs.items()
    }


def _reference(points: np.ndarray, rows: np.ndarray) -> Outputs:
    return (reference.points_in_boxes(torch.from_numpy(points), torch.from_numpy(rows)).numpy(),)


def _cpu(points: np.ndarray, rows: np.ndarray) -> Outputs:
    out = np.empty(len(points), np.int64)
    cpu.points_in_boxes(points, rows, out)
    return (out,)


def _cuda(points: np.ndarray, rows: np.ndarray) -> Outputs:
    from numba.cuda import to_device

    from perception.ops.points_in_boxes.cuda import find_boxes

    out = np.empty(len(points), np.int64)
    if len(points):
        on_device = to_device(out)
        find_boxes(to_device(points), to_device(rows), on_device)
        out = on_device.copy_to_host()
    return (out,)


CHECK = Check(_cases, _reference, _cpu, _cuda)
