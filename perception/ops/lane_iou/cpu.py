"""The op as numba kernels for the CPU.

A lane is a natural cubic spline through its points, sampled 50 times a segment, rounded to pixels and joined with
OpenCV's ``line``. Nearly all of these joints are one or two pixels long, and what ``line`` draws for them depends
only on the step, so each step's pixels are taken from OpenCV once (``stamps``) and pasted afterwards; joints that
are long or touch the image border, where OpenCV clips, are drawn by OpenCV itself. The result is the same set of
pixels, many times faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numba import njit

SAMPLES = 50
"""Spline samples a segment."""
REACH = 8
_INT_LIMIT = 1 << 31


@njit(cache=True, nogil=True)
def _second_derivatives(values: np.ndarray, chord: np.ndarray) -> np.ndarray:
    """Solve a natural spline's tridiagonal system: ``values`` (N,) float32 over ``chord`` (N - 1,) float64 lengths."""
    count = values.shape[0]
    upper = np.zeros(count)
    result = np.zeros(count)
    for i in range(1, count - 1):
        left, right = chord[i - 1], chord[i]
        slope = (values[i + 1] - values[i]) / right - (values[i] - values[i - 1]) / left
        pivot = 2.0 * (left + right) - left * upper[i - 1]
        upper[i] = right / pivot
        result[i] = (6.0 * slope - left * result[i - 1]) / pivot
    for i in range(count - 2, 0, -1):
        result[i] -= upper[i] * result[i + 1]
    return result


@njit(cache=True, nogil=True, error_model="numpy")
def sample_spline(points: np.ndarray) -> np.ndarray:
    """Sample the natural cubic spline through a lane's points, parameterised by chord length (spec ganet 7.1).

    Args:
        points: (N, 2) float32 xy pixels in file order.

    Returns:
        (50 * (N - 1) + 1, 2) float32, the points themselves when N <= 2. A repeated point has a chord of length zero:
        all samples but the last are NaN then, as in the official tool.
    """
    count = points.shape[0]
    if count <= 2:
        return points.copy()
    chord = np.empty(count - 1)
    for i in range(count - 1):
        dx, dy = points[i + 1, 0] - points[i, 0], points[i + 1, 1] - points[i, 1]
        chord[i] = np.sqrt(np.float64(dx) ** 2 + np.float64(dy) ** 2)
    samples = np.empty((SAMPLES * (count - 1) + 1, 2), np.float32)
    for axis in range(2):
        values = points[:, axis].copy()
        bend = _second_derivatives(values, chord)
        for i in range(count - 1):
            h = chord[i]
            slope = (values[i + 1] - values[i]) / h - (2.0 * h * bend[i] + h * bend[i + 1]) / 6.0
            square, cube = bend[i] / 2.0, (bend[i + 1] - bend[i]) / (6.0 * h)
            for k in range(SAMPLES):
                t = h / SAMPLES * k
                samples[SAMPLES * i + k, axis] = values[i] + slope * t + square * t * t + cube * t * t * t
        samples[-1, axis] = values[-1]
    return samples


@njit(cache=True, nogil=True)
def _pixels(samples: np.ndarray) -> np.ndarray:
    """Round (M, 2) float32 samples half to even and drop consecutive repeats: (K, 2) int64, K >= 1.

    What fits no 32-bit integer becomes the smallest one, NaN too: the official tool's conversion does so on x86.
    """
    pixels = np.empty(samples.shape, np.int64)
    used = 0
    for i in range(samples.shape[0]):
        for axis in range(2):
            value = np.rint(samples[i, axis])
            pixels[used, axis] = np.int64(value) if abs(value) < _INT_LIMIT else -_INT_LIMIT
        if used and pixels[used - 1, 0] == pixels[used, 0] and pixels[used - 1, 1] == pixels[used, 1]:
            continue
        used += 1
    return pixels[:used]


