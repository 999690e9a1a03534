"""Runs the golden cases of family ``openlanev2``: results of the official devkit (spec openlanev2_metrics)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any

import numpy as np

from perception.errors import InputError
from perception.metrics.openlanev2.distances import area_distances, box_distances, lane_distances
from perception.metrics.openlanev2.fscore import frame_counts
from perception.metrics.openlanev2.matching import match
from perception.metrics.openlanev2.scene import Scene
from perception.metrics.openlanev2.scoring import BOX_THRESHOLD, LANE_THRESHOLDS, evaluate
from perception.ops.polyline_distance import Polylines, join, pack
from perception.parity import Arrays, GoldenCase, ParityRow, UncoveredError, compare

SCORE_ATOL = 1e-6
DISTANCE_ATOL = 1e-6
HALF_ATOL = 2e-3
"""For 1 - IoU of half-precision boxes: the devkit multiplies their sides in half precision."""
FSCORE_ATOL = {"cases": 0.02, "bench": 0.002}
"""The assignment behind the F-score is not unique (spec openlanev2_metrics section 3.8)."""
TRACKS = {"centerline": "centerline", "lanesegment": "lane_segment"}
LINES = {"centerline": ("points",), "lanesegment": ("centerline", "left_laneline", "right_laneline")}
FAMILY = {"centerline": "lane_centerline", "lanesegment": "lane_segment"}
GRAPHS = {"centerline": ("topology_lclc", "topology_lcte"), "lanesegment": ("topology_lsls", "topology_lste")}
OFFICIAL = {"official_2.1.0": "v2.1", "official_1.1.0": "v1.1", "official_1.0.0": "v1.0"}
STABLE = "_with_stable_sort"
"""With ties the official numbers depend on the machine, except those of a stable sort."""

Pairs = list[tuple[Scene, Scene]]


def run(case: GoldenCase) -> Iterator[ParityRow]:
    """Return a row per official number and, where stored, per intermediate array of one case.

    Raises:
        UncoveredError: Another kind than ``openlanev2/cases`` and ``openlanev2/bench``.
        InputError: A file lacks an array, or its arrays do not fit each other.
    """
    group = case.kind.partition("/")[2]
    if group not in FSCORE_ATOL:
        raise UncoveredError(f"no runner for kind {case.kind!r}; known: openlanev2/cases, openlanev2/bench")
    path = case.path(str(case.entry["file"]))
    try:
        arrays = case.npz(path.name)
        track = str(arrays["track"])
        truths, predictions = (scenes(arrays, track, side) for side in ("gt", "pred"))
    except (KeyError, ValueError) as error:
        raise InputError(path, case.name, "arrays of an OpenLane-V2 case", str(error)) from error
    pairs = list(zip(truths, predictions))
    yield from _official(case, pairs, track, FSCORE_ATOL[group])
    intermediate = f"{path.stem}.expected.npz"
    if (case.folder / intermediate).is_file():
        half = arrays["pred.traffic_element.points"].dtype == np.float16
        stored = case.npz(intermediate)
        yield from _distances(case, pairs, stored, box_atol=HALF_ATOL if half else DISTANCE_ATOL)
        if not _has_ties(case.entry["expected"]):
            yield from _matches(case, pairs, stored)


def scenes(arrays: Arrays, track: str, side: str) -> list[Scene]:
    """Return the frames of one side, ``"gt"`` or ``"pred"``, of a stored case."""
    lane = FAMILY[track]
    counts = {name: arrays[f"{side}.{name}.count"].astype(np.int64) for name in (lane, "traffic_element")}
    lanes = [_polylines(arrays, f"{side}.{lane}", line) for line in LINES[track]]
    frames = len(counts[lane])
    areas = [pack([])] * frames
    labels = scores = [np.zeros(0)] * frames
    if track == "lanesegment":
        areas = _polylines(arrays, f"{side}.area", "points")
        labels = _per_frame(arrays, f"{side}.area", "category")
        scores = _scores(arrays, f"{side}.area")
    boxes = np.split(arrays[f"{side}.traffic_element.points"].reshape(-1, 4), _ends(counts["traffic_element"]))
    graphs = [
        _matrices(arrays[f"{side}.{name}"], counts[lane], counts[columns])
        for name, columns in zip(GRAPHS[track], (lane, "traffic_element"))
    ]
    columns = (
        zip(*lanes),
        _scores(arrays, f"{side}.{lane}"),
        graphs[0],
        boxes,
        _per_frame(arrays, f"{side}.traffic_element", "attribute"),
        _scores(arrays, f"{side}.traffic_element"),
        graphs[1],
        areas,
        labels,
        scores,
    )
    return [Scene(*fields) for fields in zip(*columns)]


def _ends(counts: np.ndarray) -> np.ndarray:
    return np.cumsum(counts)[:-1]


def _per_frame(arrays: Arrays, family: str, field: str) -> list[np.ndarray]:
    return np.split(arrays[f"{family}.{field}"], _ends(arrays[f"{family}.count"]))


def _scores(arrays: Arrays, family: str) -> list[np.ndarray]:
    counts = arrays[f"{family}.count"]
    known = f"{family}.confidence" in arrays
    return _per_frame(arrays, family, "confidence") if known else [np.ones(count) for count in counts]


def _polylines(arrays: Arrays, family: str, field: str) -> list[Polylines]:
    lengths = np.split(arrays[f"{family}.{field}.npts"], _ends(arrays[f"{family}.count"]))
    points = np.split(arrays[f"{family}.{field}"], _ends(np.array([part.sum() for part in lengths])))
    return [join(part, length) for part, length in zip(points, lengths)]


def _matrices(flat: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> list[np.ndarray]:
    starts = accumulate((rows * columns).tolist(), initial=0)
    return [flat[start : start + n * k].reshape(n, k) for start, n, k in zip(starts, rows.tolist(), columns.tolist())]


def _has_ties(expected: Mapping[str, Any]) -> bool:
    return any(name.endswith(STABLE) for name in expected)


def _official(case: GoldenCase, pairs: Pairs, track: str, fscore_atol: float) -> Iterator[ParityRow]:
    """Compare with every stored result of the official evaluator; ties only with those of a stable sort."""
    expected = case.entry["expected"]
    ties = _has_ties(expected)
    for key, version in OFFICIAL.items():
        stored = expected.get(key + STABLE if ties else key)
        if not stored or "raises" in stored:
            continue
        report = evaluate(pairs, TRACKS[track], version)
        ours = report["scores"]
        total = "OLS" if "OLS" in ours else "UniScore"
        for name, values in stored.items():
            if name.startswith("F-Score"):
                yield compare(case, f"{version} F", report["extra"]["F_score"], values["score"], atol=fscore_atol)
                continue
            for metric, value in values.items():
                yield compare(
                    case, f"{version} {metric}", ours[total if metric == "score" else metric], value, atol=SCORE_ATOL
                )
        if version == "v2.1" and not ties:
            yield from _detail(case, report["detail"])
        lanesegnet = expected.get("lanesegnet_evaluator" + (STABLE if ties else ""), {})
        for metric, value in lanesegnet.items():
            yield compare(case, f"LaneSegNet {metric}", report["lanesegnet"][metric], value, atol=SCORE_ATOL)


def _detail(case: GoldenCase, ours: Mapping[str, Any]) -> Iterator[ParityRow]:
    stored = case.entry["expected"].get("detail", {})
    names = {"AP_lane": "AP_lane", "AP_te_per_attribute": "AP_te", "AP_area_per_category": "AP_area"}
    names |= {"TOP_ll_per_threshold": "TOP_ll", "TOP_lt_per_threshold": "TOP_lt"}
    for key, name in names.items():
        if key in stored:
            yield compare(case, key, _leaves(ours[name]), _leaves(stored[key]), atol=SCORE_ATOL)


def _leaves(tree: Mapping[str, Any] | float) -> list[float]:
    return [leaf for child in tree.values() for leaf in _leaves(child)] if isinstance(tree, Mapping) else [tree]


def _distances(case: GoldenCase, pairs: Pairs, stored: Arrays, box_atol: float) -> Iterator[ParityRow]:
    """Compare the distances of all pairs, and the number of lanes that the F-score samples."""
    distances: dict[str, tuple[Callable[[Scene, Scene], np.ndarray], float]] = {
        "dist_lane": (lane_distances, DISTANCE_ATOL),
        "dist_iou": (lambda truth, pred: box_distances(truth.boxes, pred.boxes), box_atol),
        "dist_area": (area_distances, DISTANCE_ATOL),
    }
    for name, (distance, atol) in distances.items():
        if name in stored:
            ours = _flat([distance(*pair) for pair in pairs])
            yield compare(case, name, ours, stored[name], rtol=DISTANCE_ATOL, atol=atol)
    if "fscore_counts" in stored:
        counts = [frame_counts(truth.lanes[0], pred.lanes[0]) for truth, pred in pairs]
        sampled = [(count.truths, count.predictions) for count in counts]
        yield compare(case, "sampled lanes", sampled, stored["fscore_counts"][:, 3:5])


def _matches(case: GoldenCase, pairs: Pairs, stored: Arrays) -> Iterator[ParityRow]:
    """Compare which truth each prediction is matched to."""
    boxes = [match(box_distances(t.boxes, p.boxes), p.box_scores, (BOX_THRESHOLD,)).matched for t, p in pairs]
    lanes = [match(lane_distances(t, p), p.lane_scores, LANE_THRESHOLDS).matched for t, p in pairs]
    matches = {f"match_lane_{limit}": [rows[t] for rows in lanes] for t, limit in enumerate(LANE_THRESHOLDS)}
    for name, matched in {"match_te": boxes, **matches}.items():
        if name in stored:
            yield compare(case, name, _flat(matched), stored[name])


def _flat(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, parts[0].dtype), *(part.reshape(-1) for part in parts)])
