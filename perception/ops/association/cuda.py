"""Both ops as numba kernels for CUDA: a block an image, whose threads share the work of each step.

Device functions are inlined by numba; otherwise it could not compile them without a GPU.
"""

# numba-cuda types its intrinsics as their implementations
# mypy: ignore-errors

from __future__ import annotations

import math
from typing import Any

from numba import cuda, types

from perception.ops.cuda_support import THREADS, product


@cuda.jit(device=True, inline="always")
def _near(ax, ay, bx, by, radius):
    dx, dy = float(ax - bx), float(ay - by)
    return math.sqrt(product(dx, dx) + product(dy, dy)) <= radius


@cuda.jit(device=True, inline="always")
def _group(points, begin, end, radius, label, shared):
    """Label points one after the other; ``shared`` (2,) int64 holds the best group and, afterwards, their number."""
    if cuda.threadIdx.x == 0:
        shared[0] = shared[1] = 0
    cuda.syncthreads()
    for i in range(begin, end):
        for j in range(begin + cuda.threadIdx.x, i, cuda.blockDim.x):
            if _near(points[i, 0], points[i, 1], points[j, 0], points[j, 1], radius):
                cuda.atomic.min(shared, 0, label[j])
        cuda.syncthreads()
        if cuda.threadIdx.x == 0:
            label[i] = shared[0]
            shared[1] = max(shared[1], shared[0] + 1)
            shared[0] = shared[1]
        cuda.syncthreads()


@cuda.jit(cache=True)
def _group_kernel(points, splits, radius, label):
    shared = cuda.shared.array(2, types.int64)
    b = cuda.blockIdx.x
    _group(points, splits[b], splits[b + 1], radius, label, shared)


@cuda.jit(cache=True)
def _associate_kernel(roots, root_splits, seeds, seed_splits, radius, label, owner, centers, groups):
    shared = cuda.shared.array(2, types.int64)
    b = cuda.blockIdx.x
    first, last = seed_splits[b], seed_splits[b + 1]
    _group(seeds, first, last, radius, label, shared)
    count = shared[1]
    for g in range(cuda.threadIdx.x, last - first, cuda.blockDim.x):
        x, y, members = 0, 0, 0
        for i in range(first, last):
            if label[i] == g:
                x += seeds[i, 0]
                y += seeds[i, 1]
                members += 1
        centers[first + g, 0] = int(x / members) if members else 0
        centers[first + g, 1] = int(y / members) if members else 0
    if cuda.threadIdx.x == 0:
        groups[b] = count
    cuda.syncthreads()
    for i in range(root_splits[b] + cuda.threadIdx.x, root_splits[b + 1], cuda.blockDim.x):
        owner[i] = -1
        for g in range(count):
            if _near(roots[i, 0], roots[i, 1], centers[first + g, 0], centers[first + g, 1], radius):
                owner[i] = g
                break


def group_points(points: Any, splits: Any, radius: float, label: Any, stream: Any = 0) -> None:
    """Write the labels of (N, 2) float64 points to (N,) int64; device arrays, at least one image."""
    _group_kernel[len(splits) - 1, THREADS, stream](points, splits, radius, label)


def associate(
    roots: Any, root_splits: Any, seeds: Any, seed_splits: Any, radius: float, out: tuple[Any, ...], stream: Any = 0
) -> None:
    """Write (seed labels (S,), owner (K,), centres (S, 2), groups (B,)), int64; device arrays, at least one image."""
    _associate_kernel[len(seed_splits) - 1, THREADS, stream](roots, root_splits, seeds, seed_splits, radius, *out)


_POINTS, _SEEDS, _INDEX = types.float64[:, ::1], types.int64[:, ::1], types.int64[::1]
KERNELS = {
    "group_points": (_group_kernel, (_POINTS, _INDEX, types.float64, _INDEX)),
    "associate": (
        _associate_kernel,
        (_POINTS, _INDEX, _SEEDS, _INDEX, types.float64, _INDEX, _INDEX, _SEEDS, _INDEX),
    ),
}
"""Kernels with the types they are compiled for in the table of ops."""