@lru_cache(maxsize=8)
def stamps(width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Tabulate what OpenCV draws for every step of up to ``REACH`` pixels.

    Returns:
        first, last: (S, S, R) int32 with S = 2 * REACH + 1: first and one-past-last column of row r relative to the
            step's
        start; row 0 lies REACH + pad above it.
        rows: (S, S, 2) int32, first and one-past-last row that is not empty; both 0 when a row is not a single run.
        pad: How far a line's pixels may reach beyond its end points.
    """
    pad = width // 2 + 2
    half = REACH + pad
    size, steps = 2 * half + 1, 2 * REACH + 1
    first, last = np.zeros((2, steps, steps, size), np.int32)
    rows = np.zeros((steps, steps, 2), np.int32)
    for i, j in np.ndindex(steps, steps):
        image = np.zeros((size, size), np.uint8)
        cv2.line(image, (half, half), (half + i - REACH, half + j - REACH), 1, width)
        filled = np.flatnonzero(image.any(1))
        begin, end = image.argmax(1), size - image[:, ::-1].argmax(1)
        first[i, j], last[i, j] = begin - half, end - half
        if image.sum() == (end - begin)[filled].sum() and len(filled) == filled[-1] + 1 - filled[0]:
            rows[i, j] = filled[0], filled[-1] + 1
    return first, last, rows, pad


@njit(cache=True, nogil=True)
def _sort_joints(pixels, rows, pad, size):  # type: ignore[no-untyped-def]
    """Tell who draws each joint of a chain (K, 2) int64: 0 nobody (out of the image), 1 a stamp, 2 OpenCV; (K - 1,)."""
    kinds = np.zeros(pixels.shape[0] - 1, np.uint8)
    for i in range(pixels.shape[0] - 1):
        x, y = pixels[i, 0], pixels[i, 1]
        dx, dy = pixels[i + 1, 0] - x, pixels[i + 1, 1] - y
        top, bottom = y + min(dy, 0) - pad, y + max(dy, 0) + pad
        left, right = x + min(dx, 0) - pad, x + max(dx, 0) + pad
        if bottom < 0 or right < 0 or top >= size[1] or left >= size[0]:
            continue
        inside = top >= 0 and left >= 0 and bottom < size[1] and right < size[0]
        small = abs(dx) <= REACH and abs(dy) <= REACH
        kinds[i] = 1 if inside and small and rows[dx + REACH, dy + REACH, 1] else 2
    return kinds


@njit(cache=True, nogil=True)
def _paste(pixels, kinds, stamps, mask, low, high):  # type: ignore[no-untyped-def]
    """Paste the stamps of a chain into a mask.

    A row is usually one growing run of columns: its borders are tracked first and it is filled once. Only where a stamp
    leaves a gap to what was there, the row's stamps are written one by one.

    Args:
        pixels: (K, 2) int64 chain, relative to the mask.
        kinds: (K - 1,) from ``_sort_joints``; only joints of kind 1 are drawn.
        stamps: See ``stamps``.
        mask: (h, w) uint8, written.
        low: (h,) int32, receives the first set column of each row (w in an empty row).
        high: (h,) int32, receives the one-past-last set column (0 in an empty row).
    """
    first, last, rows, pad = stamps
    gaps = np.zeros(mask.shape[0], np.bool_)
    for fill in range(2):
        for i in range(kinds.shape[0]):
            if kinds[i] != 1:
                continue
            x, y = pixels[i, 0], pixels[i, 1]
            a, b = pixels[i + 1, 0] - x + REACH, pixels[i + 1, 1] - y + REACH
            for r in range(rows[a, b, 0], rows[a, b, 1]):
                row = y + r - REACH - pad
                begin, end = x + first[a, b, r], x + last[a, b, r]
                if fill:
                    if gaps[row]:
                        mask[row, begin:end] = 1
                else:
                    gaps[row] |= (low[row] < high[row]) & ((begin > high[row]) | (end < low[row]))
                    low[row], high[row] = min(low[row], begin), max(high[row], end)
        if fill or not gaps.any():
            break
    for row in range(mask.shape[0]):
        if not gaps[row] and low[row] < high[row]:
            mask[row, low[row] : high[row]] = 1


@njit(cache=True, nogil=True)
def _widen(pixels, kinds, pad, low, high, width):  # type: ignore[no-untyped-def]
    """Widen the column limits of each row by the joints that OpenCV drew."""
    for i in range(kinds.shape[0]):
        if kinds[i] == 2:
            x, y = pixels[i, 0], pixels[i, 1]
            end_x, end_y = pixels[i + 1, 0], pixels[i + 1, 1]
            for row in range(max(min(y, end_y) - pad, 0), min(max(y, end_y) + pad + 1, low.shape[0])):
                low[row] = min(low[row], max(min(x, end_x) - pad, 0))
                high[row] = max(high[row], min(max(x, end_x) + pad + 1, width))


@njit(cache=True, nogil=True)
def _overlap(a, a_low, a_high, ax, ay, b, b_low, b_high, bx, by):  # type: ignore[no-untyped-def]
    total = 0
    for y in range(max(ay, by), min(ay + a.shape[0], by + b.shape[0])):
        begin = max(a_low[y - ay] + ax, b_low[y - by] + bx)
        end = min(a_high[y - ay] + ax, b_high[y - by] + bx)
        for x in range(begin, end):
            total += a[y - ay, x - ax] & b[y - by, x - bx]
    return total


@dataclass(frozen=True)
class LaneMask:
    """Pixels of one drawn lane.

    Attributes:
        x: Column of the mask's left border in the image.
        y: Row of the mask's top border in the image.
        mask: (h, w) uint8, 1 where the lane is.
        low: (h,) int32; nothing is set left of this column of ``mask``.
        high: (h,) int32; nothing is set from this column on.
        area: Number of set pixels.
    """

    x: int
    y: int
    mask: np.ndarray
    low: np.ndarray
    high: np.ndarray
    area: int

    def intersection(self, other: LaneMask) -> int:
        """Return the number of pixels that both lanes cover."""
        if not (self.area and other.area):
            return 0
        mine, theirs = (self.mask, self.low, self.high, self.x, self.y), (other.mask, other.low, other.high)
        return int(_overlap(*mine, *theirs, other.x, other.y))

    def iou(self, other: LaneMask) -> float:
        """Return intersection over union; 0 when a lane has no pixels."""
        common = self.intersection(other)
        return common / (self.area + other.area - common) if common else 0.0


_NOTHING = LaneMask(0, 0, np.zeros((0, 0), np.uint8), np.zeros(0, np.int32), np.zeros(0, np.int32), 0)


def lane_chain(points: np.ndarray, width: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return what is to be drawn for a lane: pixels (K, 2) int64 and the kind of each joint (K - 1,), see above.

    Args:
        points: (N, 2) xy pixels.
        width: Line thickness in pixels.
        size: (width, height) of the image.

    Returns:
        Kind 1 is a stamp, kind 2 is left to OpenCV, kind 0 misses the image; no joint for fewer than two points.
    """
    points = np.ascontiguousarray(points, np.float32).reshape(-1, 2)
    if len(points) < 2:
        return np.zeros((1, 2), np.int64), np.zeros(0, np.uint8)
    pixels = _pixels(sample_spline(points))
    if len(pixels) == 1:
        pixels = np.repeat(pixels, 2, axis=0)
    return pixels, _sort_joints(pixels, stamps(width)[2], stamps(width)[-1], size)


def rasterize_lane(points: np.ndarray, width: int = 30, size: tuple[int, int] = (1640, 590)) -> LaneMask:
    """Draw one lane.

    Args:
        points: (N, 2) xy pixels, in file order; converted to float32 first. Fewer than two draw nothing.
        width: Line thickness in pixels.
        size: (width, height) of the image.

    Returns:
        The pixels inside the image.
    """
    pixels, kinds = lane_chain(points, width, size)
    table = stamps(width)
    pad = table[-1]
    x0, y0 = np.maximum(pixels.min(0) - pad, 0).tolist()
    x1, y1 = np.minimum(pixels.max(0) + pad + 1, size).tolist()
    if not len(kinds) or x0 >= x1 or y0 >= y1:
        return _NOTHING
    pixels -= (x0, y0)
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    low, high = np.full(y1 - y0, x1 - x0, np.int32), np.zeros(y1 - y0, np.int32)
    _paste(pixels, kinds, table, mask, low, high)
    draw_rest(pixels, kinds, width, mask)
    _widen(pixels, kinds, pad, low, high, x1 - x0)
    return LaneMask(x0, y0, mask, low, high, int(np.count_nonzero(mask.view(np.bool_))))


def draw_rest(pixels: np.ndarray, kinds: np.ndarray, width: int, mask: np.ndarray) -> None:
    """Let OpenCV draw the joints of kind 2 into the mask."""
    rest = np.flatnonzero(kinds == 2)
    if not len(rest):
        return
    breaks = np.flatnonzero(rest[1:] > rest[:-1] + 1)
    starts, ends = [rest[0], *rest[breaks + 1]], [*rest[breaks], rest[-1]]
    corners = np.maximum(pixels, -_INT_LIMIT).astype(np.int32)
    cv2.polylines(mask, [corners[i : j + 2] for i, j in zip(starts, ends)], False, 1, width)


def iou_matrix(
    rows: Sequence[np.ndarray], columns: Sequence[np.ndarray], width: int, size: tuple[int, int]
) -> np.ndarray:
    """Pixel IoU of every pair of lanes, see :func:`perception.ops.lane_iou.iou_matrix`."""
    left = [rasterize_lane(lane, width, size) for lane in rows]
    right = [rasterize_lane(lane, width, size) for lane in columns]
    return np.array([[a.iou(b) for b in right] for a in left], np.float64).reshape(len(left), len(right))
