"""Cases on which the forms of the op are compared."""

from __future__ import annotations

import numpy as np

from perception.ops.lane_iou import cpu, reference
from perception.ops.verify import Check, Outputs

_SIZE = (36, 24)


def _cases() -> dict[str, dict]:
    rng = np.random.default_rng(0)
    inside = [rng.uniform(8, 20, (3, 2)).astype(np.float32) for _ in range(3)]
    across = [rng.uniform(-30, 60, (4, 2)).astype(np.float32) for _ in range(2)]
    straight = np.array([[10, 20], [14, 6]], np.float32)
    repeated = inside[0][[0, 0, 1, 2]]
    odd = np.array([[5, 5], [np.nan, 9], [20, 12]], np.float32)
    far = np.array([[12, 12], [3e9, 14], [-4e12, 2]], np.float32)
    cases = {
        "random": (inside, inside[::-1], 4),
        "cut by the border": (across, [*across, *inside], 5),
        "thin": (inside, [straight], 1),
        "one point": ([straight[:1], inside[0]], [straight[:0], inside[1]], 4),
        "duplicates": ([repeated], [repeated, inside[0]], 4),
        "the same pixel": ([np.full((2, 2), 12, np.float32)], [np.full((3, 2), 12, np.float32), straight], 6),
        "not finite": ([odd, np.full((2, 2), np.inf, np.float32)], [odd, inside[0]], 4),
        "out of range": ([far, straight + 500], [far, straight + 500, inside[0]], 4),
        "no lane": ([], inside, 4),
        "nothing to compare with": (inside, [], 4),
    }
    return {name: {"rows": rows, "columns": columns, "width": width} for name, (rows, columns, width) in cases.items()}


def _reference(rows: list[np.ndarray], columns: list[np.ndarray], width: int) -> Outputs:
    return (reference.iou_matrix(rows, columns, width, _SIZE),)


def _cpu(rows: list[np.ndarray], columns: list[np.ndarray], width: int) -> Outputs:
    return (cpu.iou_matrix(rows, columns, width, _SIZE),)


def _cuda(rows: list[np.ndarray], columns: list[np.ndarray], width: int) -> Outputs:
    from perception.ops.lane_iou import device

    return (device.iou_matrix(rows, columns, width, _SIZE),)


CHECK = Check(_cases, _reference, _cpu, _cuda)
