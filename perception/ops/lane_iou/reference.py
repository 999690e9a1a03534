"""Definition of the op: both lanes of a pair drawn on whole images with OpenCV, joint by joint."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

SAMPLES = 50
"""Spline samples a segment."""


def sample_spline(points: np.ndarray) -> np.ndarray:
    """Natural cubic spline through (N, 2) float32 points over the chord length, sampled (spec ganet section 7.1)."""
    if len(points) <= 2:
        return points
    steps = np.diff(points, axis=0)
    chord = np.sqrt(steps[:, 0].astype(np.float64) ** 2 + steps[:, 1].astype(np.float64) ** 2)
    t = chord[:, None] / SAMPLES * np.arange(SAMPLES)
    columns = []
    for values, slope in zip(points.T, steps.T / chord):
        bend = _second_derivatives(chord, slope)
        first = slope - (2 * chord * bend[:-1] + chord * bend[1:]) / 6
        square, cube = bend[:-1] / 2, np.diff(bend) / (6 * chord)
        parts = values[:-1, None] + first[:, None] * t + square[:, None] * t * t + cube[:, None] * t * t * t
        columns.append(np.append(parts.reshape(-1), values[-1]))
    return np.stack(columns, axis=1).astype(np.float32)


def _second_derivatives(chord: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Eliminate forwards, then substitute backwards; both ends are 0."""
    upper, bend = np.zeros(len(chord) + 1), np.zeros(len(chord) + 1)
    for i in range(1, len(chord)):
        pivot = 2 * (chord[i - 1] + chord[i]) - chord[i - 1] * upper[i - 1]
        upper[i] = chord[i] / pivot
        bend[i] = (6 * (slope[i] - slope[i - 1]) - chord[i - 1] * bend[i - 1]) / pivot
    for i in range(len(chord) - 1, 0, -1):
        bend[i] -= upper[i] * bend[i + 1]
    return bend


def draw(points: np.ndarray, width: int, size: tuple[int, int]) -> np.ndarray:
    """Draw a lane on a (h, w) bool image; coordinates beyond 32 bits, NaN too, become the smallest integer."""
    image = np.zeros(size[::-1], np.uint8)
    if len(points) >= 2:
        with np.errstate(all="ignore"):
            samples = np.rint(sample_spline(points.astype(np.float32))).astype(np.float64)
        corners = np.where(np.abs(samples) < 1 << 31, samples, -(1 << 31)).astype(np.int32)
        for start, end in zip(corners[:-1].tolist(), corners[1:].tolist()):
            cv2.line(image, start, end, 1, width)
    return image > 0


def iou_matrix(
    rows: Sequence[np.ndarray], columns: Sequence[np.ndarray], width: int, size: tuple[int, int]
) -> np.ndarray:
    """Pixel IoU of every pair of lanes, see :func:`perception.ops.lane_iou.iou_matrix`."""
    result = np.zeros((len(rows), len(columns)))
    for i, a in enumerate(rows):
        for j, b in enumerate(columns):
            one, two = draw(a, width, size), draw(b, width, size)
            result[i, j] = (one & two).sum() / max((one | two).sum(), 1)
    return result
