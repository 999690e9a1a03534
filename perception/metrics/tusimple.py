"""TuSimple accuracy, FP and FN, identical to the official script (spec ganet section 7.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from perception.errors import InputError

PIXEL_THRESHOLD = 20.0
"""How far in x a point may lie from a vertical lane, in pixels; slanted lanes get more."""
LINE_THRESHOLD = 0.85
"""Share of rows that must agree for a lane to count as found."""
MAX_RUN_TIME = 200.0
"""Milliseconds; slower predictions score nothing."""


class FrameScore(NamedTuple):
    """Score of one frame: share of agreeing points, share of wrong predictions, share of missed lanes."""

    accuracy: float
    fp: float
    fn: float


@dataclass(frozen=True)
class Scores:
    """Means over all frames.

    Attributes:
        frames: Number of frames.
        accuracy: Mean accuracy.
        fp: Mean false-positive rate.
        fn: Mean false-negative rate.
        f1: Not official: harmonic mean of 1 - fp and 1 - fn.
    """

    frames: int
    accuracy: float
    fp: float
    fn: float
    f1: float


def _lane_array(lanes: Any, rows: int) -> np.ndarray:
    return np.asarray(lanes, np.float64).reshape(len(lanes), rows)


def thresholds(gt_lanes: np.ndarray, h_samples: np.ndarray) -> np.ndarray:
    """Return the distance in x up to which a point agrees, for each true lane.

    Args:
        gt_lanes: (G, S) float64 x at each row, negative where absent.
        h_samples: (S,) float64 y of the rows.

    Returns:
        (G,) float64: 20 / cos(angle), the angle from the least-squares line x(y) through the lane's points.
    """
    present = gt_lanes >= 0
    count = np.maximum(present.sum(1), 1)
    x = np.where(present, gt_lanes, 0.0)
    y = np.where(present, h_samples, 0.0)
    dx = np.where(present, gt_lanes - (x.sum(1) / count)[:, None], 0.0)
    dy = np.where(present, h_samples - (y.sum(1) / count)[:, None], 0.0)
    spread = (dy * dy).sum(1)
    slope = np.divide((dx * dy).sum(1), spread, out=np.zeros(len(gt_lanes)), where=spread > 0)
    return PIXEL_THRESHOLD / np.cos(np.arctan(slope))


def frame_score(
    pred_lanes: Sequence[Sequence[float]] | np.ndarray,
    gt_lanes: Sequence[Sequence[float]] | np.ndarray,
    h_samples: Sequence[float] | np.ndarray,
    run_time: float = 0.0,
) -> FrameScore:
    """Score one frame.

    Args:
        pred_lanes: P lanes, x at each row of ``h_samples``, negative (-2) where absent.
        gt_lanes: G true lanes of the same form.
        h_samples: (S,) y of the rows in pixels.
        run_time: Milliseconds; above 200 the frame counts as missed.

    Returns:
        Accuracy, FP and FN; FP may be negative when one prediction serves several true lanes.

    Raises:
        ValueError: A lane does not have S values.
    """
    truth, predicted = len(gt_lanes), len(pred_lanes)
    if run_time > MAX_RUN_TIME or predicted > truth + 2:
        return FrameScore(0.0, 0.0, 1.0)
    heights = np.asarray(h_samples, np.float64)
    gt, pred = _lane_array(gt_lanes, len(heights)), _lane_array(pred_lanes, len(heights))
    best = np.zeros(truth)
    if truth and predicted:
        limit = thresholds(gt, heights)[:, None, None]
        distance = np.abs(np.where(pred < 0, -100.0, pred)[None] - np.where(gt < 0, -100.0, gt)[:, None])
        best = ((distance < limit).sum(2) / max(len(heights), 1)).max(1)
    matched = int((best >= LINE_THRESHOLD).sum())
    missed, total = truth - matched, float(best.sum())
    if truth > 4:
        missed, total = max(missed - 1, 0), total - float(best.min())
    counted = max(min(4, truth), 1)
    return FrameScore(total / counted, (predicted - matched) / predicted if predicted else 0.0, missed / counted)


def f1(fp: float, fn: float) -> float:
    """Return the harmonic mean of 1 - fp and 1 - fn; 0 when both are 0."""
    precision, recall = 1.0 - fp, 1.0 - fn
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def summarize(frames: Sequence[FrameScore]) -> Scores:
    """Average the scores of frames."""
    accuracy, fp, fn = np.mean(frames, axis=0).tolist() if frames else (0.0, 0.0, 0.0)
    return Scores(len(frames), accuracy, fp, fn, f1(fp, fn))


def read_records(path: str | Path, required: Sequence[str] = ("raw_file", "lanes")) -> list[dict[str, Any]]:
    """Read a file of one JSON record a line.

    Args:
        path: File to read; blank lines are skipped.
        required: Keys that every record must have.

    Returns:
        The records in file order.

    Raises:
        InputError: Names the line: no JSON (a cut-off last line too), a key missing, lanes that are not lists of
            finite numbers.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(path, "", "a file of JSON lines", error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        raise InputError(path, "", "text", f"byte {error.object[error.start]:#x} at offset {error.start}") from None
    return [_parse_record(path, number, line, required) for number, line in enumerate(lines, 1) if line.strip()]


def _parse_record(path: str | Path, number: int, line: str, required: Sequence[str]) -> dict[str, Any]:
    where = f"line {number}"
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(path, where, "one JSON record", f"{error.msg} at column {error.colno}") from None
    if not isinstance(record, dict):
        raise InputError(path, where, "a JSON object", type(record).__name__)
    missing = [key for key in required if key not in record]
    if missing:
        raise InputError(path, where, f"the keys {', '.join(required)}", f"no {', '.join(missing)}")
    _check_numbers(path, where, "h_samples", [record.get("h_samples", [])])
    _check_numbers(path, where, "lanes", record["lanes"])
    if not _finite_numbers([record.get("run_time", 0.0)]):
        raise InputError(path, where, "run_time in milliseconds", repr(record["run_time"]))
    return record


def _check_numbers(path: str | Path, where: str, key: str, rows: Any) -> None:
    if not isinstance(rows, list):
        raise InputError(path, where, f"{key}: a list", type(rows).__name__)
    for index, row in enumerate(rows):
        if not isinstance(row, list) or not _finite_numbers(row):
            raise InputError(path, f"{where}, {key}[{index}]", "a list of finite numbers", repr(row)[:60])


def _finite_numbers(values: list[Any]) -> bool:
    try:
        array = np.asarray(values)
        return array.ndim == 1 and (not array.size or (array.dtype.kind in "iuf" and bool(np.isfinite(array).all())))
    except ValueError:
        return False


def score_records(
    predictions: Sequence[Mapping[str, Any]], truth: Sequence[Mapping[str, Any]], path: str | Path = "predictions"
) -> list[FrameScore]:
    """Score prediction records against ground-truth records of the same frames.

    Args:
        predictions: ``raw_file``, ``lanes``, ``run_time`` (ms) each.
        truth: ``raw_file``, ``lanes``, ``h_samples`` each.
        path: Named in errors.

    Returns:
        One score a prediction, in their order.

    Raises:
        InputError: Another number of records, an unknown or repeated ``raw_file``, a lane of the wrong length.
    """
    if len(predictions) != len(truth):
        raise InputError(path, "", f"{len(truth)} records as in the ground truth", str(len(predictions)))
    frames = {record["raw_file"]: record for record in truth}
    scores = []
    for number, record in enumerate(predictions, 1):
        name = record["raw_file"]
        target = frames.pop(name, None)
        if target is None:
            raise InputError(path, f"record {number}", "a raw_file of the ground truth, once", repr(name))
        rows = len(target["h_samples"])
        for lanes, owner in ((record["lanes"], "lanes"), (target["lanes"], "ground-truth lanes")):
            for index, lane in enumerate(lanes):
                if len(lane) != rows:
                    where = f"record {number} ({name}), {owner}[{index}]"
                    raise InputError(path, where, f"{rows} values, one for each h_sample", str(len(lane)))
        scores.append(frame_score(record["lanes"], target["lanes"], target["h_samples"], record["run_time"]))
    return scores


def evaluate_files(pred: str | Path, gt: str | Path) -> Scores:
    """Score a prediction file against a ground-truth file, both JSON lines.

    Raises:
        InputError: See ``read_records`` and ``score_records``.
    """
    predictions = read_records(pred, ("raw_file", "lanes", "run_time"))
    truth = read_records(gt, ("raw_file", "lanes", "h_samples"))
    return summarize(score_records(predictions, truth, pred))
