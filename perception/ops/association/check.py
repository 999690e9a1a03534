"""Cases on which the forms of both ops are compared."""

from __future__ import annotations

import numpy as np
import torch

from perception.ops.association import cpu, reference
from perception.ops.verify import Check, Outputs


def _cases() -> dict[str, dict]:
    rng = np.random.default_rng(0)
    roots, seeds = rng.uniform(0, 20, (14, 2)), rng.integers(0, 20, (11, 2))
    odd = roots.copy()
    odd[2], odd[5, 0], odd[7] = np.nan, np.inf, -1e300
    on_the_edge = np.array([[3.0, 4.0], [0.0, 5.0], [3.0, np.nextafter(4.0, 5)], [-5.0, 0.0]])
    origin = np.zeros((1, 2), np.int64)
    cases = {
        "random": (roots, (0, 6, 6, 14), seeds, (0, 3, 5, 11), 4.0),
        "not finite": (odd, (0, 14), seeds, (0, 11), 6.0),
        "no keypoint": (roots[:0], (0, 0), seeds, (0, 11), 4.0),
        "no seed": (roots, (0, 14), seeds[:0], (0, 0), 4.0),
        "no point": (roots[:0], (0, 0), seeds[:0], (0, 0), 4.0),
        "one point": (roots[:1], (0, 1), np.trunc(roots[:1]).astype(np.int64), (0, 1), 4.0),
        "duplicates": (np.repeat(roots[:4], 3, 0), (0, 12), np.repeat(seeds[:3], 4, 0), (0, 12), 0.0),
        "on the edge": (on_the_edge, (0, 4), origin, (0, 1), 5.0),
        "negative seeds": (-roots, (0, 14), -seeds, (0, 11), 4.0),
        "negative radius": (roots, (0, 14), seeds, (0, 11), -1.0),
        "radius NaN": (roots, (0, 14), seeds, (0, 11), np.nan),
    }
    return {name: _named(*case) for name, case in cases.items()}


def _named(roots: np.ndarray, root_splits: tuple, seeds: np.ndarray, seed_splits: tuple, radius: float) -> dict:
    bounds = (np.array(splits, np.int64) for splits in (root_splits, seed_splits))
    return dict(zip(("root_splits", "seed_splits"), bounds)) | {"roots": roots, "seeds": seeds, "radius": radius}


def _reference(
    roots: np.ndarray, root_splits: np.ndarray, seeds: np.ndarray, seed_splits: np.ndarray, radius: float
) -> Outputs:
    a, a_splits, b, b_splits = (torch.from_numpy(array) for array in (roots, root_splits, seeds, seed_splits))
    outputs = (reference.group_points(a, a_splits, radius), *reference.associate(a, a_splits, b, b_splits, radius))
    return tuple(output.numpy() for output in outputs)


def _cpu(
    roots: np.ndarray, root_splits: np.ndarray, seeds: np.ndarray, seed_splits: np.ndarray, radius: float
) -> Outputs:
    return cpu.group_points(roots, root_splits, radius), *cpu.associate(roots, root_splits, seeds, seed_splits, radius)


def _cuda(
    roots: np.ndarray, root_splits: np.ndarray, seeds: np.ndarray, seed_splits: np.ndarray, radius: float
) -> Outputs:
    from numba.cuda import to_device

    from perception.ops.association import cuda

    if not (len(roots) and len(seeds)):  # left to the reference
        return _reference(roots, root_splits, seeds, seed_splits, radius)
    a, a_splits, b, b_splits = (to_device(array) for array in (roots, root_splits, seeds, seed_splits))
    shapes = (len(roots), len(seeds), len(roots), seeds.shape, len(seed_splits) - 1)
    label, *out = (to_device(np.full(shape, -7, np.int64)) for shape in shapes)
    cuda.group_points(a, a_splits, radius, label)
    cuda.associate(a, a_splits, b, b_splits, radius, tuple(out))
    return tuple(array.copy_to_host() for array in (label, *out[1:]))


CHECK = Check(_cases, _reference, _cpu, _cuda)
