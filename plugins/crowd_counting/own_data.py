"""Own pictures with head points, from JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np

from perception.datasets.files import path_below
from perception.errors import InputError
from perception.registry import DATASETS

from .dataset import CrowdDataset, Record, as_points


@DATASETS.register_module()
class OwnPointsDataset(CrowdDataset):
    """Own pictures and points: ``<split>.json`` or ``<split>.csv`` in the data root.

    JSON: ``{"images": [{"image": path, "points": [[x, y], ...]}, ...]}``, or that list alone. CSV: rows
    ``image,x,y`` with that header; a row with empty x and y is a picture without people.
    """

    expected_tree = """\
  train.json, val.json, test.json   {"images": [{"image": "a/b.jpg", "points": [[x, y], ...]}, ...]}
  or train.csv, ...                 image,x,y   with that header, one head a line
  a/b.jpg                           pictures, in any folders
"""

    def read_records(self, split: str) -> list[Record]:
        """Records of the JSON or the CSV file."""
        for suffix, reader in ((".json", own_json), (".csv", own_csv)):
            path = self.root / f"{split}{suffix}"
            if path.is_file():
                return [
                    Record(str(name), path_below(self.root, name, path, where), points)
                    for where, name, points in reader(path)
                ]
        raise InputError(self.root, split, f"{split}.json or {split}.csv", "neither")

    def read_points(self, record: Record) -> np.ndarray:
        """The points, read with the list."""
        return record.label


def own_json(path: Path) -> list[tuple[str, str, np.ndarray]]:
    """(where, image, points) of an own JSON file.

    Raises:
        InputError: No JSON, or a record without image and points.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(path, "", "JSON", str(error)) from error
    records = content.get("images") if isinstance(content, dict) else content
    if not isinstance(records, list):
        raise InputError(path, "images", "a list of records", type(records).__name__)
    out = []
    for index, record in enumerate(records):
        where = f"images[{index}]"
        if not isinstance(record, dict) or not isinstance(record.get("image"), str) or "points" not in record:
            raise InputError(path, where, "image and points", repr(record)[:60])
        out.append((where, record["image"], as_points(record["points"], path, where)))
    return out


def own_csv(path: Path) -> list[tuple[str, str, np.ndarray]]:
    """(where, image, points) of an own CSV file, pictures in the order of their first row.

    Raises:
        InputError: No such header, or a row that is no point.
    """
    reader = csv.DictReader(io.StringIO(path.read_text()))
    if not {"image", "x", "y"} <= set(reader.fieldnames or ()):
        raise InputError(path, "line 1", "a header with image, x and y", repr(reader.fieldnames))
    found: dict[str, list[list[float]]] = {}
    for number, row in enumerate(reader, start=2):
        points = found.setdefault(str(row["image"]), [])
        if not (row["x"] or row["y"]):
            continue
        try:
            points.append([float(row["x"]), float(row["y"])])
        except (TypeError, ValueError) as error:
            raise InputError(path, f"line {number}", "image,x,y", repr(dict(row))[:60]) from error
    return [(name, name, as_points(points, path, name)) for name, points in found.items()]
