"""What ``perception data`` knows of the lane datasets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from perception.datasets.files import read_image
from perception.engine.datasets import DatasetTool, Examined, Finding
from perception.errors import InputError, PerceptionError

from .dataset import CULaneDataset, TuSimpleDataset, inside, read_text
from .lane_findings import lane_findings
from .other_data import CurveLanesDataset, OwnLanesDataset


@lru_cache(maxsize=64)
def _lines(path: Path) -> tuple[str, ...]:
    return tuple(read_text(path).splitlines())


def _existing(root: Path, names: Sequence[str]) -> list[Path]:
    """Those of the files that exist.

    Raises:
        InputError: None does.
    """
    found = [root / name for name in names if (root / name).is_file()]
    if not found:
        raise InputError(root, "", f"at least one of {', '.join(names)}", "none of them")
    return found


def _numbered(root: Path, files: Sequence[str]) -> list[str]:
    """``file:line`` of every line that is not empty."""
    return [
        f"{path.relative_to(root).as_posix()}:{number}"
        for path in _existing(root, files)
        for number, line in enumerate(_lines(path), start=1)
        if line.strip()
    ]


def _line(root: Path, record: str) -> tuple[Path, str]:
    file, _, number = record.rpartition(":")
    return root / file, _lines(root / file)[int(number) - 1]


def _picture(path: Path, where: str) -> tuple[tuple[int, int] | None, list[Finding]]:
    try:
        image = read_image(path)
    except InputError as error:
        return None, [Finding(where, f"a picture {path.name}", error.found)]
    return (image.shape[1], image.shape[0]), []


def _examined(findings: list[Finding], size: tuple[int, int] | None, lanes: Any, where: str) -> Examined:
    found = [*findings, *lane_findings(lanes, where, size)]
    if any(finding.fatal for finding in found) or size is None:
        return Examined(tuple(found))
    facts = {"width": size[0], "height": size[1], "lanes": len(lanes), "points": sum(map(len, lanes))}
    return Examined(tuple(found), facts)


class CULaneTool(DatasetTool):
    """CULane layout; a record is an image of the lists."""

    name = "culane"
    expected_tree = CULaneDataset.expected_tree

    def records(self, root: Path) -> list[str]:
        """Images of the three lists, each once."""
        files = _existing(root, ["list/train.txt", "list/val.txt", "list/test.txt"])
        names = [line.split()[0].lstrip("/") for path in files for line in _lines(path) if line.strip()]
        return list(dict.fromkeys(names))

    def files(self, root: Path, record: str) -> list[Path]:
        """The image and its labels."""
        image = inside(root, record, root / "list", record)
        return [image, image.with_suffix(".lines.txt")]

    def examine(self, root: Path, record: str) -> Examined:
        """Decode the image, read the lanes."""
        image, labels = self.files(root, record)
        size, findings = _picture(image, record)
        if not labels.is_file():
            findings.append(Finding(record, labels.name, "no file; read as a picture without lanes", fatal=False))
        lanes = []
        for number, line in enumerate(read_text(labels).splitlines() if labels.is_file() else (), start=1):
            where = f"{labels.relative_to(root)} line {number}"
            try:
                values = [float(word) for word in line.split()]
            except ValueError:
                findings.append(Finding(where, "numbers x y x y ...", repr(line[:40])))
                continue
            if len(values) % 2:
                findings.append(Finding(where, "pairs x y", f"{len(values)} numbers"))
                continue
            if len(values) >= 4:  # shorter ones are ignored by the official reader as well
                lanes.append([[x, y] for x, y in zip(values[::2], values[1::2])])
        return _examined(findings, size, lanes, record)


class TuSimpleTool(DatasetTool):
    """TuSimple layout; a record is a line of a label file."""

    name = "tusimple"
    expected_tree = TuSimpleDataset.expected_tree
    label_files = ("label_data_0313.json", "label_data_0531.json", "label_data_0601.json", "test_label.json")

    def records(self, root: Path) -> list[str]:
        """Lines of the label files."""
        return _numbered(root, self.label_files)

    def files(self, root: Path, record: str) -> list[Path]:
        """The image that the line names."""
        path, line = _line(root, record)
        return [path, root / str(_named(line, "raw_file") or "")]

    def examine(self, root: Path, record: str) -> Examined:
        """Parse the line, compare lanes with rows, decode the image."""
        path, line = _line(root, record)
        try:
            label = json.loads(line)
            rows, columns = label["h_samples"], label.get("lanes", [])
            image = inside(root, str(label["raw_file"]), path, record)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return Examined((Finding(record, "raw_file, h_samples and lanes", f"{line[:40]!r} ({error})"),))
        except PerceptionError as error:
            return Examined((Finding(record, "a path below the dataset's folder", str(error)),))
        size, findings = _picture(image, record)
        lanes: list[Any] = []
        for index, xs in enumerate(columns):
            if not isinstance(xs, list) or len(xs) != len(rows):
                found = f"{len(xs)} values" if isinstance(xs, list) else type(xs).__name__
                findings.append(Finding(f"{record}, lane {index}", f"x at each of {len(rows)} rows", found))
                continue
            points = [[x, y] for x, y in zip(xs, rows) if not (isinstance(x, (int, float)) and x < 0)]
            if len(points) > 1:
                lanes.append(points)
        return _examined(findings, size, lanes, record)


class CurveLanesTool(DatasetTool):
    """CurveLanes layout; a record is an image of the two lists."""

    name = "curvelanes"
    expected_tree = CurveLanesDataset.expected_tree

    def records(self, root: Path) -> list[str]:
        """Images of both lists."""
        files = _existing(root, ["train/train.txt", "valid/valid.txt"])
        return [f"{path.parent.name}/{line.strip()}" for path in files for line in _lines(path) if line.strip()]

    def files(self, root: Path, record: str) -> list[Path]:
        """The image and its labels."""
        image = inside(root, record, root, record)
        return [image, image.parent.parent / "labels" / f"{image.stem}.lines.json"]

    def examine(self, root: Path, record: str) -> Examined:
        """Decode the image, read the lanes."""
        image, labels = self.files(root, record)
        size, findings = _picture(image, record)
        try:
            data = json.loads(read_text(labels))
            lanes = [[[float(point["x"]), float(point["y"])] for point in line] for line in data["Lines"]]
        except PerceptionError as error:
            return Examined((*findings, Finding(record, labels.name, str(error))))
        except (ValueError, KeyError, TypeError) as error:
            return Examined((*findings, Finding(str(labels.relative_to(root)), '"Lines" of points x, y', str(error))))
        return _examined(findings, size, [lane for lane in lanes if len(lane) > 1], record)


class OwnLanesTool(DatasetTool):
    """Own labels; a record is a line of ``labels.jsonl`` or ``val.jsonl``."""

    name = "own_lanes"
    expected_tree = OwnLanesDataset.expected_tree

    def records(self, root: Path) -> list[str]:
        """Lines of the label files."""
        return _numbered(root, ["labels.jsonl", "val.jsonl"])

    def files(self, root: Path, record: str) -> list[Path]:
        """The label file and the image that the line names."""
        path, line = _line(root, record)
        return [path, root / str(_named(line, "image") or "")]

    def examine(self, root: Path, record: str) -> Examined:
        """Parse the line, check its lanes, decode the image."""
        path, line = _line(root, record)
        try:
            label = json.loads(line)
        except ValueError as error:
            return Examined((Finding(record, "a JSON object", f"{line[:40]!r} ({error})"),))
        if not isinstance(label, dict) or not isinstance(label.get("image"), str) or "lanes" not in label:
            return Examined((Finding(record, 'an object with "image" (text) and "lanes"', line[:60]),))
        try:
            image = inside(root, label["image"], path, record)
        except PerceptionError as error:
            return Examined((Finding(record, "a path below the dataset's folder", str(error)),))
        size, findings = _picture(image, record)
        return _examined(findings, size, label["lanes"], record)


def _named(line: str, key: str) -> str | None:
    """A text of a JSON line, None when the line is broken."""
    try:
        value = json.loads(line)[key]
    except (ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, str) else None
