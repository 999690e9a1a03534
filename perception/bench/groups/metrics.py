"""CULane and TuSimple against straightforward implementations of the same rules (spec ganet section 7)."""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np

from perception.bench.core import Pair, benchmark
from perception.metrics import culane, tusimple
from perception.ops.lane_iou import SAMPLES, iou_matrix


def synthetic_lanes(seed: int, lanes: int = 4, noise: float = 4.0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return (ground truth, predictions): smooth lanes of (30, 2) float32 xy pixels in a 1640 x 590 image."""
    rng = np.random.default_rng(seed)
    y = np.linspace(580, 290, 30)
    depth = (580 - y) / 290
    truth = []
    for start in np.linspace(150, 1490, lanes):
        x = start + (820 - start) * 0.9 * depth + rng.uniform(-80, 80) * depth**2
        truth.append(np.stack([x, y], 1).astype(np.float32))
    shifted = [lane + np.array([rng.normal(0, noise), 0], np.float32) for lane in truth]
    return truth, shifted


def _naive_mask(lane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draw one lane joint by joint on a whole image."""
    chord = np.hypot(*np.diff(lane.astype(np.float64), axis=0).T)
    count = len(lane)
    system = np.eye(count)
    for i in range(1, count - 1):
        system[i, i - 1 : i + 2] = chord[i - 1], 2 * (chord[i - 1] + chord[i]), chord[i]
    t = np.arange(SAMPLES) / SAMPLES
    columns = []
    for values in lane.T:
        slopes = np.diff(values) / chord
        bend = np.linalg.solve(system, np.concatenate([[0], 6 * np.diff(slopes), [0]]))
        parts = []
        for i, h in enumerate(chord):
            s = t * h
            linear = slopes[i] - h * (2 * bend[i] + bend[i + 1]) / 6
            parts.append(values[i] + linear * s + bend[i] / 2 * s**2 + (bend[i + 1] - bend[i]) / (6 * h) * s**3)
        columns.append(np.concatenate([*parts, values[-1:]]))
    corners = np.rint(np.stack(columns, 1).astype(np.float32)).astype(int).tolist()
    image = np.zeros((size[1], size[0]), np.uint8)
    for start, end in itertools.pairwise(corners):
        cv2.line(image, start, end, 1, culane.WIDTH)
    return image > 0


def _naive_iou_matrix(truth: list[np.ndarray], lanes: list[np.ndarray]) -> np.ndarray:
    result = np.zeros((len(truth), len(lanes)))
    for i, a in enumerate(truth):
        for j, b in enumerate(lanes):
            first, second = _naive_mask(a, culane.SIZE), _naive_mask(b, culane.SIZE)
            result[i, j] = (first & second).sum() / (first | second).sum()
    return result


@benchmark(
    "metrics", "culane_f1", naive="draw both lanes of every pair on a whole image (numpy, cv2.line)", unit="image"
)
def culane_f1() -> Pair:
    """One image of 4 true lanes and 4 predictions, from points to counts."""
    truth, lanes = synthetic_lanes(seed=1)

    def ours() -> culane.Counts:
        return culane.match_counts(iou_matrix(truth, lanes), (0.5,))[0]

    def naive() -> culane.Counts:
        return culane.match_counts(_naive_iou_matrix(truth, lanes), (0.5,))[0]

    return Pair(ours, naive, check=lambda a, b: a == b)


def _tusimple_frames(count: int) -> list[tuple[list[list[int]], list[list[int]], list[int]]]:
    heights = list(range(160, 720, 10))
    frames = []
    for seed in range(count):
        truth, lanes = synthetic_lanes(seed)
        rows = [
            [
                [int(np.interp(h, lane[::-1, 1] * 1.2, lane[::-1, 0])) if h > 350 else -2 for h in heights]
                for lane in side
            ]
            for side in (truth, lanes)
        ]
        frames.append((rows[1], rows[0], heights))
    return frames


def _naive_frame(pred: list[list[int]], gt: list[list[int]], heights: list[int]) -> tusimple.FrameScore:
    if len(pred) > len(gt) + 2:
        return tusimple.FrameScore(0.0, 0.0, 1.0)
    best = []
    for lane in gt:
        points = [(y, x) for y, x in zip(heights, lane) if x >= 0]
        slope = 0.0
        if len(points) > 1:
            mean_y, mean_x = (sum(column) / len(points) for column in zip(*points))
            slope = sum((y - mean_y) * (x - mean_x) for y, x in points) / sum((y - mean_y) ** 2 for y, _ in points)
        limit = 20.0 / math.cos(math.atan(slope))
        shares = []
        for other in pred:
            pairs = [(a if a >= 0 else -100, b if b >= 0 else -100) for a, b in zip(lane, other)]
            shares.append(sum(abs(a - b) < limit for a, b in pairs) / len(heights))
        best.append(max(shares, default=0.0))
    matched = sum(share >= tusimple.LINE_THRESHOLD for share in best)
    missed, total = len(gt) - matched, sum(best)
    if len(gt) > 4:
        missed, total = max(missed - 1, 0), total - min(best)
    counted = max(min(4, len(gt)), 1)
    return tusimple.FrameScore(total / counted, (len(pred) - matched) / len(pred) if pred else 0.0, missed / counted)


@benchmark("metrics", "tusimple_accuracy", naive="one point after another in Python", unit="frame")
def tusimple_accuracy() -> Pair:
    """20 frames of 4 true lanes and 4 predictions with 56 rows."""
    frames = _tusimple_frames(20)
    return Pair(
        lambda: [tusimple.frame_score(*frame) for frame in frames],
        lambda: [_naive_frame(*frame) for frame in frames],
        units=len(frames),
        check=lambda a, b: bool(np.allclose(a, b, rtol=0, atol=1e-12)),
    )
