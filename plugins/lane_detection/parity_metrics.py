"""Runs the golden cases of family ``ganet-metrics``: official CULane and TuSimple results (spec ganet section 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from perception.metrics import culane, tusimple
from perception.metrics.assignment import kuhn_munkres
from perception.ops.lane_iou import iou_matrix
from perception.parity import GoldenCase, ParityRow, UncoveredError, compare

IOU_ATOL = 1e-9
PRINTED = 1e-6
"""The official tool prints precision, recall and F with six digits."""


def run(case: GoldenCase) -> Iterator[ParityRow]:
    """Return a row per compared quantity of one case.

    Raises:
        UncoveredError: Another kind than metric/culane, metric/culane_matching and metric/tusimple.
    """
    if case.kind not in RUNNERS:
        raise UncoveredError(f"no runner for kind {case.kind!r}; known: {', '.join(RUNNERS)}")
    return RUNNERS[case.kind](case)


def _run_culane(case: GoldenCase) -> Iterator[ParityRow]:
    folder = str(case.entry["folder"])
    expected = case.json(f"{folder}/expected.json")
    options = expected["options"]
    width, size = int(options["width_lane"]), (int(options["im_width"]), int(options["im_height"]))
    thresholds = [float(value) for value in options["iou_thresholds"]]
    counts: dict[str, list[culane.Counts]] = {}
    ious, golden_ious, numbers, golden_numbers, matches, golden_matches = (
        _Lists(),
        _Lists(),
        _Lists(),
        _Lists(),
        _Lists(),
        _Lists(),
    )
    for name, image in expected["images"].items():
        file = _result_file(name)
        truth, lanes = (culane.read_lanes(case.path(folder) / side / file) for side in ("gt", "pred"))
        similarity = iou_matrix(truth, lanes, width, size)
        counts[file] = culane.match_counts(similarity, thresholds)
        ious.add(similarity)
        golden_ious.add(np.nan_to_num(np.asarray(image["iou"], np.float64)))  # 0/0: two lanes outside the image
        columns = kuhn_munkres(similarity)
        for threshold, count in zip(thresholds, counts[file]):
            numbers.add([len(truth), len(lanes), *count])
            golden_numbers.add([image["n_gt"], image["n_pred"], *image[f"tp_fp_fn@{threshold:g}"]])
            if f"match@{threshold:g}" in image:
                matches.add(_above(columns, similarity, threshold))
                golden_matches.add(image[f"match@{threshold:g}"])
    yield compare(case, "iou of all images", ious.joined(), golden_ious.joined(), atol=IOU_ATOL)
    yield compare(case, "lanes, tp, fp, fn of all images", numbers.joined(), golden_numbers.joined())
    yield compare(case, "matches of all images", matches.joined(), golden_matches.joined())
    yield from _compare_totals(case, folder, expected["totals"], thresholds, counts)


class _Lists:
    """Values of many images as one vector, each preceded by its count."""

    def __init__(self) -> None:
        self.parts: list[np.ndarray] = [np.zeros(0)]

    def add(self, values: Any) -> None:
        flat = np.asarray(values, np.float64).reshape(-1)
        self.parts += [np.array([len(flat)], np.float64), flat]

    def joined(self) -> np.ndarray:
        return np.concatenate(self.parts)


def _result_file(image: str) -> str:
    return str(PurePosixPath(image.lstrip("/")).with_suffix(culane.SUFFIX))


def _above(columns: np.ndarray, similarity: np.ndarray, threshold: float) -> list[int]:
    """Return the matched column of each row, -1 where the pair does not lie above the threshold."""
    return [int(c) if c >= 0 and similarity[row, c] > threshold else -1 for row, c in enumerate(columns)]


def _compare_totals(
    case: GoldenCase,
    folder: str,
    totals: Mapping[str, Mapping[str, float]],
    thresholds: list[float],
    counts: Mapping[str, list[culane.Counts]],
) -> Iterator[ParityRow]:
    for key, golden in totals.items():
        name, _, threshold = key.partition("@")
        index = thresholds.index(float(threshold))
        files = culane.read_list(case.path(f"{folder}/list/{name}.txt"))
        ours = culane.summarize(counts[file][index] for file in files)
        yield compare(case, f"{key} tp, fp, fn", [ours.tp, ours.fp, ours.fn], [golden[k] for k in ("tp", "fp", "fn")])
        rates = [ours.precision, ours.recall, ours.f1]
        yield compare(case, f"{key} p, r, f", rates, [golden[k] for k in ("precision", "recall", "f")], atol=PRINTED)


def _run_matching(case: GoldenCase) -> Iterator[ParityRow]:
    ours, golden, hits, golden_hits = _Lists(), _Lists(), [], []
    for entry in case.json(case.entry["files"][0])["cases"]:
        similarity = np.array(entry["iou"], np.float64).reshape(len(entry["iou"]), -1)
        ours.add(kuhn_munkres(similarity))
        golden.add(entry["match"])
        hits.append(culane.match_counts(similarity, [0.5])[0].tp)
        golden_hits.append(entry["tp"])
    yield compare(case, "match", ours.joined(), golden.joined())
    yield compare(case, "tp", hits, golden_hits)


def _run_tusimple(case: GoldenCase) -> Iterator[ParityRow]:
    folder = str(case.entry["folder"])
    expected = case.json(f"{folder}/expected.json")
    pred = case.path(f"{folder}/pred.json")
    predictions = tusimple.read_records(pred, ("raw_file", "lanes", "run_time"))
    truth = tusimple.read_records(case.path(f"{folder}/gt.json"), ("raw_file", "lanes", "h_samples"))
    frames = tusimple.score_records(predictions, truth, pred)
    ours = {record["raw_file"]: frame for record, frame in zip(predictions, frames)}
    golden = {image["raw_file"]: [image[k] for k in ("accuracy", "fp", "fn")] for image in expected["images"]}
    scored = [ours[name] for name in golden]
    yield compare(case, "accuracy, fp, fn of all frames", scored, list(golden.values()), atol=IOU_ATOL)
    total = tusimple.summarize(frames)
    for key, value in (("Accuracy", total.accuracy), ("FP", total.fp), ("FN", total.fn), ("F1", total.f1)):
        yield compare(case, key, value, expected["totals"][key], atol=IOU_ATOL)


RUNNERS: dict[str, Callable[[GoldenCase], Iterator[ParityRow]]] = {
    "metric/culane": _run_culane,
    "metric/culane_matching": _run_matching,
    "metric/tusimple": _run_tusimple,
}
