"""The op on a CUDA device (or in numba's simulator): chains on the host, pixels on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda

from perception.ops.lane_iou.cpu import REACH, draw_rest, lane_chain, stamps
from perception.ops.lane_iou.cuda import count_common, paste_joints


def iou_matrix(
    rows: Sequence[np.ndarray], columns: Sequence[np.ndarray], width: int, size: tuple[int, int], stream: Any = 0
) -> np.ndarray:
    """Pixel IoU of every pair of lanes, see :func:`perception.ops.lane_iou.iou_matrix`."""
    if not rows or not columns:
        return np.zeros((len(rows), len(columns)))
    masks = np.zeros((len(rows) + len(columns), size[1], size[0]), np.uint8)
    joints = np.concatenate([_joints(lane, i, masks[i], width) for i, lane in enumerate([*rows, *columns])])
    on_device = cuda.to_device(masks, stream)
    if len(joints):
        *tables, pad = stamps(width)
        first, last, filled = (cuda.to_device(np.ascontiguousarray(table), stream) for table in tables)
        paste_joints(cuda.to_device(joints, stream), first, last, filled, REACH, pad, on_device, stream)
    counted = cuda.to_device(np.zeros((len(masks), len(masks)), np.int32), stream)
    count_common(on_device, counted, stream)
    counts = counted.copy_to_host(stream=stream)
    if stream:
        stream.synchronize()
    area, common = np.diag(counts), counts[: len(rows), len(rows) :]
    return common / np.maximum(area[: len(rows), None] + area[None, len(rows) :] - common, 1)


def _joints(lane: np.ndarray, index: int, mask: np.ndarray, width: int) -> np.ndarray:
    """Let OpenCV draw its joints into the mask and return the others, (J, 5) int32."""
    pixels, kinds = lane_chain(lane, width, mask.shape[::-1])
    draw_rest(pixels, kinds, width, mask)
    where = np.flatnonzero(kinds == 1)
    steps = pixels[where + 1] - pixels[where] + REACH
    return np.column_stack([np.full(len(where), index), pixels[where], steps]).astype(np.int32)
