"""CurveLanes, own labels and their check."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.engine.datasets import Finding, examine
from perception.errors import InputError
from perception.plugins.lane_detection.data_tools import OwnLanesTool
from perception.plugins.lane_detection.other_data import (
    TEMPLATE,
    CurveLanesDataset,
    OwnLanesDataset,
)

PIPELINE = [{"type": "PackLanes"}]


def picture(path: Path, size: tuple[int, int] = (64, 48)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), 90, np.uint8))


def own(root: Path, *records: object) -> Path:
    for name in ("a", "b"):
        picture(root / f"images/{name}.png")
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (root / "labels.jsonl").write_text("\n".join(lines))
    return root


def check(root: Path) -> list[Finding]:
    return list(examine(OwnLanesTool(), root, cache=root / "cache"))[-1].findings


def test_curvelanes_are_read_as_points(tmp_path: Path):
    picture(tmp_path / "valid/images/x.jpg")
    (tmp_path / "valid/valid.txt").write_text("images/x.jpg\n")
    label = tmp_path / "valid/labels/x.lines.json"
    label.parent.mkdir()
    lines = [[{"x": "10.5", "y": "47.0"}, {"x": "20", "y": "5"}], [{"x": "1", "y": "2"}]]
    label.write_text(json.dumps({"Lines": lines}))
    dataset = CurveLanesDataset(str(tmp_path), "valid/valid.txt", PIPELINE)
    sample = dataset.sample(0)
    assert sample["name"] == "valid/images/x.jpg"
    assert [lane.tolist() for lane in sample["lanes"]] == [[[10.5, 47.0], [20.0, 5.0]]], "one point is no line"
    label.write_text('{"Lines": [[{"x": "a", "y": "1"}]]}')
    with pytest.raises(InputError, match=r"x\.lines\.json"):
        dataset.sample(0)


def test_own_labels_are_read_in_pixels(tmp_path: Path):
    record = {"image": "images/a.png", "lanes": [[[5, 47], [9.5, 20]]]}
    dataset = OwnLanesDataset(str(own(tmp_path, record)), "labels.jsonl", PIPELINE)
    assert dataset.sample(0)["lanes"][0].tolist() == [[5, 47], [9.5, 20]]
    assert check(tmp_path) == []


def test_the_template_is_valid(tmp_path: Path):
    for number in (1, 2):
        picture(tmp_path / f"images/000{number}.jpg", (1280, 720))
    (tmp_path / "labels.jsonl").write_text(TEMPLATE)
    assert check(tmp_path) == []


@pytest.mark.parametrize(
    ("record", "where", "expected", "fatal"),
    [
        ("{not json", "labels.jsonl:1", "a JSON object", True),
        ({"lanes": []}, "labels.jsonl:1", "an object", True),
        ({"image": "images/c.png", "lanes": []}, "labels.jsonl:1", "a picture", True),
        ({"image": "../c.png", "lanes": []}, "labels.jsonl:1", "a path below", True),
        ({"image": "images/a.png", "lanes": {}}, "labels.jsonl:1", "a list of lines", True),
        ({"image": "images/a.png", "lanes": [[[1, 2], [3]]]}, "labels.jsonl:1, lane 0", "points [x, y]", True),
        ({"image": "images/a.png", "lanes": [[[1, 2], [3, float("nan")]]]}, "labels.jsonl:1, lane 0", "points", True),
        ({"image": "images/a.png", "lanes": [[], [[1, 2]]]}, "labels.jsonl:1, lane 0", "two points", True),
        ({"image": "images/a.png", "lanes": [[[1, 2], [3, 2]]]}, "labels.jsonl:1, lane 0", "climbs", False),
        ({"image": "images/a.png", "lanes": [[[1, 2], [3, 480]]]}, "labels.jsonl:1, lane 0", "64 x 48", False),
    ],
)
def test_the_check_names_record_and_expectation(tmp_path, record, where, expected, fatal):
    finding = check(own(tmp_path, record))[0]
    assert finding.where == where
    assert expected in finding.expected
    assert finding.fatal == fatal


def test_the_check_goes_on_after_an_error(tmp_path: Path):
    good = {"image": "images/a.png", "lanes": []}
    assert [finding.where for finding in check(own(tmp_path, "[", good, {"image": 3}))] == [
        "labels.jsonl:1",
        "labels.jsonl:3",
    ]


def test_broken_own_labels_stop_training_with_their_line(tmp_path: Path):
    dataset = OwnLanesDataset(
        str(own(tmp_path, {"image": "images/a.png", "lanes": [[1, 2]]})), "labels.jsonl", PIPELINE
    )
    with pytest.raises(InputError, match=r"labels\.jsonl.*line 1"):
        dataset.sample(0)
