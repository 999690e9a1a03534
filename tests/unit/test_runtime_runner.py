"""A whole run on a drive in memory: files, counts, strictness, continuing, and errors of the disk."""

from __future__ import annotations

import errno
import io
import json

import cv2
import numpy as np
import pytest

from perception.errors import InputError, PerceptionError, UnknownNameError
from perception.runtime import runner
from perception.runtime.progress import Progress, estimate, format_duration
from perception.runtime.runlog import RunLog, RunStatistics
from perception.runtime.runner import RunOptions, StrictStop, frames_from, run_drive
from perception.sinks import JsonLinesSink, Sink, read_json_lines
from perception.sources import DriveOptions, open_drive
from perception.structures import Fault
from tests.fixtures.toy_pipeline import STEP_NS, ToySource, graph, lost, pipeline, stage


def execute(out, *stages, source=None, sinks=("jsonl",), stream=None, **options):
    source = source or ToySource()
    config = pipeline(*(stages or [stage()]), sinks=sinks)
    options = RunOptions(**options)
    return run_drive(
        "toy", out, config, graph(*(stages or [stage()])), options, lambda _: source, stream or io.StringIO()
    )


def die_after(monkeypatch, frames, error):
    """Let the results sink raise when it has stored that many frames."""
    append, count = JsonLinesSink.append, [0]

    def failing(self, *args):
        if count[0] == frames:
            raise error
        count[0] += 1
        append(self, *args)

    monkeypatch.setattr(JsonLinesSink, "append", failing)


def test_results_and_report_of_a_clean_run(tmp_path):
    source = ToySource(20, truth=True)
    stages = [stage("a"), stage("b", every=3, inputs=["a"])]
    report = execute(tmp_path / "deep" / "out", *stages, source=source)
    lines = read_json_lines(tmp_path / "deep" / "out" / "results.jsonl")
    assert [line["index"] for line in lines] == list(range(20))
    assert [list(line["results"]) for line in lines[:3]] == [["a", "b"], ["a"], ["a"]]
    assert report == json.loads((tmp_path / "deep" / "out" / "report.json").read_text())
    assert report["frames"] == {"total": 20, "done": 20, "skipped": 0}
    assert {name: item["results"] for name, item in report["stages"].items()} == {"a": 20, "b": 7}
    about = report["stages"]["a"]
    assert (about["kind"], about["weights"], about["trained_on"]) == ("lanes_2d", "toy.bin", "hand")
    assert about["weights_sha256"] == "ab" * 32
    latency = about["latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"]
    assert report["faults"] == [] and report["throughput_fps"] > 0 and report["warmup_s"] >= 0
    assert report["series"]["counts"]["b"][:4] == [1.0, None, None, 1.0]
    assert report["config_hash"] == pipeline(*stages).digest()
    assert report["versions"]["perception-stack"] and report["started"] <= report["finished"]
    page = (tmp_path / "deep" / "out" / "report.html").read_text()
    assert page.count("data:image") == 12


def test_lanes_are_scored_where_there_is_truth(tmp_path):
    source = ToySource(10, truth=True, changes={3: lost("front")})
    report = execute(tmp_path, stage("a", raise_on=(5,)), source=source)
    scores = report["scores"]["a"]
    assert (scores["metric"], scores["frames"]) == ("culane_f1", 10)
    perfect = {"tp": 8, "fp": 0, "fn": 2, "precision": 1.0, "recall": 0.8}  # frames 3 and 5 gave nothing
    assert scores["iou_0.5"] == {**perfect, "f1": pytest.approx(8 / 9)}
    assert scores["iou_0.75"]["tp"] == 8


def test_random_weights_are_announced(tmp_path):
    out = io.StringIO()
    execute(tmp_path, stage("a", weights=""), stage("b"), stream=out)
    assert [line for line in out.getvalue().splitlines() if "random" in line] == [
        "stage 'a' has no weights: its results are random"
    ]


def test_no_truth_no_scores(tmp_path):
    assert "scores" not in execute(tmp_path)


