"""Cases on which the forms of the op are compared."""

from __future__ import annotations

import numpy as np
import torch

from perception.ops.rotated_iou import _rows, cpu, reference
from perception.ops.verify import Check, Outputs


def _cases() -> dict[str, dict]:
    rng = np.random.default_rng(0)

    def random(count: int, spread: float = 3.0) -> np.ndarray:
        sizes = rng.uniform(0.5, 4, (count, 2))
        return np.column_stack([rng.uniform(-spread, spread, (count, 2)), sizes, rng.uniform(-4, 4, count)])

    boxes = random(7)
    axis = np.array([[0, 0, 2, 2, 0], [1, 0, 2, 2, 0], [2, 0, 2, 2, 0], [0, 0, 1, 1, 0.0]])
    odd = boxes[:4].copy()
    odd[0, 0], odd[1, 2], odd[2, 4] = np.nan, np.inf, np.nan
    pairs = {
        "random": (boxes, random(6)),
        "with themselves": (boxes, boxes),
        "touching and inside": (axis, axis),
        "quarter turns": (axis, axis + [0, 0, 0, 0, np.pi / 2]),
        "far apart": (boxes, boxes + [100, 0, 0, 0, 0]),
        "without area": (boxes * [1, 1, 0, 1, 1], boxes),
        "not finite": (odd, boxes),
        "none": (boxes[:0], boxes),
        "one": (boxes[:1], boxes[:1]),
    }
    return {
        name: {"rows": _rows(torch.from_numpy(one)).numpy(), "others": _rows(torch.from_numpy(two)).numpy()}
        for name, (one, two) in pairs.items()
    }


def _reference(rows: np.ndarray, others: np.ndarray) -> Outputs:
    return (reference.intersections(rows, others),)


def _cpu(rows: np.ndarray, others: np.ndarray) -> Outputs:
    out = np.empty((len(rows), len(others)))
    cpu.intersections(rows, others, out)
    return (out,)


def _cuda(rows: np.ndarray, others: np.ndarray) -> Outputs:
    from numba.cuda import to_device

    from perception.ops.rotated_iou.cuda import write_intersections

    out = np.empty((len(rows), len(others)))
    if out.size:
        on_device = to_device(out)
        write_intersections(to_device(rows), to_device(others), on_device)
        out = on_device.copy_to_host()
    return (out,)


CHECK = Check(_cases, _reference, _cpu, _cuda)
