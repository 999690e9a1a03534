"""The op as numba kernels for CUDA: stamps are pasted a thread a joint, pairs are counted a block each.

The chains of pixels are computed on the host, which also draws the few joints that only OpenCV draws exactly.
"""

# numba-cuda types its intrinsics as their implementations
# mypy: ignore-errors

from __future__ import annotations

from typing import Any

from numba import cuda, types

from perception.ops.cuda_support import THREADS, blocks


@cuda.jit(cache=True)
def _paste(joints, first, last, rows, reach, pad, masks):
    i = cuda.grid(1)
    if i >= joints.shape[0]:
        return
    lane, x, y, a, b = joints[i, 0], joints[i, 1], joints[i, 2], joints[i, 3], joints[i, 4]
    for r in range(rows[a, b, 0], rows[a, b, 1]):
        row = y + r - reach - pad
        for column in range(x + first[a, b, r], x + last[a, b, r]):
            masks[lane, row, column] = 1


@cuda.jit(cache=True)
def _count(masks, common):
    """Count the pixels that a pair of masks shares; a mask and itself: its area."""
    one, two = cuda.blockIdx.x, cuda.blockIdx.y
    width = masks.shape[2]
    total = 0
    for i in range(cuda.threadIdx.x, masks.shape[1] * width, cuda.blockDim.x):
        total += masks[one, i // width, i % width] & masks[two, i // width, i % width]
    cuda.atomic.add(common, (one, two), types.int32(total))


def paste_joints(
    joints: Any, first: Any, last: Any, rows: Any, reach: int, pad: int, masks: Any, stream: Any = 0
) -> None:
    """Draw joints into masks.

    Args:
        joints: (J, 5) int32 device array, J > 0: lane, x, y of the start, step in x and y plus ``reach``.
        first: First columns of the stamps, see ``cpu.stamps``.
        last: Their one-past-last columns.
        rows: Their first and one-past-last rows.
        reach: Largest step of a stamp.
        pad: How far stamps reach beyond their ends.
        masks: (L, h, w) uint8 device array, written; stamps lie inside.
        stream: To launch on.
    """
    _paste[blocks(len(joints)), THREADS, stream](joints, first, last, rows, reach, pad, masks)


def count_common(masks: Any, common: Any, stream: Any = 0) -> None:
    """Add the number of pixels that masks (L, h, w) uint8 of 0 and 1 share to ``common`` (L, L) int32, L > 0."""
    lanes = len(masks)
    _count[(lanes, lanes), THREADS, stream](masks, common)


_TABLE, _INT = types.int32[:, :, ::1], types.int64
KERNELS = {
    "paste": (_paste, (types.int32[:, ::1], _TABLE, _TABLE, _TABLE, _INT, _INT, types.uint8[:, :, ::1])),
    "count": (_count, (types.uint8[:, :, ::1], types.int32[:, ::1])),
}
"""Kernels with the types they are compiled for in the table of ops."""
