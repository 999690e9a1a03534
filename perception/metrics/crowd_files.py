"""Counting scores of result files: points or counts by image name."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from perception.errors import InputError
from perception.metrics.crowd import cell_counts, count_scores, match_points

__all__ = ["Crowd", "evaluate_files", "read_crowds"]


class Crowd(NamedTuple):
    """People of one image.

    Attributes:
        people: How many.
        points: (N, 2) float64 positions in pixels, or None where only a count is known.
        size: (width, height) of the image, or None.
    """

    people: float
    points: np.ndarray | None
    size: tuple[int, int] | None


def read_crowds(path: Path) -> dict[str, Crowd]:
    """Image name -> people, of a JSON or CSV file.

    Raises:
        InputError: The file cannot be read, or a record is broken; names it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, "", "a JSON or CSV file", str(error)) from error
    return _from_csv(path, text) if path.suffix.lower() == ".csv" else _from_json(path, text)


def _from_json(path: Path, text: str) -> dict[str, Crowd]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(path, "", "JSON", str(error)) from error
    records = content.get("images") if isinstance(content, dict) else content
    if not isinstance(records, list):
        raise InputError(path, "images", "a list of records", type(records).__name__)
    out = {}
    for index, record in enumerate(records):
        where = f"images[{index}]"
        if not isinstance(record, dict) or not isinstance(record.get("image"), str):
            raise InputError(path, where, "a record with image", repr(record)[:60])
        size = record.get("size")
        out[record["image"]] = _crowd(path, where, record.get("points"), record.get("count"), size)
    return out


def _crowd(path: Path, where: str, points: Any, count: Any, size: Any) -> Crowd:
    try:
        found = None if points is None else np.asarray(points, np.float64).reshape(-1, 2)
        number = float(len(found)) if count is None and found is not None else float(count)
        sides = None if size is None else (int(size[0]), int(size[1]))
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(path, where, "points (N, 2), or a count, and size [width, height]", str(error)) from error
    if not np.isfinite(number) or (found is not None and not np.isfinite(found).all()):
        raise InputError(path, where, "finite numbers", "others")
    return Crowd(number, found, sides)


def _from_csv(path: Path, text: str) -> dict[str, Crowd]:
    reader = csv.DictReader(io.StringIO(text))
    columns = set(reader.fieldnames or ())
    if not columns >= {"image", "count"} and not columns >= {"image", "x", "y"}:
        raise InputError(path, "line 1", "a header with image,count or image,x,y", repr(reader.fieldnames))
    points: dict[str, list[Any]] = {}
    out: dict[str, Crowd] = {}
    for number, row in enumerate(reader, start=2):
        if "count" in columns:
            out[row["image"]] = _crowd(path, f"line {number}", None, row["count"], None)
            continue
        found = points.setdefault(row["image"], [])
        if row["x"] or row["y"]:
            found.append((row["x"], row["y"]))
    return out | {name: _crowd(path, name, found, None, None) for name, found in points.items()}


def evaluate_files(predicted: Path, truth: Path, radius: float = 8.0) -> dict[str, Any]:
    """MAE, RMSE, NAE and bias; GAME where positions and sizes are known; precision and recall of positions.

    Args:
        predicted: File for `read_crowds`.
        truth: The same, with positions.
        radius: Largest distance of a correct position, pixels.

    Raises:
        InputError: A file is broken, or the predictions lack an image.
    """
    ours, theirs = read_crowds(predicted), read_crowds(truth)
    if missing := [name for name in theirs if name not in ours]:
        raise InputError(predicted, missing[0], f"a record for each of {len(theirs)} images", f"{len(missing)} missing")
    if not theirs:
        raise InputError(truth, "", "at least one image", "none")
    pairs = [(ours[name], theirs[name]) for name in theirs]
    scores = count_scores([a.people for a, _ in pairs], [b.people for _, b in pairs])
    out: dict[str, Any] = {"images": len(pairs), "MAE": scores.mae, "RMSE": scores.rmse, "NAE": scores.nae}
    out |= {"bias": scores.bias, "mean": scores.mean_count}
    placed = [(a.points, b.points, b.size) for a, b in pairs if a.points is not None and b.points is not None]
    if not placed or len(placed) < len(pairs):
        return out
    sized = [(a, b, size) for a, b, size in placed if size is not None]
    if len(sized) == len(placed):
        for level in range(4):
            errors = [np.abs(cell_counts(a, size, level) - cell_counts(b, size, level)).sum() for a, b, size in sized]
            out[f"GAME{level}"] = float(np.mean(errors))
    matches = np.array([match_points(a, b, radius) for a, b, _ in placed]).sum(0)
    hits, wrong, missed = matches.tolist()
    return out | {"precision": hits / max(hits + wrong, 1), "recall": hits / max(hits + missed, 1)}
