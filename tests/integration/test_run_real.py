"""Runs on real recordings: every container can be stopped at a frame and continued to the same bytes."""

from __future__ import annotations

import json

import pytest

from perception.cli import main
from perception.sinks import JsonLinesSink, read_json_lines
from tests.fixtures import toy_pipeline  # noqa: F401 - registers the toy stage

DRIVES = [
    "drives_repackaged/front_camera_ros1.bag",
    "drives_repackaged/front_camera_ros2.mcap",
    "road_video/nuscenes_mini_front.mp4",
    "udacity_lanes",
]


@pytest.mark.parametrize("drive", DRIVES)
def test_stopped_and_continued_equals_undisturbed(tmp_path, real_data, monkeypatch, drive):
    if not (real_data / drive).exists():
        pytest.skip(f"{drive} not found in {real_data}")
    config = tmp_path / "toy.py"
    config.write_text('pipeline = dict(stages=[dict(name="a", type="ToyStage")], sinks=["jsonl", "video", "mcap"])')
    run = ["run", str(real_data / drive), "--pipeline", str(config), "--every", "2", "--end", "4"]
    append, count = JsonLinesSink.append, []

    def interrupted(self, *arguments):
        if len(count) == 2:
            raise KeyboardInterrupt
        count.append(1)
        append(self, *arguments)

    assert main([*run, "--out", str(tmp_path / "whole")]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(JsonLinesSink, "append", interrupted)
        assert main([*run, "--out", str(tmp_path / "stopped")]) == 130
    assert len(read_json_lines(tmp_path / "stopped" / "results.jsonl")) == 2
    assert main([*run, "--out", str(tmp_path / "stopped")]) == 0
    results = [(tmp_path / name / "results.jsonl").read_bytes() for name in ("stopped", "whole")]
    assert results[0] == results[1]
    report = json.loads((tmp_path / "whole" / "report.json").read_text())
    assert (
        report["frames"]["total"] == report["frames"]["done"] == len(read_json_lines(tmp_path / "whole/results.jsonl"))
    )
    assert report["frames"]["total"] >= 3 and report["faults"] == []
