"""OpenLane-V2 frames of 60 true and 200 predicted lanes against pair-by-pair numpy (spec openlanev2_metrics 5)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from perception.bench.core import Pair, benchmark
from perception.metrics.openlanev2 import CENTERLINE, LANE_SEGMENT, FrameScore, Scene, score_frame
from perception.metrics.openlanev2.distances import MASK_DISTANCE, MASKED, relaxation
from perception.metrics.openlanev2.fscore import FAR, FIRST, SAMPLES
from perception.metrics.openlanev2.matching import match
from perception.metrics.openlanev2.scoring import LANE_THRESHOLDS
from perception.ops.polyline_distance import Polylines, pack, reference

TRUE_LANES, PREDICTED_LANES = 60, 200
POINTS = {CENTERLINE: 11, LANE_SEGMENT: 10}
NAIVE = "lane distances and F-score pair by pair in numpy, without boxes, areas and topology"


def synthetic_frame(track: str, seed: int = 0) -> tuple[Scene, Scene]:
    """Return a true frame of 60 lanes, 8 elements and 8 areas, and a noisy prediction of 200, 100 and 50."""
    rng = np.random.default_rng(seed)
    along = np.linspace(0, 1, POINTS[track])
    start, heading = rng.uniform((-50, -25), (50, 25), (TRUE_LANES, 2)), rng.uniform(-np.pi, np.pi, TRUE_LANES)
    length, bend = rng.uniform(10, 40, TRUE_LANES), rng.uniform(-0.6, 0.6, TRUE_LANES)
    angle = heading[:, None] + bend[:, None] * along
    step = (length[:, None] * along)[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=2)
    true = np.pad(start[:, None] + step, ((0, 0), (0, 0), (0, 1)))
    source = rng.integers(0, TRUE_LANES, PREDICTED_LANES)
    drift = rng.normal(0, 1, (PREDICTED_LANES, 1, 3)) * rng.uniform(0, 4, (PREDICTED_LANES, 1, 1)) * (1, 1, 0.1)
    predicted = true[source] + drift + rng.normal(0, 0.2, (PREDICTED_LANES, len(along), 3))
    return _scene(rng, track, true, 8, 8), _scene(rng, track, predicted, 100, 50)


def _scene(rng: np.random.Generator, track: str, lanes: np.ndarray, elements: int, areas: int) -> Scene:
    corner = rng.uniform(0, 1500, (elements, 2))
    around = np.linspace(0, 2 * np.pi, 20)
    circle = np.stack([3 * np.cos(around), 5 * np.sin(around), 0 * around], axis=1)
    shifts = ((0, 0, 0),) if track == CENTERLINE else ((0, 0, 0), (0, 1.8, 0), (0, -1.8, 0))
    areas = 0 if track == CENTERLINE else areas
    return Scene(
        lanes=tuple(pack(list(lanes + shift)) for shift in shifts),
        lane_scores=rng.random(len(lanes)),
        lane_lane=(rng.random((len(lanes), len(lanes))) < 0.03).astype(float),
        boxes=np.concatenate([corner, corner + rng.uniform(10, 80, (elements, 2))], axis=1),
        box_labels=rng.integers(0, 13, elements),
        box_scores=rng.random(elements),
        lane_element=(rng.random((len(lanes), elements)) < 0.1).astype(float),
        areas=pack([circle + rng.uniform(-30, 30, 3) * (1, 1, 0) for _ in range(areas)]),
        area_labels=rng.integers(1, 3, areas),
        area_scores=rng.random(areas),
    )


def naive_distances(truth: Scene, pred: Scene) -> np.ndarray:
    """Return the relaxed lane distances (G, P), each pair on its own."""
    factor = relaxation(truth.lanes[0])
    matrix = np.full((len(truth), len(pred)), MASKED)
    for i, j in np.ndindex(matrix.shape):
        true, other = [lines[i] for lines in truth.lanes], [lines[j] for lines in pred.lanes]
        if factor[i] * reference.chamfer(true[0], other[0]) >= MASK_DISTANCE:
            continue
        distance = reference.frechet(true[0], other[0])
        if len(true) == 3:
            distance = 0.5 * (distance + sum(reference.chamfer(a, b) for a, b in zip(true[1:], other[1:])))
        matrix[i, j] = factor[i] * distance
    return matrix


def naive_total_cost(truth: Polylines, pred: Polylines) -> int:
    """Return the cost of the cheapest assignment behind the F-score."""
    places = np.arange(FIRST, FIRST + SAMPLES)
    sampled = []
    for lanes in (truth, pred):
        usable = [lane for lane in lanes if lane[0, 0] < places[-1] and lane[-1, 0] > FIRST]
        ordered = [lane[np.argsort(lane[:, 0], kind="stable")] for lane in usable]
        visible = [(places >= lane[0, 0]) & (places <= lane[-1, 0]) for lane in ordered]
        yz = [np.stack([np.interp(places, lane[:, 0], lane[:, axis]) for axis in (1, 2)], 1) for lane in ordered]
        sampled.append([(line, seen) for line, seen in zip(yz, visible) if seen.sum() >= 2])
    costs = np.zeros([len(side) for side in sampled], int)
    for i, (line, seen) in enumerate(sampled[0]):
        for j, (other, also) in enumerate(sampled[1]):
            cost = np.linalg.norm(line - other, axis=1)[seen & also].sum() + FAR * (seen ^ also).sum()
            costs[i, j] = 1 if 0 < cost < 1 else int(cost)
    return int(costs[linear_sum_assignment(costs)].sum())


def _pair(track: str) -> Pair:
    truth, pred = synthetic_frame(track)

    def naive() -> np.ndarray:
        if track == CENTERLINE:
            naive_total_cost(truth.lanes[0], pred.lanes[0])
        return naive_distances(truth, pred)

    def agree(ours: FrameScore, distance: np.ndarray) -> bool:
        return np.array_equal(ours.lanes.matched, match(distance, pred.lane_scores, LANE_THRESHOLDS).matched)

    return Pair(lambda: score_frame(truth, pred), naive, check=agree)


@benchmark("metrics", "openlanev2_centerline", naive=NAIVE, unit="frame")
def openlanev2_centerline() -> Pair:
    """One frame with its F-score, from arrays to counts."""
    return _pair(CENTERLINE)


@benchmark("metrics", "openlanev2_lane_segment", naive=NAIVE.replace(" and F-score", ""), unit="frame")
def openlanev2_lane_segment() -> Pair:
    """One frame of lane segments and areas."""
    return _pair(LANE_SEGMENT)
