"""``perception info`` and sources of third parties."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.cli import info, main
from perception.registry import SOURCES
from perception.sources import DriveInfo, DriveMapping, DriveSource, open_drive
from perception.structures import Frame


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "pictures"
    path.mkdir()
    for number in range(3):
        cv2.imwrite(str(path / f"{number}.png"), np.zeros((48, 64, 3), np.uint8))
    return path


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    info.add_arguments(parser)
    return info.run(parser.parse_args(arguments))


def test_text_names_streams_and_sensors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(folder)) == 0
    text = capsys.readouterr().out
    assert "3 frames in 0.20 s, reference front" in text and "images (png)" in text and "10.00 Hz" in text
    assert "camera front: 64x48, no calibration, no mounting pose" in text and "ego pose: not found" in text


def test_json_and_mapping_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "out" / "mapping.yaml"
    assert run(str(folder), "--json", "--write-mapping", str(file)) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["frames"] == 3 and data["cameras"] == {"front": [64, 48]} and data["has_pose"] is False
    assert DriveMapping.from_yaml(file).reference == "front"
    assert run(str(folder), "--mapping", str(file)) == 0


def test_the_command_line_reports_bad_drives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tmp_path / "nothing.mcap")]) == 2
    assert "nothing.mcap: expected a recorded drive, found no such file" in capsys.readouterr().err


class _Dark(DriveSource):
    KIND = "darkness"

    @classmethod
    def probe(cls, path: Path) -> float:
        return 1.0 if path.suffix == ".dark" else 0.0

    @property
    def info(self) -> DriveInfo:
        return DriveInfo(str(self.path), "_Dark", (), 0, 1, 2, True, {}, (), (), (), False, DriveMapping())

    def __len__(self) -> int:
        return 2

    def close(self) -> None:
        self.closed = True

    def _frames(self, from_ns: int | None) -> Iterator[Frame]:
        yield from (Frame(time, time) for time in range(2) if time >= (from_ns or 0))


def test_third_parties_register_layouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES.module_dict, "_Dark", _Dark)
    path = tmp_path / "night.dark"
    path.write_text("")
    with open_drive(path) as source:
        assert [frame.timestamp_ns for frame in source] == [0, 1]
        source.seek(1)
        assert [frame.timestamp_ns for frame in source] == [1]
    assert isinstance(source, _Dark) and source.closed
