"""The ops as numba kernels for CUDA: a thread a pair of polylines, or a polyline.

Squares are summed in the order of the definition and without fused steps, so that all forms round alike.
"""

# numba-cuda types its intrinsics as their implementations
# mypy: ignore-errors

from __future__ import annotations

import math
from typing import Any

from numba import cuda, types

from perception.ops.cuda_support import THREADS, blocks, product


@cuda.jit(cache=True)
def _check(points, offsets, usable):
    i = cuda.grid(1)
    if i >= usable.shape[0]:
        return
    good = offsets[i + 1] > offsets[i]
    for k in range(offsets[i], offsets[i + 1]):
        for axis in range(3):
            good = good and math.isfinite(points[k, axis])
    usable[i] = good


@cuda.jit(cache=True)
def _chamfer(a, a_offsets, a_usable, b, b_offsets, b_usable, where, limit, out):
    pair = cuda.grid(1)
    rows, columns = where.shape
    if pair >= rows * columns:
        return
    i, j = pair // columns, pair % columns
    if not where[i, j]:
        out[i, j] = math.inf
    elif not (a_usable[i] and b_usable[j]):
        out[i, j] = math.nan
    else:
        a0, a1, b0, b1 = a_offsets[i], a_offsets[i + 1], b_offsets[j], b_offsets[j + 1]
        there, back = 0.0, 0.0
        for n in range(b0, b1):
            best = math.inf
            for m in range(a0, a1):
                dx, dy, dz = a[m, 0] - b[n, 0], a[m, 1] - b[n, 1], a[m, 2] - b[n, 2]
                best = min(best, product(dx, dx) + product(dy, dy) + product(dz, dz))
            there += math.sqrt(best)
        for m in range(a0, a1):
            best = math.inf
            for n in range(b0, b1):
                dx, dy, dz = a[m, 0] - b[n, 0], a[m, 1] - b[n, 1], a[m, 2] - b[n, 2]
                best = min(best, product(dx, dx) + product(dy, dy) + product(dz, dz))
            back += math.sqrt(best)
        distance = (there / (b1 - b0) + back / (a1 - a0)) / 2.0
        out[i, j] = distance if distance <= limit[i] else math.inf


@cuda.jit(cache=True)
def _frechet(a, a_offsets, a_usable, b, b_offsets, b_usable, where, leash, out):
    """``leash`` holds a row of the longest b for each pair: the last row of its table."""
    pair = cuda.grid(1)
    rows, columns = where.shape
    if pair >= rows * columns:
        return
    i, j = pair // columns, pair % columns
    if not where[i, j]:
        out[i, j] = math.inf
        return
    if not (a_usable[i] and b_usable[j]):
        out[i, j] = math.nan
        return
    first, count = b_offsets[j], b_offsets[j + 1] - b_offsets[j]
    for k in range(a_offsets[i], a_offsets[i + 1]):
        diagonal = 0.0
        for m in range(count):
            if k == a_offsets[i]:
                reached = leash[pair, m - 1] if m > 0 else 0.0
            elif m == 0:
                reached = leash[pair, 0]
            else:
                reached = min(diagonal, min(leash[pair, m], leash[pair, m - 1]))
            diagonal = leash[pair, m]
            n = first + m
            dx, dy, dz = a[k, 0] - b[n, 0], a[k, 1] - b[n, 1], a[k, 2] - b[n, 2]
            leash[pair, m] = max(product(dx, dx) + product(dy, dy) + product(dz, dz), reached)
    out[i, j] = math.sqrt(leash[pair, count - 1])


@cuda.jit(cache=True)
def _resample(points, offsets, usable, arc, out):
    """``arc`` has a place for every vertex: the length of its line up to there."""
    i = cuda.grid(1)
    if i >= usable.shape[0]:
        return
    count = out.shape[1]
    if not usable[i]:
        for k in range(count):
            for axis in range(3):
                out[i, k, axis] = math.nan
        return
    begin, end = offsets[i], offsets[i + 1]
    arc[begin] = 0.0
    for k in range(begin + 1, end):
        dx, dy = points[k, 0] - points[k - 1, 0], points[k, 1] - points[k - 1, 1]
        dz = points[k, 2] - points[k - 1, 2]
        arc[k] = arc[k - 1] + math.sqrt(product(dx, dx) + product(dy, dy) + product(dz, dz))
    segment = begin
    for k in range(count):
        target = product(arc[end - 1], float(k)) / (count - 1)
        while segment < end - 2 and arc[segment + 1] < target:
            segment += 1
        share = 0.0
        if end - begin > 1 and arc[segment + 1] != arc[segment]:
            share = min((target - arc[segment]) / (arc[segment + 1] - arc[segment]), 1.0)
        for axis in range(3):
            step = points[min(segment + 1, end - 1), axis] - points[segment, axis]
            out[i, k, axis] = points[segment, axis] + product(share, step)
    for axis in range(3):
        out[i, 0, axis] = points[begin, axis]
        out[i, count - 1, axis] = points[end - 1, axis]


def check_lines(points: Any, offsets: Any, usable: Any, stream: Any = 0) -> None:
    """Tell which of N > 0 polylines have vertices, all finite.

    Args:
        points: (K, 3) float64 device array.
        offsets: (N + 1,) int64.
        usable: (N,) bool, written.
        stream: To launch on.
    """
    _check[blocks(len(usable)), THREADS, stream](points, offsets, usable)


def chamfer_pairs(a: tuple, b: tuple, where: Any, limit: Any, out: Any, stream: Any = 0) -> None:
    """Chamfer distances of the wanted pairs.

    Args:
        a: Points, offsets and ``usable`` of A > 0 polylines, see :func:`check_lines`.
        b: The same of B > 0.
        where: (A, B) bool.
        limit: (A,) float64.
        out: (A, B) float64, written.
        stream: To launch on.
    """
    _chamfer[blocks(math.prod(where.shape)), THREADS, stream](*a, *b, where, limit, out)


def frechet_pairs(a: tuple, b: tuple, where: Any, leash: Any, out: Any, stream: Any = 0) -> None:
    """Discrete Frechet distances; ``leash`` is scratch (A * B, longest b) float64, the rest as `chamfer_pairs`."""
    _frechet[blocks(math.prod(where.shape)), THREADS, stream](*a, *b, where, leash, out)


def resample_lines(lines: tuple, arc: Any, out: Any, stream: Any = 0) -> None:
    """Resample N > 0 polylines; ``arc`` is scratch (K,) float64, ``out`` (N, count, 3) float64 is written."""
    _resample[blocks(len(lines[2])), THREADS, stream](*lines, arc, out)


_POINTS, _OFFSETS, _FLAGS = types.float64[:, ::1], types.int64[::1], types.boolean[::1]
_SIDE, _WHERE = (_POINTS, _OFFSETS, _FLAGS), types.boolean[:, ::1]
KERNELS = {
    "check": (_check, (_POINTS, _OFFSETS, _FLAGS)),
    "chamfer": (_chamfer, (*_SIDE, *_SIDE, _WHERE, types.float64[::1], _POINTS)),
    "frechet": (_frechet, (*_SIDE, *_SIDE, _WHERE, _POINTS, _POINTS)),
    "resample": (_resample, (*_SIDE, types.float64[::1], types.float64[:, :, ::1])),
}
"""Kernels with the types they are compiled for in the table of ops."""
