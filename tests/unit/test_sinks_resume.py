"""Sinks survive a kill at any frame: their files stay readable, and a continued run equals an undisturbed one.

Run as a script, this file is the process that gets killed: ``test_sinks_resume.py OUT KILL_AT``.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from perception.errors import InputError, PerceptionError
from perception.registry import SINKS
from perception.sinks import (
    JsonLinesSink,
    McapSink,
    OverlayVideoSink,
    PngSink,
    Sink,
    read_json_lines,
    resume_all,
)
from perception.sinks.csv_files import CsvSink
from perception.sinks.geojson import GeoJsonSink
from perception.sinks.lanelet2 import Lanelet2Sink
from perception.sinks.mcap_file import read_messages
from perception.sinks.openlanev2_results import OpenLaneV2Sink
from perception.sinks.parquet import ParquetSink
from perception.sinks.rerun_rrd import RerunSink
from perception.sinks.ros2_sink import Ros2Sink
from perception.sinks.segments import Segments
from perception.sinks.storage import write_file
from perception.structures import Boxes2D, Calibration, Camera, Fault, Frame, Lanes2D, LaneSegments, PointCloud

FRAMES = 23


def frame(index: int) -> Frame:
    rng = np.random.default_rng(index)
    image = np.zeros((47, 63, 3), np.uint8)
    image[:, :, 1] = np.arange(63) * 3
    image[10 + index % 20 :, :, 0] = 200
    matrix = np.array([[60.0, 0, 31], [0, 60.0, 23], [0, 0, 1]])
    rig = Calibration({"front": Camera("front", 63, 47, matrix)}, {"top": np.eye(4)})
    cloud = PointCloud(rng.normal(size=(20, 3)).astype(np.float32), {}, index, "top")
    pose = np.eye(4)
    pose[0, 3] = index
    stamp = 10**18 + index * 100_000_000 + (index % 3) * 777_123
    return Frame(stamp, 2 * index, {"front": image}, {"top": cloud}, rig, pose)


def results(index: int) -> dict[str, Any]:
    lanes = tuple(np.array([[10.0 * k, 46], [20 + index, 10]]) for k in range(index % 4))
    found = {"lanes": Lanes2D("front", (63, 47), lanes)}
    line = np.array([[0, 0, 0], [10, 1, 0], [20, 2, index]])
    found["roads"] = LaneSegments("ego", (line,), (line + 1,), (line - 1,), [[1, 2]], [0.9], [[0]])  # type: ignore
    if index % 5:
        found["signs"] = Boxes2D("front", (63, 47), [[5, 5, 20 + index, 20]], [0.5], [0], ("sign",))  # type: ignore
    return found


def faults(index: int) -> list[Fault]:
    return [Fault("top", "missing", f"no cloud at {index}")] if index % 7 == 3 else []


def make_sinks(out: Path) -> list[Sink]:
    return [
        JsonLinesSink(out),
        PngSink(out, every=4),
        OverlayVideoSink(out, part_frames=5),
        McapSink(out, copy_inputs=True, part_frames=6, flush_every=2),
        CsvSink(out),
        Ros2Sink(out, part_frames=4, flush_every=1),
        GeoJsonSink(out, part_frames=5),
        Lanelet2Sink(out, spacing_m=3, part_frames=5),
        OpenLaneV2Sink(out, part_frames=5),
        ParquetSink(out, part_frames=3),
        RerunSink(out, copy_inputs=True, part_frames=5, flush_every=2),
    ]


def feed(sinks: list[Sink], start: int, stop: int) -> None:
    for index in range(start, stop):
        for sink in sinks:
            sink.append(frame(index), results(index), faults(index), {"lanes": 1.0 + index})


def run(out: Path, kill_at: int | None = None, kept: int = 0, sinks: list[Sink] | None = None) -> None:
    sinks = sinks or make_sinks(out)
    for sink in sinks:
        sink.open()
    feed(sinks, kept, FRAMES if kill_at is None else kill_at)
    if kill_at is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    for sink in sinks:
        sink.close()


def decoded(path: Path) -> list[tuple[Fraction, str]]:
    import av

    with av.open(str(path)) as video:
        return [
            (picture.pts * picture.time_base, hashlib.md5(picture.to_ndarray(format="rgb24").tobytes()).hexdigest())
            for picture in video.decode(video=0)
        ]


def contents(out: Path) -> dict[str, Any]:
    stored: dict[str, Any] = {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in ("overlay.mp4", "parts.json") and path.suffix not in (".parquet", ".rrd")
    }
    named = stored["openlanev2.json"].replace(out.name.encode(), b"out")  # frames are named after the run's folder
    stored["openlanev2.json"] = named
    stored["overlay.mp4"] = decoded(out / "overlay.mp4")
    stored["parquet"] = [rows(out / "parquet" / table) for table in ("frames", "results")]
    stored["recording.rrd"] = logged(out / "recording.rrd")
    return stored


def rows(folder: Path) -> list[dict[str, Any]]:
    tables = [pq.ParquetFile(path).read() for path in sorted(folder.glob("drive=*/*.parquet"))]
    return [row for table in tables for row in table.to_pylist()]


def logged(path: Path) -> dict[str, list[str]]:
    """Entity -> everything logged to it by time; how it lies in chunks, and their ids, differ from run to run."""
    from rerun.chunk import RrdReader

    stored: dict[str, list[str]] = {}
    for chunk in RrdReader(str(path)).stream().to_chunks():
        batch = chunk.to_record_batch()
        times = batch["frame"].to_pylist() if "frame" in batch.schema.names else [-1] * batch.num_rows
        values = [name for name in batch.schema.names if name not in ("rerun.controls.RowId", "drive", "frame")]
        for i, time in enumerate(times):
            row = {name: batch[name][i].as_py() for name in sorted(values)}
            stored.setdefault(chunk.entity_path, []).append(f"{time:06d} {row}")
    return {entity: sorted(set(lines)) for entity, lines in stored.items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    out = tmp_path_factory.mktemp("undisturbed")
    run(out)
    yield out


def killed(out: Path, kill_at: int) -> None:
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    child = subprocess.run([sys.executable, __file__, str(out), str(kill_at)], env={**os.environ, "PYTHONPATH": path})
    assert child.returncode == -signal.SIGKILL


def test_all_sinks_are_registered() -> None:
    assert set(SINKS.module_dict) >= {"JsonLinesSink", "PngSink", "OverlayVideoSink", "McapSink"}


def test_an_undisturbed_run_stores_everything(undisturbed: Path) -> None:
    lines = read_json_lines(undisturbed / "results.jsonl")
    assert [line["index"] for line in lines] == list(range(0, 2 * FRAMES, 2))
    assert lines[3]["faults"] == [{"where": "top", "kind": "missing", "message": "no cloud at 3"}]
    names = sorted(path.name for path in undisturbed.iterdir())
    files = [
        "lanes.geojson",
        "map.osm",
        "openlanev2.json",
        "overlay.mp4",
        "predictions.mcap",
        "recording.rrd",
        "ros2.mcap",
    ]
    parts = [name.partition(".")[0] for name in files]
    tables = ["csv", "foxglove_layout.json", "frames", "parquet", "results.jsonl", "timings.jsonl"]
    assert names == sorted(files + parts + tables)
    assert [path.name for path in (undisturbed / "overlay").iterdir()] == ["parts.json"]
    assert [path.name for path in sorted((undisturbed / "frames").iterdir())][:2] == ["00000000.png", "00000008.png"]


def test_video_times_are_those_of_the_frames(undisturbed: Path) -> None:
    start = frame(0).timestamp_ns
    wanted = [Fraction((frame(i).timestamp_ns - start) // 1000, 1_000_000) for i in range(FRAMES)]
    assert [time for time, _ in decoded(undisturbed / "overlay.mp4")] == wanted


@pytest.mark.parametrize("kill_at", [0, 4, 13])
def test_killed_and_continued_equals_undisturbed(tmp_path: Path, undisturbed: Path, kill_at: int) -> None:
    killed(tmp_path, kill_at)
    assert len(read_json_lines(tmp_path / "results.jsonl")) == kill_at
    if kill_at == 13:
        assert len(decoded(tmp_path / "overlay" / "part-00002.mp4")) >= 2
        assert len(decoded(tmp_path / "overlay" / "part-00001.mp4")) == 5
        whole = list(read_messages(tmp_path / "predictions" / "part-00001.mcap"))
        assert sum(channel.topic == "/perception/frame" for _, channel, _ in whole) == 6
    sinks = make_sinks(tmp_path)
    kept = resume_all(sinks)
    assert kept == {0: 0, 4: 0, 13: 10}[kill_at]
    run(tmp_path, kept=kept, sinks=sinks)
    assert contents(tmp_path) == contents(undisturbed)


def test_an_aborted_run_can_be_watched_and_continued(tmp_path: Path, undisturbed: Path) -> None:
    sinks = make_sinks(tmp_path)
    with pytest.raises(KeyboardInterrupt), ExitStack() as stack:
        for sink in sinks:
            stack.enter_context(sink)
        feed(sinks, 0, 13)
        raise KeyboardInterrupt
    assert len(decoded(tmp_path / "overlay" / "part-00002.mp4")) == 3
    assert sum(1 for _ in read_messages(tmp_path / "predictions" / "part-00002.mcap", torn=True)) == 0
    again = make_sinks(tmp_path)
    kept = resume_all(again)
    assert kept == 10
    run(tmp_path, kept=kept, sinks=again)
    assert contents(tmp_path) == contents(undisturbed)


def test_a_complete_run_resumes_at_its_end_and_can_be_longer(tmp_path: Path, undisturbed: Path) -> None:
    sinks = make_sinks(tmp_path)
    for sink in sinks:
        sink.open()
    feed(sinks, 0, 20)
    for sink in sinks:
        sink.close()
    again = make_sinks(tmp_path)
    assert resume_all(again) == 20
    run(tmp_path, kept=20, sinks=again)
    assert len(read_json_lines(tmp_path / "timings.jsonl")) == FRAMES
    times = [time for time, _ in decoded(tmp_path / "overlay.mp4")]
    assert len(times) == FRAMES and times == sorted(times)
    names = ("openlanev2.json", "lanes.geojson", "map.osm")
    longer, whole = contents(tmp_path), contents(undisturbed)
    assert all(longer[name] == whole[name] for name in ("recording.rrd", "parquet", *names))


def test_a_complete_run_can_be_cut_back(tmp_path: Path, undisturbed: Path) -> None:
    run(tmp_path)
    sink = McapSink(tmp_path, copy_inputs=True)
    assert sink.resume(9) == 9
    with sink:
        feed([sink], 9, FRAMES)
    assert sink.path.read_bytes() == (undisturbed / "predictions.mcap").read_bytes()
    video = OverlayVideoSink(tmp_path)
    assert (video.resume(9), video.path.exists()) == (0, False)


def test_open_without_resume_starts_anew(tmp_path: Path, undisturbed: Path) -> None:
    run(tmp_path)
    run(tmp_path)
    assert contents(tmp_path) == contents(undisturbed)


def test_a_run_of_no_frames_leaves_no_broken_files(tmp_path: Path) -> None:
    for sink in make_sinks(tmp_path):
        with sink:
            assert sink.out == tmp_path
    assert (tmp_path / "results.jsonl").read_bytes() == b""
    assert not (tmp_path / "overlay.mp4").exists() and not (tmp_path / "predictions.mcap").exists()
    assert resume_all(make_sinks(tmp_path)) == 0
    assert resume_all([]) == 0


@pytest.mark.parametrize("tail", [b'{"index": 8, "resul', b'{"index": 8}', b"\x00\x00\x00\n", b"not json\n"])
def test_torn_json_lines_are_cut_off(tmp_path: Path, tail: bytes) -> None:
    sink = JsonLinesSink(tmp_path)
    sink.open()
    feed([sink], 0, 4)
    sink.abort()
    for path in sink.paths[:1]:
        path.write_bytes(path.read_bytes() + tail)
    assert len(read_json_lines(sink.paths[0])) == 4
    again = JsonLinesSink(tmp_path)
    assert again.resume() == 4
    with again:
        feed([again], 4, 6)
    assert [line["index"] for line in read_json_lines(sink.paths[0], start=3)] == [6, 8, 10]
    assert [json.loads(line)["ms"]["lanes"] for line in sink.paths[1].read_text().splitlines()][-1] == 6.0


def test_results_files_of_two_runs_are_equal_whatever_the_timings(tmp_path: Path, undisturbed: Path) -> None:
    sink = JsonLinesSink(tmp_path)
    with sink:
        for index in range(FRAMES):
            sink.append(frame(index), results(index), faults(index), {"lanes": 99.0})
    assert (tmp_path / "results.jsonl").read_bytes() == (undisturbed / "results.jsonl").read_bytes()
    assert (tmp_path / "timings.jsonl").read_bytes() != (undisturbed / "timings.jsonl").read_bytes()


def test_pictures_resume_by_their_number(tmp_path: Path) -> None:
    sink = PngSink(tmp_path, every=4)
    sink.open()
    feed([sink], 0, 9)
    (sink.folder / "00000030.png.tmp").write_bytes(b"torn")
    again = PngSink(tmp_path, every=4)
    assert again.resume() == 12
    assert again.resume(5) == 5
    assert sorted(path.name for path in sink.folder.iterdir()) == ["00000000.png", "00000008.png"]
    with again:
        feed([again], 5, 9)
    assert len(list(sink.folder.iterdir())) == 3
    with pytest.raises(PerceptionError, match="at least 1"):
        PngSink(tmp_path, every=0)


def test_a_missing_part_ends_what_is_kept(tmp_path: Path) -> None:
    parts = Segments(tmp_path / "film.bin")
    parts.begin()
    for number in range(3):
        parts.next_part.write_bytes(bytes([number]))
        parts.complete(5, {"last": number})
    (tmp_path / "film" / "part-00001.bin").unlink()
    again = Segments(tmp_path / "film.bin")
    assert (again.keep(), again.state) == (5, {"last": 0})
    assert [path.name for path in sorted((tmp_path / "film").glob("part-*.bin"))] == ["part-00000.bin"]


def test_a_failed_merge_keeps_the_parts(tmp_path: Path) -> None:
    parts = Segments(tmp_path / "film.bin")
    parts.begin()
    parts.next_part.write_bytes(b"part")
    parts.complete(5)

    def half(paths: Sequence[Path], target: Path) -> None:
        target.write_bytes(b"half")
        raise PerceptionError("the disk is full")

    with pytest.raises(PerceptionError, match="disk is full"):
        parts.merge(half)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["part-00000.bin", "parts.json"]
    (tmp_path / "film.tmp.bin").write_bytes(b"killed while merging")
    again = Segments(tmp_path / "film.bin")
    assert again.keep() == 5
    again.merge(lambda paths, target: write_file(target, paths[0].read_bytes()))
    assert (tmp_path / "film.bin").read_bytes() == b"part"
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["film.bin", "parts.json"]


def test_a_broken_list_of_parts_is_named(tmp_path: Path) -> None:
    (tmp_path / "film").mkdir()
    (tmp_path / "film" / "parts.json").write_text('{"parts": 3}')
    with pytest.raises(InputError, match=r"parts\.json.*expected a list of parts"):
        Segments(tmp_path / "film.bin").keep()


if __name__ == "__main__":
    run(Path(sys.argv[1]), kill_at=int(sys.argv[2]))