def test_faults_are_stored_and_counted_and_the_run_goes_on(tmp_path):
    source = ToySource(20, changes={4: lost("front"), 9: lost("front", "missing")})
    report = execute(tmp_path, stage("a", raise_on=(2, 7, 8), nan_on=(6,)), stage("b", inputs=["a"]), source=source)
    rows = {(row["where"], row["kind"]): (row["count"], row["first_index"]) for row in report["faults"]}
    assert rows == {
        ("a", "exception"): (3, 2),
        ("b", "skipped"): (6, 2),
        ("front", "corrupt"): (1, 4),
        ("a", "skipped"): (2, 4),
        ("a", "nonfinite"): (1, 6),
        ("front", "missing"): (1, 9),
    }
    assert report["frames"] == {"total": 20, "done": 14, "skipped": 6}
    lines = read_json_lines(tmp_path / "results.jsonl")
    assert [fault["kind"] for fault in lines[4]["faults"]] == ["corrupt", "skipped", "skipped"]
    assert lines[10]["faults"] == []


def test_strict_stops_at_the_first_fault_and_keeps_what_was_done(tmp_path):
    with pytest.raises(StrictStop, match="frame 7: toy: exception: ValueError: cannot do frame 7"):
        execute(tmp_path, stage(raise_on=(7,)), strict=True)
    assert len(read_json_lines(tmp_path / "results.jsonl")) == 8
    assert json.loads((tmp_path / "report.json").read_text())["frames"] == {"total": 20, "done": 7, "skipped": 1}
    with pytest.raises(StrictStop, match=r"1 fault\(s\) before frame 8"):
        execute(tmp_path, stage(raise_on=(7,)), strict=True)
    assert execute(tmp_path, stage(raise_on=(7,)))["frames"]["done"] == 19


def test_strict_stops_at_a_failing_warmup_which_otherwise_is_reported(tmp_path):
    with pytest.raises(StrictStop):
        execute(tmp_path / "a", stage(warmup_error="no kernel"), strict=True)
    (row,) = execute(tmp_path / "b", stage(warmup_error="no kernel"))["faults"]
    assert (row["where"], row["kind"], row["first_index"]) == ("toy", "exception", None)
    assert "no kernel" in row["message"]


