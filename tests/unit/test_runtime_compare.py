"""``perception report diff``: what changed between two runs."""

from __future__ import annotations

import io
import json
import shutil

import pytest

from perception.cli import main
from perception.errors import InputError
from perception.runtime.compare import compare_runs, describe, run_folders
from perception.runtime.runner import RunOptions, run_drive
from tests.fixtures.toy_pipeline import ToySource, graph, pipeline, stage


def execute(out, *stages, frames=12, **options):
    run_drive(
        *("toy", out, pipeline(*stages), graph(*stages), RunOptions(**options)),
        lambda _: ToySource(frames, truth=True),
        io.StringIO(),
    )
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    execute(root / "one", stage("a"), stage("b"))
    execute(root / "same", stage("a"), stage("b"))
    execute(root / "other", stage("a", raise_on=(3, 7), weights="new.bin"), stage("b"), frames=14)
    return root


def test_equal_runs_differ_in_nothing_but_time(runs, capsys):
    found = compare_runs(runs / "one", runs / "same")
    assert found["same"] and found["results"] == {
        "equal": 12,
        "different": 0,
        "only_first": 0,
        "only_second": 0,
        "stages": {},
    }
    assert main(["report", "diff", str(runs / "one"), str(runs / "same")]) == 0
    text = capsys.readouterr().out
    assert text.startswith("no result differs") and "12 frames equal" in text and "latency: a p50" in text


def test_differences_are_counted_and_named(runs, tmp_path, capsys):
    target = tmp_path / "diff.json"
    assert main(["report", "diff", str(runs / "one"), str(runs / "other"), "--json", str(target)]) == 1
    found = json.loads(target.read_text())
    assert found["results"] == {
        "equal": 10,
        "different": 2,
        "only_first": 0,
        "only_second": 2,
        "stages": {"a": {"frames": 2, "lost": 2, "gained": 0, "first_frames": [3, 7]}},
    }
    assert found["faults"] == {"a: exception": [None, 2]} and found["frames"]["total"] == [12, 14]
    assert found["settings"]["weights.a"] == ["ab" * 32, "cd" * 32]
    assert found["scores"]["a.iou_0.5.f1"][0] == 1.0 > found["scores"]["a.iou_0.5.f1"][1]
    text = capsys.readouterr().out
    assert "the runs differ" in text and "a: 2 frames differ (3, 7); 2 lost, 0 gained" in text
    assert "2 frames only in the second run" in text and "faults: a: exception: none -> 2" in text


def test_several_drives_are_compared_by_name(runs, tmp_path, capsys):
    for side, source in (("x", "one"), ("y", "same")):
        for name in ("d1", "d2"):
            shutil.copytree(runs / source, tmp_path / side / name)
    assert [name for name, _, _ in run_folders(tmp_path / "x", tmp_path / "y")] == ["d1", "d2"]
    assert main(["report", "diff", str(tmp_path / "x"), str(tmp_path / "y")]) == 0
    assert "d2: no result differs" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"expected report\.json of a run"):
        run_folders(tmp_path / "x", tmp_path)
    with pytest.raises(InputError, match=r"a run of d1, d2"):
        run_folders(tmp_path / "x", runs)


def test_a_missing_results_file_a_torn_line_and_broken_files(runs, tmp_path):
    shutil.copytree(runs / "same", tmp_path / "b")
    results = tmp_path / "b" / "results.jsonl"
    results.write_bytes(results.read_bytes()[:-20])
    assert compare_runs(runs / "one", tmp_path / "b")["results"]["only_first"] == 1
    results.write_bytes(b"[]\n")
    with pytest.raises(InputError, match=r"results\.jsonl: line 1: expected a frame"):
        compare_runs(runs / "one", tmp_path / "b")
    results.unlink()
    found = compare_runs(runs / "one", tmp_path / "b")
    assert found["results"] is None and "not compared" in describe(found)
    (tmp_path / "b" / "report.json").write_text("{}")
    with pytest.raises(InputError, match="the report of a run"):
        compare_runs(runs / "one", tmp_path / "b")
