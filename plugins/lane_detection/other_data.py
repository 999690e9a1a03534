"""Readers of CurveLanes and of people's own labels, and a check of own labels that explains every error."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from perception.errors import InputError, PerceptionError
from perception.registry import DATASETS
from perception.structures import Lanes2D

from .dataset import LaneDataset, Record, inside, read_image, read_text

TEMPLATE = """\
{"image": "images/0001.jpg", "lanes": [[[512, 719], [540, 600], [571, 480]], [[900.5, 719], [830, 480]]]}
{"image": "images/0002.jpg", "lanes": []}
"""
"""Two records of own labels: a picture with two lines, of three and two points, and one without lines."""


@DATASETS.register_module()
class CurveLanesDataset(LaneDataset):
    """CurveLanes layout: a list of images per split and one ``.lines.json`` per image."""

    expected_tree = """\
  train/train.txt, valid/valid.txt   a path such as images/0a1b.jpg on each line
  train/images/0a1b.jpg
  train/labels/0a1b.lines.json       {"Lines": [[{"x": "10.5", "y": "719.0"}, ...], ...]}
"""

    def read_list(self, path: Path) -> list[Record]:
        """One image path per line, relative to the folder of the list."""
        records = []
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            if line.strip():
                image = inside(path.parent, line.strip(), path, f"line {number}")
                label = image.parent.parent / "labels" / f"{image.stem}.lines.json"
                records.append(Record(str(image.relative_to(self.root)), image, str(label)))
        return records

    def read_lanes(self, record: Record, image_size: tuple[int, int]) -> Lanes2D:
        """Lines of two points or more."""
        path = Path(record.label)
        data = _json(read_text(path), path, "")
        try:
            lines = [[[float(point["x"]), float(point["y"])] for point in line] for line in data["Lines"]]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(path, "Lines", 'lists of {"x": number, "y": number}', str(error)) from error
        return _lanes(lines, image_size, path, "Lines")


@DATASETS.register_module()
class OwnLanesDataset(LaneDataset):
    """Own labels: a JSON record ``{"image": path, "lanes": [[[x, y], ...], ...]}`` on each line."""

    expected_tree = """\
  labels.jsonl      {"image": "images/0001.jpg", "lanes": [[[x, y], [x, y], ...], ...]} on each line
  images/0001.jpg   pictures, as the records name them; lanes are pixels of the picture, (0, 0) its top left pixel
"""

    def read_list(self, path: Path) -> list[Record]:
        """One record per line."""
        records = []
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            if line.strip():
                data = _json(line, path, f"line {number}")
                if not isinstance(data, dict) or not isinstance(data.get("image"), str):
                    raise InputError(path, f"line {number}", 'an object with "image" and "lanes"', line[:60])
                image = inside(self.root, data["image"], path, f"line {number}")
                records.append(Record(data["image"], image, (str(path), number, data.get("lanes"))))
        return records

    def read_lanes(self, record: Record, image_size: tuple[int, int]) -> Lanes2D:
        """The lanes of the record."""
        file, number, lanes = record.label
        for problem in _problems(lanes, None):
            raise InputError(file, f"line {number}", problem.expected, problem.found)
        return _lanes(lanes, image_size, Path(file), f"line {number}")


class Problem(NamedTuple):
    """One thing that is wrong with own labels.

    Attributes:
        record: Where, such as ``line 3, lane 1``.
        expected: What should be there.
        found: What is there.
        fatal: Training cannot read it; otherwise it can, but it is probably a mistake.
    """

    record: str
    expected: str
    found: str
    fatal: bool


def check_labels(root: Path, labels: str = "labels.jsonl", images: bool = True) -> list[Problem]:
    """Everything wrong with own labels, not only the first error.

    Args:
        root: Folder of the dataset.
        labels: File of records below it.
        images: Also open every picture and compare the lanes with its size.

    Raises:
        InputError: The file cannot be read.
    """
    path, out, seen = root / labels, [], dict[str, int]()
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            data = json.loads(line)
        except ValueError as error:
            out.append(Problem(where, "a JSON object", f"{line[:40]!r} ({error})", True))
            continue
        if not isinstance(data, dict) or not isinstance(data.get("image"), str) or "lanes" not in data:
            out.append(Problem(where, 'an object with "image" (text) and "lanes"', line[:60], True))
            continue
        name = data["image"]
        if name in seen:
            out.append(Problem(where, "every picture once", f"{name} again, first on line {seen[name]}", False))
        seen.setdefault(name, number)
        size = _size(root, name, path, where, out) if images else None
        out += [problem._replace(record=f"{where}{problem.record}") for problem in _problems(data["lanes"], size)]
    if not seen:
        out.append(Problem("", "at least one record", "none", True))
    return out


def _size(root: Path, name: str, path: Path, where: str, out: list[Problem]) -> tuple[int, int] | None:
    try:
        image = inside(root, name, path, where)
    except PerceptionError as error:
        out.append(Problem(where, "a path below the dataset's folder", str(error), True))
        return None
    try:
        pixels = read_image(image)
    except InputError as error:
        out.append(Problem(where, f"a picture {name}", error.found, True))
        return None
    return pixels.shape[1], pixels.shape[0]


def _problems(lanes: Any, size: tuple[int, int] | None) -> Iterator[Problem]:
    """What is wrong with the lanes of one record."""
    if not isinstance(lanes, list):
        yield Problem("", '"lanes": a list of lines', f"{type(lanes).__name__}", True)
        return
    for index, lane in enumerate(lanes):
        where = f", lane {index}"
        points = lane if isinstance(lane, list) else []
        good = [point for point in points if _is_point(point)]
        if len(good) != len(points) or not isinstance(lane, list):
            bad = lane if not isinstance(lane, list) else next(point for point in points if not _is_point(point))
            yield Problem(where, "points [x, y] of finite numbers", f"{str(bad)[:40]}", True)
        elif len(points) < 2:
            yield Problem(where, "two points or more", f"{len(points)}", True)
        elif len({point[1] for point in points}) < 2:
            yield Problem(where, "a line that climbs in the picture", "all points in one row", False)
        elif size is not None:
            outside = [p for p in points if not (-size[0] <= p[0] <= 2 * size[0] and -1 <= p[1] <= size[1] + 1)]
            if outside:
                yield Problem(where, f"points of a picture of {size[0]} x {size[1]}", f"{outside[0]}", False)


def _is_point(point: Any) -> bool:
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(isinstance(value, (int, float)) and math.isfinite(value) for value in point)
    )


def _json(text: str, path: Path, record: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(path, record, "JSON", f"{text[:40]!r} ({error})") from error


def _lanes(lines: list[list[list[float]]], size: tuple[int, int], path: Path, record: str) -> Lanes2D:
    lanes = tuple(np.array(line, np.float32) for line in lines if len(line) > 1)
    try:
        return Lanes2D("front", size, lanes)
    except PerceptionError as error:
        raise InputError(path, record, "lanes", str(error)) from error
