"""OpenLane-V2 scores of a set of frames, in the definitions of its releases (spec openlanev2_metrics section 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from perception.errors import PerceptionError, UnknownNameError
from perception.metrics.openlanev2 import topology
from perception.metrics.openlanev2.distances import area_distances, box_distances, lane_distances
from perception.metrics.openlanev2.fscore import FrameCounts, f_score, frame_counts
from perception.metrics.openlanev2.matching import ClassCurve, Detections, Matches, match
from perception.metrics.openlanev2.scene import AREA_CATEGORIES, ATTRIBUTES, CENTERLINE, LANE_SEGMENT, TRACKS, Scene

LANE_THRESHOLDS = (1.0, 2.0, 3.0)
BOX_THRESHOLD = 0.75
AREA_THRESHOLDS = (0.5, 1.0, 1.5)
CROSSING = 1


class Release(NamedTuple):
    """What differs between releases: the tracks, cost of unknown edges, confidence sweep, closed true curves."""

    tracks: tuple[str, ...]
    unknown: float
    sweep: bool
    keep_closed: bool


VERSIONS = {
    "v1.0": Release((CENTERLINE,), topology.UNKNOWN_V1_0, sweep=True, keep_closed=True),
    "v1.1": Release((CENTERLINE,), topology.UNKNOWN, sweep=False, keep_closed=True),
    "v2.1": Release(TRACKS, topology.UNKNOWN, sweep=False, keep_closed=False),
}
"""Definitions by the name under which their numbers are reported."""


@dataclass(frozen=True, eq=False)
class FrameScore:
    """What one frame adds to the scores of a set; a few kilobytes.

    Attributes:
        lanes: Matches of lanes at :data:`LANE_THRESHOLDS`.
        elements: Matches of traffic elements within their attribute.
        areas: Matches of areas within their category at :data:`AREA_THRESHOLDS`.
        lane_lane: (T, 2) float64, sum of the vertex precisions and number of vertices at each lane threshold.
        lane_element: (T, 2) the same for the graph of lanes and elements.
        fscore: Counts for the F-score, None for lane segments.
    """

    lanes: Matches
    elements: Matches
    areas: Matches
    lane_lane: np.ndarray
    lane_element: np.ndarray
    fscore: FrameCounts | None


def release(version: str, track: str) -> Release:
    """Return the definition of a version.

    Raises:
        UnknownNameError: No such version or track.
        PerceptionError: The version does not define that track.
    """
    if version not in VERSIONS:
        raise UnknownNameError("OpenLane-V2 version", version, VERSIONS)
    if track not in TRACKS:
        raise UnknownNameError("OpenLane-V2 track", track, TRACKS)
    if track not in VERSIONS[version].tracks:
        known = ", ".join(name for name, entry in VERSIONS.items() if track in entry.tracks)
        raise PerceptionError(f"OpenLane-V2 {version} does not define the track {track!r}; use {known}")
    return VERSIONS[version]


def score_frame(truth: Scene, pred: Scene, version: str = "v2.1") -> FrameScore:
    """Score one frame; neither side is changed.

    Args:
        truth: What is there.
        pred: What was predicted, of the same track.
        version: One of :data:`VERSIONS`.

    Raises:
        PerceptionError: The sides are of different tracks, or the version does not define the track.
    """
    if truth.track != pred.track:
        raise PerceptionError(f"OpenLane-V2: truth is of track {truth.track!r}, prediction of {pred.track!r}")
    rule = release(version, truth.track)
    lanes = match(lane_distances(truth, pred, rule.keep_closed), pred.lane_scores, LANE_THRESHOLDS)
    boxes = box_distances(truth.boxes, pred.boxes)
    governed = match(boxes, pred.box_scores, (BOX_THRESHOLD,)).matched[0]
    areas = area_distances(truth, pred, limit=max(AREA_THRESHOLDS))
    rows = [_found(matched, pred.lane_scores, len(truth), rule) for matched in lanes.matched]
    columns = _found(governed, pred.box_scores, len(truth.boxes), rule)
    return FrameScore(
        lanes,
        match(boxes, pred.box_scores, (BOX_THRESHOLD,), truth.box_labels, pred.box_labels),
        match(areas, pred.area_scores, AREA_THRESHOLDS, truth.area_labels, pred.area_labels),
        np.array([_vertices(truth.lane_lane, pred.lane_lane, found, found, rule) for found in rows]),
        np.array([_vertices(truth.lane_element, pred.lane_element, found, columns, rule) for found in rows]),
        frame_counts(truth.lanes[0], pred.lanes[0]) if truth.track == CENTERLINE else None,
    )


def _vertices(
    truth: np.ndarray, pred: np.ndarray, rows: list[np.ndarray], columns: list[np.ndarray], rule: Release
) -> np.ndarray:
    """Return sum and number of the vertex precisions at one lane threshold, over all cuts of the sweep."""
    parts = [topology.vertex_precision(truth, pred, a, b, rule.unknown) for a, b in zip(rows, columns)]
    return np.sum(parts, axis=0)


def _found(matched: np.ndarray, scores: np.ndarray, count: int, rule: Release) -> list[np.ndarray]:
    """Return which prediction each truth is matched to, once, or at each cut-off of the sweep of release 1.0."""
    if not rule.sweep:
        return [topology.inverse(matched, count)]
    kept = (np.where(scores >= cut, matched, -1) for cut in topology.sweep_cuts(scores))
    return [topology.inverse(matches, count) for matches in kept]


class Evaluator:
    """Sums up frame scores; memory grows by some kilobytes a frame.

    Args:
        track: ``"centerline"`` or ``"lane_segment"``.
        version: One of :data:`VERSIONS`.

    Raises:
        PerceptionError: See :func:`release`.
    """

    def __init__(self, track: str, version: str = "v2.1") -> None:
        release(version, track)
        self.track, self.version = track, version
        self.frames = 0
        self._lanes = Detections(LANE_THRESHOLDS)
        self._elements = Detections((BOX_THRESHOLD,), tuple(range(len(ATTRIBUTES))))
        self._areas = Detections(AREA_THRESHOLDS, tuple(AREA_CATEGORIES))
        self._topology = np.zeros((2, len(LANE_THRESHOLDS), 2))
        self._fscore = np.zeros(len(FrameCounts._fields), np.int64)

    def add(self, frame: FrameScore) -> None:
        """Take the next frame; the order of frames decides among equal confidences."""
        self.frames += 1
        self._lanes.add(frame.lanes)
        self._elements.add(frame.elements)
        self._areas.add(frame.areas)
        self._topology += (frame.lane_lane, frame.lane_element)
        if frame.fscore is not None:
            self._fscore += frame.fscore

    def curves(self) -> dict[str, ClassCurve]:
        """Return precision over recall of everything that is detected, by names such as ``lane < 1``.

        Classes that are neither true nor predicted are left out.
        """
        named = [("lane", self._lanes, None), ("element", self._elements, dict(enumerate(ATTRIBUTES)))]
        if self.track == LANE_SEGMENT:
            named.append(("area", self._areas, AREA_CATEGORIES))
        found = {}
        for kind, detections, names in named:
            for curve in detections.curves():
                label = f" {names[curve.label]}" if names else ""
                if curve.truths or curve.predictions:
                    found[f"{kind}{label} < {curve.threshold:g}"] = curve
        return found

    def report(self) -> dict[str, Any]:
        """Return the scores with their version, as plain data.

        Returns:
            ``metric``, ``version``, ``track``, ``frames``; ``scores``: the official numbers; ``lanesegnet``: those of
            LaneSegNet (lane segments only); ``extra``: DET_t over the classes that occur and the F-score; ``detail``:
            AP by threshold, attribute and category, TOP by threshold.
        """
        lanes = self._lanes.average_precisions()[0]
        elements = {label: values[0] for label, values in self._elements.average_precisions().items()}
        areas = self._areas.average_precisions()
        top_ll, top_lt = (_ratio(*sums.sum(0)) for sums in self._topology)
        scores = {"DET_l": _mean(lanes)}
        if self.track == LANE_SEGMENT:
            scores["DET_a"] = _mean([value for values in areas.values() for value in values])
        scores |= {"DET_t": _mean(elements.values()), "TOP_ll": top_ll, "TOP_lt": top_lt}
        total = "OLS" if self.track == CENTERLINE else "UniScore"
        scores[total] = _mean([value**0.5 if name.startswith("TOP") else value for name, value in scores.items()])
        present = [elements[label] for label in self._elements.present()]
        extra: dict[str, float | None] = {"DET_t_present": _mean(present) if present else None}
        report: dict[str, Any] = {
            "metric": "OpenLane-V2",
            "version": self.version,
            "track": self.track,
            "frames": self.frames,
        }
        report |= {"scores": scores, "extra": extra}
        if self.track == CENTERLINE:
            extra["F_score"] = f_score(FrameCounts(*self._fscore.tolist()))
        else:
            ped = _mean(areas[CROSSING])
            mean = (scores["DET_l"] + ped) / 2
            report["lanesegnet"] = {"AP_ls": scores["DET_l"], "AP_ped": ped, "mAP": mean}
            report["lanesegnet"] |= {"TOP_lsls": top_ll, "TOP_lste": top_lt}
        report["detail"] = self._detail(lanes, elements, areas)
        return report

    def _detail(
        self, lanes: tuple[float, ...], elements: dict[int, float], areas: dict[int, tuple[float, ...]]
    ) -> dict[str, Any]:
        detail: dict[str, Any] = {"AP_lane": _by_threshold(LANE_THRESHOLDS, lanes)}
        detail["AP_te"] = {ATTRIBUTES[label]: value for label, value in elements.items()}
        for name, sums in zip(("TOP_ll", "TOP_lt"), self._topology):
            detail[name] = _by_threshold(LANE_THRESHOLDS, [_ratio(*row) for row in sums])
        if self.track == LANE_SEGMENT:
            detail["AP_area"] = {
                AREA_CATEGORIES[label]: _by_threshold(AREA_THRESHOLDS, values) for label, values in areas.items()
            }
        return detail


def evaluate(
    frames: Iterable[tuple[Scene, Scene]],
    track: str,
    version: str = "v2.1",
    threads: int = 1,
    per_frame: Callable[[dict[str, Any]], None] | None = None,
    evaluator: Evaluator | None = None,
) -> dict[str, Any]:
    """Score a set of frames.

    Args:
        frames: Truth and prediction of each frame; read as they are needed.
        track: ``"centerline"`` or ``"lane_segment"``.
        version: One of :data:`VERSIONS`.
        threads: How many frames are scored side by side; the result does not depend on it.
        per_frame: Called with the report of each frame on its own, in order. What does not occur in a frame scores 1
            there, as in a whole set.
        evaluator: Receives the frames, for those who want more than its report; of `track` and `version`.

    Returns:
        The report, see :meth:`Evaluator.report`.

    Raises:
        PerceptionError: A frame is of another track, or the version does not define it.
    """
    evaluator = evaluator or Evaluator(track, version)

    def score(pair: tuple[Scene, Scene]) -> FrameScore:
        if pair[0].track != track:
            raise PerceptionError(f"OpenLane-V2: expected frames of track {track!r}, found {pair[0].track!r}")
        return score_frame(*pair, version)

    for frame in _ordered(score, frames, threads):
        evaluator.add(frame)
        if per_frame is not None:
            alone = Evaluator(track, version)
            alone.add(frame)
            per_frame(alone.report())
    return evaluator.report()


def _ordered(
    score: Callable[[tuple[Scene, Scene]], FrameScore], frames: Iterable[tuple[Scene, Scene]], threads: int
) -> Iterator[FrameScore]:
    """Apply ``score`` to all frames in order, reading only a few frames ahead."""
    if threads <= 1:
        yield from map(score, frames)
        return
    source = iter(frames)
    with ThreadPoolExecutor(threads) as pool:
        while chunk := list(islice(source, 8 * threads)):
            yield from pool.map(score, chunk)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def _ratio(total: float, count: float) -> float:
    return float(total / count) if count else 0.0


def _by_threshold(thresholds: tuple[float, ...], values: Iterable[float]) -> dict[str, float]:
    return {f"{threshold:g}": value for threshold, value in zip(thresholds, values)}
