"""The op as a numba kernel for the CPU: every cell that holds points is walked to once."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def visible_cells(ends: np.ndarray, start: np.ndarray, out: np.ndarray) -> None:
    """Mark cells of ``out`` (H, W) uint8 of zeros that rays from ``start`` to ``ends`` (N, 2) int64 cross or hit."""
    height, width = out.shape
    walks = np.empty(len(ends), np.int64)
    count = 0
    for i in range(len(ends)):
        row, column = ends[i, 0], ends[i, 1]
        if 0 <= row < height and 0 <= column < width:
            if out[row, column] == 2:
                continue
            out[row, column] = 2
        walks[count] = i
        count += 1
    inside = 0 <= start[0] < height and 0 <= start[1] < width
    for k in range(count):
        _walk(start[0], start[1], ends[walks[k], 0], ends[walks[k], 1], inside, out)


@njit(cache=True, nogil=True)
def _walk(row: int, column: int, last_row: int, last_column: int, inside: bool, out: np.ndarray) -> None:
    """``start + floor((2 i step + n) / 2n)`` for i below n, without a division."""
    height, width = out.shape
    rows, columns = last_row - row, last_column - column
    n = max(abs(rows), abs(columns))
    rest_row, rest_column = n, n
    for _ in range(n):
        if 0 <= row < height and 0 <= column < width:
            if out[row, column] == 0:
                out[row, column] = 1
        elif inside:
            return  # a straight line does not come back
        rest_row += 2 * rows
        rest_column += 2 * columns
        if rest_row >= 2 * n:
            row += 1
            rest_row -= 2 * n
        elif rest_row < 0:
            row -= 1
            rest_row += 2 * n
        if rest_column >= 2 * n:
            column += 1
            rest_column -= 2 * n
        elif rest_column < 0:
            column -= 1
            rest_column += 2 * n