@pytest.mark.parametrize("stop", [1, 9, 19])
def test_a_stopped_run_continues_to_the_same_bytes(tmp_path, monkeypatch, stop):
    def stages():
        return [stage("a", every=2, raise_on=(4, 12)), {"name": "memory", "type": "ToyMemoryStage"}]

    expected = execute(tmp_path / "whole", *stages(), source=ToySource(truth=True))
    with monkeypatch.context() as patch:
        die_after(patch, stop, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            execute(tmp_path / "stopped", *stages(), source=ToySource(truth=True))
    source = ToySource(truth=True)
    report = execute(tmp_path / "stopped", *stages(), source=source)
    whole, stopped = (tmp_path / name / "results.jsonl" for name in ("whole", "stopped"))
    assert stopped.read_bytes() == whole.read_bytes()
    for key in ("frames", "faults", "scores"):
        assert report[key] == expected[key]
    assert report["series"]["counts"] == expected["series"]["counts"]
    assert min(i for i in source.delivered if i >= 0) == max(0, stop - 11)  # one second of past, not the whole drive


def test_damage_found_before_the_stop_is_not_forgotten(tmp_path, monkeypatch):
    class Damaged(ToySource):
        def frame(self, i):
            if i in (3, 15):
                self.record_fault(Fault("toy", "corrupt", f"chunk {i}"))
            return super().frame(i)

    execute(tmp_path / "whole", source=Damaged())
    for stop in (9, 19):
        with monkeypatch.context() as patch:
            die_after(patch, stop, KeyboardInterrupt())
            with pytest.raises(KeyboardInterrupt):
                execute(tmp_path / str(stop), source=Damaged())
        execute(tmp_path / str(stop), source=Damaged())
        assert (tmp_path / str(stop) / "results.jsonl").read_bytes() == (tmp_path / "whole/results.jsonl").read_bytes()
    last = read_json_lines(tmp_path / "whole/results.jsonl")[-1]
    assert [fault["message"] for fault in last["faults"]] == ["chunk 3", "chunk 15"]


def test_continuing_counts_frames_where_times_are_not_unique(tmp_path, monkeypatch):
    def source():
        return ToySource(changes={i: {"timestamp_ns": (i // 4) * STEP_NS} for i in range(20)})

    execute(tmp_path / "whole", source=source())
    with monkeypatch.context() as patch:
        die_after(patch, 10, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            execute(tmp_path / "stopped", source=source())
    execute(tmp_path / "stopped", source=source())
    assert (tmp_path / "stopped/results.jsonl").read_bytes() == (tmp_path / "whole/results.jsonl").read_bytes()


@pytest.mark.parametrize("done", [3, 6, 9])
def test_continuing_around_a_clock_that_was_set_back(tmp_path, done):
    for i in range(12):
        cv2.imwrite(str(tmp_path / f"{i:02d}.png"), np.full((24, 32, 3), i, np.uint8))
    times = [str(100 + i if i < 5 else 90 + i) for i in range(12)]
    (tmp_path / "timestamps.csv").write_text("\n".join(f"{t}.0" for t in times) + "\n")
    with open_drive(tmp_path) as source:
        frames, statistics = list(source), RunStatistics(())
        assert len(frames) == 12
        for frame in frames[:done]:
            record = {"index": frame.index, "timestamp_ns": frame.timestamp_ns, "wall_s": 0.1}
            statistics.add({**record, "ms": {}, "items": {}, "faults": []})
        position, rest = frames_from(source, statistics, done)
        assert [(position + i, frame.index) for i, frame in enumerate(rest)] == [(i, i) for i in range(done, 12)]


def test_frames_from_respects_history_and_every():
    statistics = RunStatistics(())
    source = ToySource(40, options=DriveOptions(every=2))
    for frame in list(source)[:15]:
        record = {"index": frame.index, "timestamp_ns": frame.timestamp_ns, "wall_s": 0.1}
        statistics.add({**record, "ms": {}, "items": {}, "faults": []})
    position, frames = frames_from(source, statistics, 15)
    assert (position, next(frames).index) == (15, 30)
    position, frames = frames_from(source, statistics, 15, history_s=1.0)
    assert (position, next(frames).index) == (9, 18)
    assert frames_from(source, statistics, 15, history_s=99.0)[0] == 0


def test_a_complete_run_is_not_repeated(tmp_path):
    first = execute(tmp_path)
    source = ToySource()
    out = io.StringIO()
    assert execute(tmp_path, source=source, stream=out) == first
    assert not [i for i in source.delivered if i >= 0] and "--overwrite runs it again" in out.getvalue()
    execute(tmp_path, source=source, overwrite=True)
    assert len(read_json_lines(tmp_path / "results.jsonl")) == 20 and len(source.delivered) >= 20


def test_another_run_in_the_folder_is_refused_with_all_differences(tmp_path):
    execute(tmp_path)
    with pytest.raises(PerceptionError, match=r"(?s)another run.*pipeline config.*option every: was 1, is 2"):
        execute(tmp_path, stage(every=2), every=2)
    with pytest.raises(PerceptionError, match="weights of stage toy: was 'abab"):
        execute(tmp_path, stage(weights="other.bin"))
    report = execute(tmp_path, stage(every=2), overwrite=True)
    assert report["stages"]["toy"]["results"] == 10


def test_overwrite_removes_the_files_of_sinks_that_are_gone(tmp_path):
    execute(tmp_path, sinks=("jsonl", "png"))
    assert (tmp_path / "frames").exists()
    execute(tmp_path, overwrite=True)
    assert not list((tmp_path / "frames").glob("*.png"))


def test_results_of_unknown_origin_and_broken_states_are_not_touched(tmp_path):
    (tmp_path / "results.jsonl").write_text("mine\n")
    with pytest.raises(PerceptionError, match=r"no run_state.json tells what made it"):
        execute(tmp_path)
    (tmp_path / "run_state.json").write_text("{")
    with pytest.raises(InputError, match="--overwrite"):
        execute(tmp_path)
    assert (tmp_path / "results.jsonl").read_text() == "mine\n"
    assert execute(tmp_path, overwrite=True)["frames"]["done"] == 20


def test_no_stage_can_run(tmp_path):
    with pytest.raises(PerceptionError, match="no stage can run: toy: the drive has no calibration of camera 'front'"):
        execute(tmp_path, stage(calibration=True))
    out = io.StringIO()
    report = execute(tmp_path, stage("a", calibration=True), stage("b"), stream=out)
    assert "stage 'a' cannot run on this drive: the drive has no calibration of camera 'front'" in out.getvalue()
    assert [(row["where"], row["kind"], row["count"]) for row in report["faults"]] == [("a", "calibration", 20)]


def test_a_range_without_frames_is_refused_before_anything_is_written(tmp_path):
    options = RunOptions(start=9.0, end=10.0)
    with pytest.raises(InputError, match=r"the part from 9 s to 10 s: expected at least one frame, found a drive of"):
        run_drive("toy", tmp_path / "out", pipeline(stage()), graph(stage()), options, lambda _: ToySource(0))
    assert not (tmp_path / "out").exists()


def test_unknown_camera_and_sink_are_named_before_anything_is_written(tmp_path):
    with pytest.raises(UnknownNameError, match="camera 'frnt': did you mean 'front'"):
        execute(tmp_path, cameras={"": "frnt"})
    with pytest.raises(UnknownNameError, match="sink 'vdeo': did you mean 'video'"):
        execute(tmp_path, sinks=("vdeo",))
    with pytest.raises(PerceptionError, match="add mcap to --sinks"):
        execute(tmp_path, copy_inputs=True)
    assert not list(tmp_path.iterdir())


def test_full_disk_is_explained_and_the_run_can_be_continued(tmp_path, monkeypatch):
    class Full:
        def __init__(self, file):
            self.file, self.lines = file, 0

        def write(self, data):
            self.lines += 1
            if self.lines > 6:
                self.file.write(data[: len(data) // 2])
                self.file.flush()
                raise OSError(errno.ENOSPC, "No space left on device")
            self.file.write(data)

        def __getattr__(self, name):
            return getattr(self.file, name)

    start = JsonLinesSink._start
    with monkeypatch.context() as patch:

        def full(self):
            start(self)
            self._files[0] = Full(self._files[0])

        patch.setattr(JsonLinesSink, "_start", full)
        with pytest.raises(PerceptionError, match=r"(?s)results.jsonl.*disk is full.*\n6 frames are stored"):
            execute(tmp_path / "full")
    assert len(read_json_lines(tmp_path / "full" / "results.jsonl")) == 6
    execute(tmp_path / "full")
    execute(tmp_path / "whole")
    assert (tmp_path / "full/results.jsonl").read_bytes() == (tmp_path / "whole/results.jsonl").read_bytes()


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PerceptionError, match=r"cannot write .*file/out"):
        execute(tmp_path / "file" / "out")


def test_run_log_drops_a_torn_line(tmp_path):
    execute(tmp_path)
    path = tmp_path / "run_log.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    log = RunLog(tmp_path, {"toy": "lanes_2d"})
    assert log.resume() == 19 and log.statistics.frames == 19
    assert log.resume(4) == 4 and log.statistics.results("toy") == 4
    assert isinstance(log, Sink) and path.read_bytes().count(b"\n") == 4


def test_series_are_downsampled_to_means():
    statistics = RunStatistics(("a",))
    for i in range(2500):
        record = {"index": i, "timestamp_ns": i, "wall_s": 0.0, "ms": {"a": float(i)}, "items": {}, "faults": []}
        statistics.add(record)
    series = statistics.series()
    assert len(series["latency_ms"]["a"]) == 1000
    assert series["latency_ms"]["a"][:2] == [0.5, 3.0]  # means of frames 0..1 and 2..4
    assert series["counts"]["a"] == [None] * 1000
    assert statistics.latency("a")["p50"] == pytest.approx(1249.5)


def test_estimate_suggests_every_for_long_runs_only():
    assert estimate(2000, 0.36) == "about 12 min for 2,000 frames; --every 3 would take 4 min"
    assert estimate(2000, 0.36, every=2) == "about 12 min for 2,000 frames; --every 6 would take 4 min"
    assert estimate(100, 0.1) == "about 10 s for 100 frames"
    assert format_duration(7500) == "2 h 5 min"


def test_progress_prints_plain_lines_and_the_estimate_after_ten_frames(tmp_path, monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr("perception.runtime.progress.LINE_EVERY_S", 0.0)
    execute(tmp_path, stream=out)
    lines = out.getvalue().splitlines()
    assert lines[0] == "warm-up: < 1 s"
    assert sum("for 20 frames" in line for line in lines) == 1
    assert lines.index(next(line for line in lines if line.startswith("about"))) == 10
    assert lines[-1].startswith("20/20 frames, ") and lines[-1].endswith("0 faults, 0 s left")


def test_progress_bar_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    bar = Progress(20, stream=out)
    bar.message("hello [1]")
    bar.update(20, 3)
    bar.close()
    assert "hello [1]" in out.getvalue() and "20/20" in out.getvalue() and "3 faults" in out.getvalue()


def test_thumbnails_are_spread_over_the_drive(tmp_path):
    execute(tmp_path, source=ToySource(100))
    names = sorted(path.stem for path in (tmp_path / "thumbnails").iterdir())
    assert [int(name) for name in names] == [4, 12, 20, 29, 37, 45, 54, 62, 70, 79, 87, 95]
    assert runner.Thumbnails(tmp_path, 0).load(RunStatistics(())) == []
