"""Compiled parts of the decoder: loops over keypoints that numpy would need many small arrays for."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def hide_not_finite(heat: np.ndarray, start: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Copy of (B, h, w) float32 `heat` with NaN where an offset is not finite, so that no peak is found there."""
    out = heat.copy()
    images, height, width = heat.shape
    for b in range(images):
        for y in range(height):
            for x in range(width):
                # an infinity or NaN among the four makes their sum one
                total = start[b, 0, y, x] + start[b, 1, y, x] + cell[b, 0, y, x] + cell[b, 1, y, x]
                if not np.isfinite(total):
                    out[b, y, x] = np.nan
    return out


@njit(cache=True, nogil=True)
def gather(
    peaks: np.ndarray, heat: np.ndarray, start: np.ndarray, cell: np.ndarray, root_thr: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fields of `decode.Keypoints` for (K, 3) int64 peaks (image, row, column) in this order."""
    count, images = len(peaks), len(heat)
    cells, align = np.empty((count, 2), np.int64), np.empty((count, 2), np.float32)
    root, score = np.empty((count, 2), np.float64), np.empty(count, np.float32)
    splits, seed_splits = np.zeros(images + 1, np.int64), np.zeros(images + 1, np.int64)
    seed_row, seed_column = np.empty(count, np.int64), np.empty(count, np.int64)
    seeds = 0
    for i in range(count):
        b, y, x = peaks[i]
        cells[i, 0], cells[i, 1], score[i] = x, y, heat[b, y, x]
        align[i, 0], align[i, 1] = np.float32(x) + cell[b, 0, y, x], np.float32(y) + cell[b, 1, y, x]
        root[i, 0], root[i, 1] = x + np.float64(start[b, 0, y, x]), y + np.float64(start[b, 1, y, x])
        splits[b + 1] += 1
        if start[b, 1, y, x] < root_thr:
            seed_row[seeds], seed_column[seeds] = y, x
            seeds += 1
            seed_splits[b + 1] += 1
    for b in range(images):
        splits[b + 1] += splits[b]
        seed_splits[b + 1] += seed_splits[b]
    out = np.empty((seeds, 2), np.int64)
    for b in range(images):
        begin, end = seed_splits[b], seed_splits[b + 1]
        order = begin + np.argsort(seed_column[begin:end], kind="mergesort")
        for i in range(end - begin):
            out[begin + i, 0], out[begin + i, 1] = seed_column[order[i]], seed_row[order[i]]
    return cells, align, root, score, splits, out, seed_splits


@njit(cache=True, nogil=True)
def collect(owner: np.ndarray, splits: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort keypoints by group.

    Args:
        owner: (K,) int64 group of every keypoint within its image, -1 for none.
        splits: (B + 1,) int64, where the keypoints of each image begin.
        counts: (B,) int64 groups of each image; empty to count them.

    Returns:
        `order`, `bounds` and `splits` of `decode.Groups`.
    """
    images = len(splits) - 1
    group_splits = np.zeros(images + 1, np.int64)
    for b in range(images):
        groups = 0
        if len(counts):
            groups = counts[b]
        else:
            for i in range(splits[b], splits[b + 1]):
                groups = max(groups, owner[i] + 1)
        group_splits[b + 1] = group_splits[b] + groups
    bounds = np.zeros(group_splits[-1] + 1, np.int64)
    for b in range(images):
        for i in range(splits[b], splits[b + 1]):
            if owner[i] >= 0:
                bounds[group_splits[b] + owner[i] + 1] += 1
    bounds = np.cumsum(bounds)
    order, filled = np.empty(bounds[-1], np.int64), bounds.copy()
    for b in range(images):
        for i in range(splits[b], splits[b + 1]):
            if owner[i] >= 0:
                group = group_splits[b] + owner[i]
                order[filled[group]] = i
                filled[group] += 1
    return order, bounds, group_splits


@njit(cache=True, nogil=True)
def used_rows(splits: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Rows ``splits[b] .. splits[b] + counts[b]`` of every image b, int64."""
    out, count = np.empty(counts.sum(), np.int64), 0
    for b in range(len(counts)):
        for i in range(counts[b]):
            out[count] = splits[b] + i
            count += 1
    return out


@njit(cache=True, nogil=True)
def refine(points: np.ndarray, rows: np.ndarray, score: np.ndarray, stiffness: float) -> np.ndarray:
    """See `decode.refine_lane`; points (N, 2) float64 sorted by row, score (N,) float64."""
    mean, count, i = np.empty((len(points), 2), np.float64), 0, 0
    while i < len(points):
        j, x, y, total = i, 0.0, 0.0, 0.0
        while j < len(points) and rows[j] == rows[i]:
            x += score[j] * points[j, 0]
            y += score[j] * points[j, 1]
            total += score[j]
            j += 1
        i = j
        if count == 0 or y / total > mean[count - 1, 1]:
            mean[count, 0], mean[count, 1] = x / total, y / total
            count += 1
    line = mean[:count].copy()
    if count >= 4 and stiffness > 0:
        line[:, 0] = _smooth(line[:, 1].copy(), line[:, 0].copy(), stiffness)
    return line


@njit(cache=True, nogil=True)
def _smooth(y: np.ndarray, x: np.ndarray, stiffness: float) -> np.ndarray:
    """Solve (1 + stiffness D^T D) out = x for the scaled second difference D: symmetric, five diagonals wide."""
    count = len(y)
    step = np.diff(y)
    scale = np.median(step)
    diagonal, first, second = np.ones(count), np.zeros(count), np.zeros(count)
    for i in range(count - 2):
        a, c = scale / step[i], scale / step[i + 1]
        b = -(a + c)
        diagonal[i] += stiffness * a * a
        diagonal[i + 1] += stiffness * b * b
        diagonal[i + 2] += stiffness * c * c
        first[i] += stiffness * a * b
        first[i + 1] += stiffness * b * c
        second[i] += stiffness * a * c
    out = x.copy()
    for i in range(count):  # L D L^T without pivoting: the matrix is positive definite
        for k, entry in ((1, first[i]), (2, second[i])):
            if i + k >= count:
                continue
            factor = entry / diagonal[i]
            diagonal[i + k] -= factor * entry
            out[i + k] -= factor * out[i]
            if k == 1:
                first[i + 1] -= factor * second[i]
    for i in range(count - 1, -1, -1):
        total = out[i] / diagonal[i]
        if i + 1 < count:
            total -= first[i] / diagonal[i] * out[i + 1]
        if i + 2 < count:
            total -= second[i] / diagonal[i] * out[i + 2]
        out[i] = total
    return out
