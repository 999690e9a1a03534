"""Readers of CurveLanes and of people's own labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import InputError, PerceptionError
from perception.registry import DATASETS
from perception.structures import Lanes2D

from .dataset import LaneDataset, Record, inside, read_text
from .lane_findings import lane_findings

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
        for finding in lane_findings(lanes, f"line {number}"):
            if finding.fatal:
                raise InputError(file, finding.where, finding.expected, finding.found)
        return _lanes(lanes, image_size, Path(file), f"line {number}")


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
