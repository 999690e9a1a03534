"""Heads from a density map: local maxima of the smoothed density that gather enough people around them."""

from __future__ import annotations

import cv2
import numpy as np


def head_points(density: np.ndarray, stride: float, threshold: float = 0.35) -> tuple[np.ndarray, np.ndarray]:
    """Local maxima of a density map.

    Args:
        density: (h, w) float32 people a cell.
        stride: Edge of a cell in pixels.
        threshold: Least number of people in the 3 x 3 cells around a maximum, each weighed by its distance as below.

    Returns:
        (K, 2) float32 (x, y) in pixels, pixel k covering [k, k + 1), most certain first, refined below a cell by the
        centroid of the 3 x 3 neighbourhood; and (K,) float32 scores, the gathered people, at most 1.
    """
    if not density.size:
        return np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
    density = np.maximum(density, 0).astype(np.float32)
    smooth = cv2.GaussianBlur(density, (3, 3), 0.8, borderType=cv2.BORDER_CONSTANT)
    padded = cv2.copyMakeBorder(smooth, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=-1.0)
    highest = cv2.dilate(padded, np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    gathered = cv2.boxFilter(density, -1, (5, 5), normalize=False, borderType=cv2.BORDER_CONSTANT)
    rows, columns = np.nonzero((smooth >= highest) & (gathered >= threshold) & (smooth > 0))
    rows, columns = _without_twins(smooth, rows, columns)
    shifts = np.arange(-1, 2, dtype=np.float32)
    window = cv2.copyMakeBorder(smooth, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0.0)
    patches = np.stack([[window[rows + a, columns + b] for b in range(3)] for a in range(3)]).reshape(3, 3, -1)
    total = np.maximum(patches.sum((0, 1)), 1e-12)
    dx, dy = (
        (patches * shifts[None, :, None]).sum((0, 1)) / total,
        (patches * shifts[:, None, None]).sum((0, 1)) / total,
    )
    points = np.stack([columns + 0.5 + dx, rows + 0.5 + dy], -1) * stride
    scores = np.minimum(gathered[rows, columns], 1.0)
    order = np.argsort(-scores, kind="stable")
    return points[order].astype(np.float32), scores[order].astype(np.float32)


def _without_twins(smooth: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the first cell of plateaus: maxima of equal height that touch each other."""
    taken = np.zeros((smooth.shape[0] + 2, smooth.shape[1] + 2), bool)
    keep = np.zeros(len(rows), bool)
    for index, (row, column) in enumerate(zip(rows.tolist(), columns.tolist())):
        if not taken[row : row + 3, column : column + 3].any():
            keep[index] = taken[row + 1, column + 1] = True
    return rows[keep], columns[keep]
