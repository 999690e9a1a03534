"""Cases on which the forms of the op are compared."""

from __future__ import annotations

import numpy as np
import torch

from perception.geometry.grid import GridSpec
from perception.ops.bev_rasterize import _numbers, cpu, reference
from perception.ops.bev_rasterize.layout import statistics_arrays
from perception.ops.verify import Check, Outputs

_GRID = GridSpec((-4.0, 4.0), (-3.0, 3.0), 0.5)
_SHAPE = list(_GRID.shape)


def _turned(yaw: float, x: float, y: float) -> np.ndarray:
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, -sin, 0, x], [sin, cos, 0, y], [0.01, 0, 1, 0.1]], np.float32)


def _case(points: np.ndarray, sweeps: int = 1, z_range: tuple[float, float] = (-1.0, 2.0)) -> dict:
    points = np.asarray(points, np.float32).reshape(-1, points.shape[-1] if len(points) else 3)
    splits = np.linspace(0, len(points), sweeps + 1).astype(np.int64)
    rows = np.stack([_turned(0.1 * i, 0.3 * i, -0.2 * i) for i in range(sweeps)])
    if sweeps == 1:
        rows = np.eye(4, dtype=np.float32)[None, :3]
    return {"points": points, "splits": splits, "rows": rows, "z_range": z_range}


def _cases() -> dict[str, dict]:
    rng = np.random.default_rng(0)
    random = rng.uniform((-5, -4, -2, 0), (5, 4, 3, 1), (90, 4)).astype(np.float32)
    odd = random[:40].copy()
    odd[:12:3, 0], odd[1:12:3, 1], odd[2:12:3, 2] = np.nan, np.inf, -np.inf
    border = np.array([[x, y, z] for x in (-4, 0, 3.5, 4) for y in (-3, 0.5, 3) for z in (-1, 0, 2)], np.float32)
    return {
        "random": _case(random),
        "three sweeps that moved": _case(random, 3),
        "one column crowded": _case(rng.normal(0.2, 0.01, (60, 3))),
        "duplicates": _case(np.repeat(random[:10], 4, axis=0)),
        "on borders and limits": _case(border),
        "not finite": _case(odd),
        "far away": _case(np.array([[1e30, 0, 0], [0, -1e30, 0], [3e9, 3e9, 0], [0, 0, 4000.0]]), 1, (-9e3, 9e3)),
        "no upper limit": _case(random, 1, (0.0, float("inf"))),
        "one point": _case(random[:1], 1, (-9.0, 9.0)),
        "nothing": _case(random[:0, :3]),
        "an empty sweep": _case(random[:1], 3),
        "all NaN": _case(np.full((5, 3), np.nan)),
    }


def _arguments(case: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[float]]:
    return case["points"], case["splits"], case["rows"], _numbers(_GRID, case["z_range"])


def _reference(**case: np.ndarray) -> Outputs:
    points, splits, rows, numbers = _arguments(case)
    tensors = (torch.from_numpy(points), torch.from_numpy(splits), torch.from_numpy(rows))
    maps = reference.statistics(*tensors, numbers, _SHAPE)
    return tuple(tensor.numpy() for tensor in (reference.occupancy(*tensors, numbers, _SHAPE), *maps))


def _cpu(**case: np.ndarray) -> Outputs:
    points, splits, rows, numbers = _arguments(case)
    size = (len(rows), _SHAPE[0], _SHAPE[1])
    out = np.zeros(size, np.uint8)
    cpu.occupancy(points, splits, rows, cpu.floats(numbers), out)
    maps = cpu.new_maps(size)
    cpu.statistics(points, splits, rows, cpu.floats(numbers), *maps)
    return (out, *maps)


def _cuda(**case: np.ndarray) -> Outputs:
    from numba.cuda import to_device

    from perception.ops.bev_rasterize import cuda

    points, splits, rows, numbers = _arguments(case)
    size = (len(rows), _SHAPE[0], _SHAPE[1])
    out, sums = statistics_arrays(size)
    arrays = [np.zeros(size, np.uint8), *(tensor.numpy() for tensor in out[:3]), sums.numpy().view(np.uint64)]
    if len(points):
        inputs = [to_device(array) for array in (points, splits, rows, cpu.floats(numbers))]
        device = [to_device(array) for array in arrays]
        first, second, third, fourth = inputs
        cuda.mark_occupied(first, second, third, fourth, device[0])
        cuda.gather(first, second, third, fourth, *device[1:])
        arrays = [array.copy_to_host() for array in device]
    count, high, low = map(torch.from_numpy, arrays[1:4])
    cuda.finish(count, high, low, out[3], torch.from_numpy(arrays[4].view(np.int64)))
    return (arrays[0], count.numpy(), high.numpy(), low.numpy(), out[3].numpy())


CHECK = Check(_cases, _reference, _cpu, _cuda)
