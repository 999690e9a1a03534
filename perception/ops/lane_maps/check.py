"""Cases on which the forms of the op are compared."""

from __future__ import annotations

import numpy as np
import torch

from perception.ops.lane_maps import cpu, reference
from perception.ops.lane_maps.maps import empty_maps
from perception.ops.verify import Check, Outputs

_SHAPE = (2, 6, 9)


def _case(lanes: list[tuple[int, np.ndarray]], radius: int = 2, start_radius: int = 4) -> dict:
    lines = [np.asarray(line, np.float64).reshape(-1, 2) for _, line in lanes]
    return {
        "vertices": np.concatenate([*lines, np.zeros((0, 2))]),
        "splits": np.cumsum([0, *map(len, lines)], dtype=np.int64),
        "images": np.array([image for image, _ in lanes], np.int64),
        "radius": radius,
        "start_radius": start_radius,
    }


def _cases() -> dict[str, dict]:
    rng = np.random.default_rng(0)

    def line(count: int) -> np.ndarray:
        y = np.sort(rng.uniform(0, 5.99, count))[::-1]
        return np.stack([rng.uniform(0, 8.99, count), y], axis=1)

    return {
        "random": _case([(0, line(12)), (0, line(7)), (1, line(9))]),
        "lanes in any order of images": _case([(1, line(5)), (0, line(5)), (1, line(4))]),
        "vertices share cells": _case([(0, np.repeat(line(4), 3, axis=0)), (0, line(12))]),
        "below its start": _case([(0, line(8)[::-1])]),
        "one vertex": _case([(1, line(1))]),
        "corners": _case([(0, np.array([[0, 5], [8, 0]])), (1, np.array([[8.99, 5.99], [0, 0]]))]),
        "no radius": _case([(0, line(6))], 0, 0),
        "wider than the grid": _case([(0, line(6))], 7, 9),
        "an empty lane": _case([(0, line(0)), (1, line(3))]),
        "no lane": _case([]),
    }


def _reference(**case: np.ndarray) -> Outputs:
    vertices, splits, images = (torch.from_numpy(case[name]) for name in ("vertices", "splits", "images"))
    maps = reference.lane_maps(vertices, splits, images, _SHAPE, int(case["radius"]), int(case["start_radius"]))
    return tuple(tensor.numpy() for tensor in maps)


def _arguments(case: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    patches = (cpu.patch(int(case["radius"])), cpu.patch(int(case["start_radius"])))
    return (*(case[name] for name in ("vertices", "splits", "images")), *patches)


def _cpu(**case: np.ndarray) -> Outputs:
    maps = tuple(tensor.numpy() for tensor in empty_maps(_SHAPE))
    cpu.write_maps(*_arguments(case), *maps)
    return maps


def _cuda(**case: np.ndarray) -> Outputs:
    from numba.cuda import to_device

    from perception.ops.lane_maps import cuda

    maps = tuple(tensor.numpy() for tensor in empty_maps(_SHAPE))
    if len(case["vertices"]):
        on_device = tuple(to_device(array) for array in maps)
        vertices, splits, images, point, start = map(to_device, _arguments(case))
        cuda.write_maps(vertices, splits, images, point, start, on_device)
        maps = tuple(array.copy_to_host() for array in on_device)
    return maps


CHECK = Check(_cases, _reference, _cpu, _cuda)
