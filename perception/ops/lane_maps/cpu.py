"""The op as a numba kernel for the CPU."""

from __future__ import annotations

import numpy as np
from numba import njit


def patch(radius: int) -> np.ndarray:
    """(2 radius + 1, 2 radius + 1) float32 Gaussian of sigma (2 radius + 1) / 6 and peak 1."""
    reach = np.arange(-radius, radius + 1)
    sigma = (2 * radius + 1) / 6
    return np.exp(-(reach[:, None] ** 2 + reach[None] ** 2) / (2 * sigma * sigma)).astype(np.float32)


@njit(cache=True, nogil=True)
def _merge(heatmap: np.ndarray, x: int, y: int, patch: np.ndarray) -> None:
    height, width = heatmap.shape
    radius = len(patch) // 2
    for row in range(max(y - radius, 0), min(y + radius + 1, height)):
        for column in range(max(x - radius, 0), min(x + radius + 1, width)):
            value = patch[row - y + radius, column - x + radius]
            if value > heatmap[row, column]:
                heatmap[row, column] = value


@njit(cache=True, nogil=True)
def write_maps(
    vertices: np.ndarray,
    splits: np.ndarray,
    images: np.ndarray,
    point: np.ndarray,
    start: np.ndarray,
    keypoint_hm: np.ndarray,
    start_hm: np.ndarray,
    cell_offset: np.ndarray,
    start_offset: np.ndarray,
    start_weight: np.ndarray,
    offset_mask: np.ndarray,
) -> None:
    """Write the maps of all lanes into arrays of zeros; of several vertices in a cell the last wins.

    Args:
        vertices: (V, 2) float64 xy in cells, inside the grid.
        splits: (L + 1,) int64, where each lane begins.
        images: (L,) int64 image of each lane.
        point: Patch of a keypoint.
        start: Patch of a start point.
        keypoint_hm: See :class:`perception.ops.lane_maps.maps.LaneMaps`, as the other maps.
        start_hm: As there.
        cell_offset: As there.
        start_offset: As there.
        start_weight: As there.
        offset_mask: As there.
    """
    for lane in range(len(images)):
        begin, end, b = splits[lane], splits[lane + 1], images[lane]
        if begin == end:
            continue
        x0, y0 = vertices[begin, 0], vertices[begin, 1]
        length = 2 * np.floor(abs(y0 - vertices[end - 1, 1]))
        _merge(start_hm[b, 0], int(x0), int(y0), start)
        last_x = last_y = -1
        for i in range(begin, end):
            x, y = vertices[i, 0], vertices[i, 1]
            column, row = int(x), int(y)
            if column != last_x or row != last_y:
                _merge(keypoint_hm[b, 0], column, row, point)
                last_x, last_y = column, row
            rise = y0 - y
            weight = 0.2 if rise < 0 else 1.0 if rise < length else 0.4
            cell_offset[b, 0, row, column], cell_offset[b, 1, row, column] = x - column, y - row
            start_offset[b, 0, row, column], start_offset[b, 1, row, column] = x0 - x, rise
            start_weight[b, 0, row, column] = start_weight[b, 1, row, column] = weight
            offset_mask[b, 0, row, column] = 1
