"""A full disk or a missing permission is told with the path and a way out."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from perception.errors import PerceptionError
from perception.sinks import JsonLinesSink, McapFrameWriter, McapSink, OverlayVideoSink, PngSink, Sink
from perception.sinks.mcap_file import McapFile
from perception.sinks.segments import Segments
from perception.sinks.storage import dump_json, storage_errors, write_file
from perception.structures import Frame

FULL = Path("/dev/full")
needs_dev_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def frame(index: int = 0) -> Frame:
    image = np.random.default_rng(index).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    return Frame(10**9 * (index + 1), index, {"front": image})


class FullFile:
    def __init__(self, code: int) -> None:
        self.code = code

    def write(self, data: bytes) -> int:
        raise OSError(self.code, os.strerror(self.code))

    def flush(self) -> None:
        self.write(b"")

    close = flush


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "check the output folder"),
    ],
)
def test_errors_name_the_path_and_what_to_do(code: int, advice: str) -> None:
    with (
        pytest.raises(PerceptionError, match=f"cannot write some/file.bin: .*{advice}"),
        storage_errors("some/file.bin"),
    ):
        raise OSError(code, os.strerror(code))


def test_a_whole_file_replaces_the_old_one_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "file.bin"
    write_file(path, b"first")

    def refuse(self: Path, data: bytes) -> int:
        self.open("wb").close()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(PerceptionError, match="disk is full"):
        write_file(path, b"second")
    assert path.read_bytes() == b"first"
    assert [item.name for item in path.parent.iterdir()] == ["file.bin"]


def test_json_is_strict_and_takes_numpy() -> None:
    text = dump_json({"a": np.float32(0.5), "b": [np.nan, np.inf, 1], "c": np.array([1.0, np.nan]), "d": (True, None)})
    assert json.loads(text) == {"a": 0.5, "b": [None, None, 1], "c": [1.0, None], "d": [True, None]}
    assert "NaN" not in text and " " not in text


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_json_lines_on_a_full_disk(tmp_path: Path, code: int) -> None:
    sink = JsonLinesSink(tmp_path)
    sink.open()
    sink.append(frame(), {}, [], {})
    sink._files[0].close()
    sink._files[0] = FullFile(code)  # type: ignore[call-overload]
    with pytest.raises(PerceptionError, match=r"results\.jsonl"):
        sink.append(frame(1), {}, [], {})
    sink.abort()
    assert JsonLinesSink(tmp_path).resume() == 1


def test_pictures_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = PngSink(tmp_path, every=1)
    sink.open()
    sink.append(frame(0), {}, [], {})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", lambda self, data: FullFile(errno.ENOSPC).write(data))
        with pytest.raises(PerceptionError, match=r"00000001\.png.*disk is full"):
            sink.append(frame(1), {}, [], {})
    assert PngSink(tmp_path, every=1).resume() == 1


@needs_dev_full
def test_mcap_on_a_full_disk() -> None:
    writer = McapFrameWriter(FULL, flush_every=1)
    with pytest.raises(PerceptionError, match="cannot write /dev/full: the disk is full"):
        writer.write(frame())
    file = McapFile(FULL)
    with pytest.raises(PerceptionError, match="disk is full"):
        file.close()
    file.abandon()


@needs_dev_full
@pytest.mark.parametrize("make", [OverlayVideoSink, McapSink])
def test_parts_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: type[Sink]) -> None:
    monkeypatch.setattr(Segments, "next_part", property(lambda self: FULL))
    with pytest.raises(PerceptionError, match="cannot write /dev/full: the disk is full"), make(tmp_path) as sink:
        for index in range(60):
            sink.append(frame(index), {}, [], {})
    monkeypatch.undo()
    assert make(tmp_path).resume() == 0


@pytest.mark.parametrize("make", [JsonLinesSink, OverlayVideoSink, McapSink, PngSink])
def test_a_file_in_place_of_the_folder(tmp_path: Path, make: type[Sink]) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(PerceptionError, match=r"cannot write .*out"):
        make(tmp_path / "out").open()
    assert (tmp_path / "out").read_text() == "in the way"


def test_an_unknown_encoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(PerceptionError, match="nosuchcodec"), OverlayVideoSink(tmp_path, codec="nosuchcodec") as sink:
        sink.append(frame(), {}, [], {})
