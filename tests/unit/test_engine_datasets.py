"""Datasets are examined once, resumably and in parallel, on a toy tool and by the real command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest

from perception.cli import main
from perception.engine.datasets import DatasetTool, Examined, Finding, examine, find_tool
from perception.errors import InputError, UnknownNameError
from perception.plugins.lane_detection import tiny_data


class Numbers(DatasetTool):
    """A file with a number each; counts how often it is asked."""

    name = "numbers"
    expected_tree = "  *.txt   a number\n"
    asked: ClassVar[list[str]] = []

    def records(self, root: Path) -> list[str]:
        return sorted(path.name for path in root.glob("*.txt"))

    def files(self, root: Path, record: str) -> list[Path]:
        return [root / record]

    def examine(self, root: Path, record: str) -> Examined:
        self.asked.append(record)
        text = (root / record).read_text()
        if not text.isdecimal():
            return Examined((Finding(record, "a number", text),))
        return Examined(facts={"value": int(text), "parity": "even" if int(text) % 2 == 0 else "odd"})


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    root = tmp_path / "numbers"
    root.mkdir()
    for index, text in enumerate(["3", "x", "8"]):
        (root / f"{index}.txt").write_text(text)
    Numbers.asked.clear()
    return root


def final(root: Path, cache: Path):
    return list(examine(Numbers(), root, cache=cache))[-1]


def test_findings_and_statistics(numbers, tmp_path):
    report = final(numbers, tmp_path / "cache")
    assert report.findings == [Finding("1.txt", "a number", "x")]
    stats = report.stats()
    assert stats["value"] == {"count": 2, "min": 3, "mean": 5.5, "max": 8}
    assert stats["parity"]["values"] == {"odd": 1, "even": 1}


def test_only_what_changed_is_examined_again(numbers, tmp_path):
    first = final(numbers, tmp_path / "cache")
    (numbers / "1.txt").write_text("20")
    (numbers / "3.txt").write_text("1")
    Numbers.asked.clear()
    second = final(numbers, tmp_path / "cache")
    assert Numbers.asked == ["1.txt", "3.txt"]
    assert (first.reused, second.reused) == (0, 2)
    assert list(second.records) == ["0.txt", "1.txt", "2.txt", "3.txt"]


def test_a_cache_that_was_cut_off_costs_one_record(numbers, tmp_path):
    final(numbers, tmp_path / "cache")
    (cache,) = (tmp_path / "cache/datasets").iterdir()
    cache.write_text(cache.read_text()[:-20])
    Numbers.asked.clear()
    assert len(final(numbers, tmp_path / "cache").records) == 3
    assert Numbers.asked == ["2.txt"]


def test_missing_folders_and_unknown_names_are_explained(tmp_path):
    with pytest.raises(InputError, match=r"\*\.txt   a number"):
        final(tmp_path / "none", tmp_path)
    with pytest.raises(UnknownNameError, match="did you mean 'culane'"):
        find_tool("culan")


@pytest.mark.parametrize(("name", "files"), [("culane", ("list/train.txt",)), ("own_lanes", ("labels.jsonl",))])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_command_on_real_layouts(tmp_path, monkeypatch, capsys, name, files, workers):
    monkeypatch.setenv("PERCEPTION_CACHE", str(tmp_path / "cache"))
    kind = {"culane": "CULaneDataset", "own_lanes": "OwnLanesDataset"}[name]
    dataset = {"type": kind, "list_file": list(files)}
    config = {f"{part}_dataloader": {"dataset": dataset} for part in ("train", "val")}
    root = tmp_path / "data"
    tiny_data.write(root, config, count=4)
    command = ["data", "check", name, str(root), "--workers", workers, "--json", str(tmp_path / "report.json")]
    assert main(command) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["records"] == 4
    assert report["stats"]["lanes"] == {"count": 4, "min": 0, "mean": 1.5, "max": 2}
    (root / "img/1.jpg").write_bytes(b"broken")
    assert main(command[:4]) == 1
    assert "expected a picture 1.jpg" in capsys.readouterr().out
    assert main(["data", "index", name, str(root), "--out", str(tmp_path / "index.json")]) == 0
    assert len(json.loads((tmp_path / "index.json").read_text())["records"]) == 4
