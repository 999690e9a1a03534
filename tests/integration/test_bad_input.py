"""Bad drives and folders through ``perception run``; ``docs/bad-input.md`` lists all cases and their tests."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tests.fixtures.toy_pipeline  # noqa: F401 - registers the toy stage
from perception.cli import main
from perception.sinks.mcap_inputs import McapFrameWriter
from perception.structures import Frame

PIPELINE = """pipeline = dict(name="toy", stages=[dict(name="a", type="ToyStage")], sinks=["jsonl"])"""


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    path = tmp_path / "drive.mcap"
    with McapFrameWriter(path, flush_every=5) as writer:
        for index in range(40):
            image = np.random.default_rng(index).integers(0, 255, (48, 64, 3), dtype=np.uint8)
            writer.write(Frame(10**18 + index * 10**8, index, {"front": image}))
    return path


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., int]:
    (tmp_path / "toy.py").write_text(PIPELINE)

    def command(drive: Path, out: Path, *options: str) -> int:
        return main(["run", str(drive), *options, "--pipeline", str(tmp_path / "toy.py"), "--out", str(out)])

    return command


def test_a_truncated_drive_runs_up_to_the_cut(tmp_path: Path, drive: Path, run: Callable[..., int]) -> None:
    drive.write_bytes(drive.read_bytes()[: drive.stat().st_size // 2])
    assert run(drive, tmp_path / "out") == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert 10 < report["frames"]["done"] < 40
    [row] = report["faults"]
    assert (row["where"], row["kind"]) == ("drive.mcap", "corrupt") and "cut off at byte" in row["message"]
    assert run(drive, tmp_path / "strict", "--strict") == 1


def test_a_drive_that_may_not_be_read_is_an_error_and_stops_no_other(
    tmp_path: Path, drive: Path, run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    secret = tmp_path / "secret.mcap"
    secret.write_bytes(drive.read_bytes())
    read = Path.open

    def guarded(self: Path, *arguments, **keywords):
        if self.name == secret.name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return read(self, *arguments, **keywords)

    monkeypatch.setattr(Path, "open", guarded)
    assert main(["info", str(secret)]) == 2
    assert f"perception: {secret}: Permission denied" in capsys.readouterr().err
    assert run(secret, tmp_path / "out", str(drive)) == 2
    assert "Permission denied" in capsys.readouterr().err
    assert (tmp_path / "out" / "drive" / "report.json").is_file()


def test_an_output_folder_without_permission_is_an_error(
    tmp_path: Path, drive: Path, run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refused)
        assert run(drive, tmp_path / "out") == 2
    assert "out: no permission to write; change the permissions" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, drive: Path, run: Callable[..., int], monkeypatch, capsys) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tests.fixtures.toy_pipeline.ToyStage.warmup", interrupted)
        assert run(drive, tmp_path / "out") == 130
    assert "the same command continues" in capsys.readouterr().err
    assert run(drive, tmp_path / "out") == 0


def test_the_page_names_tests_that_exist(repository: Path) -> None:
    named = set(re.findall(r"`(test_\w+)`", (repository / "docs" / "bad-input.md").read_text()))
    defined = {
        name
        for path in (repository / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), flags=re.M)
    }
    assert len(named) > 30 and not named - defined
