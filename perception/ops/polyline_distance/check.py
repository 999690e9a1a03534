"""Cases on which the forms of the ops are compared."""

from __future__ import annotations

from typing import Any

import numpy as np

from perception.ops.polyline_distance import cpu, reference
from perception.ops.polyline_distance.polylines import Polylines, pack
from perception.ops.verify import Check, Outputs

COUNT = 5


def _cases() -> dict[str, dict]:
    rng = np.random.default_rng(0)

    def random(count: int) -> Polylines:
        return pack([rng.normal(0, 10, (rng.integers(1, 9), 3)) for _ in range(count)])

    line = np.array([[0.0, 0, 0], [1, 0, 0], [2, 1, 0]])
    nan, inf = line.copy(), line.copy()
    nan[1, 2], inf[0, 0] = np.nan, np.inf
    odd = pack([line, nan, inf, line[:0], line[:1]])
    repeated = pack([np.repeat(line, 2, axis=0), np.repeat(line[:1], 4, axis=0), line[[0, 1, 1, 2]]])
    one = pack([line])
    near = pack([line + (0, 3, 0), line + (0, 3 + 1e-12, 0), line[::-1]])
    lines = {
        "random": (random(4), random(5)),
        "not finite, empty, one point": (odd, odd),
        "repeated vertices": (repeated, pack([line, line[:1]])),
        "at the limit": (one, near),
        "large numbers": (pack([line * 1e6]), pack([line * 1e6 + 0.5, line])),
        "closed": (pack([line[[0, 1, 2, 0]]]), one),
        "no line": (pack([]), one),
        "nothing to compare with": (one, pack([])),
    }
    cases: dict[str, dict[str, Any]] = {}
    for name, (a, b) in lines.items():
        shape = (len(a), len(b))
        cases[name] = {"a": a, "b": b, "where": np.ones(shape, bool), "limit": np.full(len(a), 3.0)}
    some = cases["random"]
    cases["some pairs, no limit"] = {
        **some,
        "where": rng.random(some["where"].shape) < 0.5,
        "limit": np.full(len(some["a"]), np.inf),
    }
    return cases


def _reference(a: Polylines, b: Polylines, where: np.ndarray, limit: np.ndarray) -> Outputs:
    return (
        reference.chamfer_matrix(a, b, where, limit),
        reference.frechet_matrix(a, b, where),
        reference.resample(a, COUNT),
    )


def _cpu(a: Polylines, b: Polylines, where: np.ndarray, limit: np.ndarray) -> Outputs:
    sides = (a.points, a.offsets, b.points, b.offsets)
    return (
        cpu.chamfer_matrix(*sides, where, limit),
        cpu.frechet_matrix(*sides, where),
        cpu.resample(a.points, a.offsets, COUNT),
    )


def _cuda(a: Polylines, b: Polylines, where: np.ndarray, limit: np.ndarray) -> Outputs:
    from numba.cuda import to_device

    from perception.ops.polyline_distance import cuda

    def side(lines: Polylines) -> tuple:
        usable = to_device(np.zeros(len(lines), np.bool_))
        points = to_device(lines.points if len(lines.points) else np.zeros((1, 3)))
        parts = (points, to_device(lines.offsets), usable)
        if len(lines):
            cuda.check_lines(*parts)
        return parts

    first, second = side(a), side(b)
    chamfer, frechet, resampled = np.zeros(where.shape), np.zeros(where.shape), np.zeros((len(a), COUNT, 3))
    if where.size:
        wanted, out = to_device(where), to_device(chamfer)
        cuda.chamfer_pairs(first, second, wanted, to_device(limit), out)
        chamfer = out.copy_to_host()
        longest = max(1, int(np.diff(b.offsets).max()))
        out = to_device(frechet)
        cuda.frechet_pairs(first, second, wanted, to_device(np.zeros((where.size, longest))), out)
        frechet = out.copy_to_host()
    if len(a):
        out = to_device(resampled)
        cuda.resample_lines(first, to_device(np.zeros(max(1, len(a.points)))), out)
        resampled = out.copy_to_host()
    return chamfer, frechet, resampled


CHECK = Check(_cases, _reference, _cpu, _cuda)
