"""``perception run`` as people use it: exit codes, several drives, killed runs, long drives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from mcap.reader import make_reader

import tests.fixtures.toy_pipeline  # noqa: F401 - registers the toy stage
from perception.cli import main
from perception.cli.run import output_folders
from perception.sinks import read_json_lines

CONFIG = """
pipeline = dict(
    name="toy",
    stages=[
        dict(name="a", type="ToyStage", {keywords}),
        dict(name="memory", type="ToyMemoryStage"),
    ],
    sinks=["jsonl", dict(type="video", part_frames=10), dict(type="mcap", part_frames=7)],
)
"""


@pytest.fixture
def config(tmp_path):
    def write(keywords: str = "") -> str:
        path = tmp_path / "toy.py"
        path.write_text(CONFIG.format(keywords=keywords))
        return str(path)

    return write


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drive") / "pictures"
    folder.mkdir()
    for i in range(60):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((36, 64, 3), 3 * i, np.uint8))
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("drive") / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    for i in range(60):
        writer.write(np.full((48, 64, 3), 4 * i, np.uint8))
    writer.release()
    return path


def read_mcap(path: Path) -> list[tuple[str, int, bytes]]:
    with path.open("rb") as file:
        return [
            (channel.topic, message.log_time, message.data) for _, channel, message in make_reader(file).iter_messages()
        ]


def start_process(repository: Path, *arguments: object) -> subprocess.Popen[str]:
    code = "import sys, tests.fixtures.toy_pipeline; from perception.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "run", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=repository, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.parametrize("drive", ["image_folder", "video"])
def test_a_killed_run_continues_to_the_same_results(tmp_path, repository, config, request, drive):
    drive = request.getfixturevalue(drive)
    slow = config("sleep_s=0.05, raise_on=(5, 40)")
    process = start_process(repository, drive, "--pipeline", slow, "--out", tmp_path / "killed")
    results = tmp_path / "killed" / "results.jsonl"
    deadline = time.monotonic() + 90
    while not (results.exists() and results.read_bytes().count(b"\n") >= 25):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    stored = len(read_json_lines(results))
    assert 25 <= stored < 60
    assert not (tmp_path / "killed" / "report.json").exists()

    assert main(["run", str(drive), "--pipeline", slow, "--out", str(tmp_path / "killed")]) == 0
    assert main(["run", str(drive), "--pipeline", slow, "--out", str(tmp_path / "whole")]) == 0
    assert results.read_bytes() == (tmp_path / "whole" / "results.jsonl").read_bytes()
    reports = [json.loads((tmp_path / name / "report.json").read_text()) for name in ("killed", "whole")]
    for key in ("frames", "faults", "config_hash"):
        assert reports[0][key] == reports[1][key]
    assert reports[0]["frames"]["total"] == 60
    assert [row["count"] for row in reports[0]["faults"]] == [2]
    assert read_mcap(tmp_path / "killed" / "predictions.mcap") == read_mcap(tmp_path / "whole" / "predictions.mcap")
    for name in ("killed", "whole"):
        clip = cv2.VideoCapture(str(tmp_path / name / "overlay.mp4"))
        assert sum(1 for _ in iter(lambda clip=clip: clip.read()[0], False)) == 60


def test_exit_codes(tmp_path, image_folder, config, capsys):
    run = ["run", str(image_folder), "--out", str(tmp_path / "out")]
    assert main([*run, "--pipeline", config("raise_on=(3,)"), "--sinks", "jsonl", "--strict"]) == 1
    assert "--strict: frame 3: a: exception: ValueError: cannot do frame 3" in capsys.readouterr().err
    assert len(read_json_lines(tmp_path / "out" / "results.jsonl")) == 4
    assert main([*run, "--pipeline", config("raise_on=(3,)"), "--sinks", "jsonl"]) == 0
    text = capsys.readouterr().out
    assert "60 of 60 frames" in text and "fault: a: exception on 1 frame(s)" in text and "report.html" in text

    assert main([*run, "--pipeline", config("inputs=['memry']")]) == 2
    assert "did you mean 'memory'" in capsys.readouterr().err
    assert main(["run", str(tmp_path / "nothing"), "--pipeline", config(), "--out", str(tmp_path / "x")]) == 2
    assert "no such file or folder" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
    elsewhere = ["--out", str(tmp_path / "elsewhere")]
    assert main([*run, *elsewhere, "--pipeline", config(), "--camera", "frnt"]) == 2
    assert "unknown camera 'frnt': did you mean 'front'" in capsys.readouterr().err
    assert main(["run", str(image_folder), "--pipeline", config(), "--out", str(image_folder / "0.png" / "out")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_range_every_and_cfg_options(tmp_path, image_folder, config):
    arguments = ["--start", "1", "--end", "2", "--every", "3", "--cfg-options", "pipeline.stages.0.every=2"]
    run = ["run", str(image_folder), "--pipeline", config(), "--out", str(tmp_path / "out"), *arguments]
    assert main([*run, "--sinks", "jsonl"]) == 0
    lines = read_json_lines(tmp_path / "out" / "results.jsonl")
    assert [line["index"] for line in lines] == [10, 13, 16, 19]
    assert ["a" in line["results"] for line in lines] == [True, False, True, False]


def test_several_drives_get_a_folder_each_and_one_bad_drive_stops_none(tmp_path, image_folder, video, config):
    out = tmp_path / "out"
    drives = [str(image_folder), str(tmp_path / "absent.mp4"), str(video)]
    assert main(["run", *drives, "--pipeline", config(), "--out", str(out), "--sinks", "jsonl"]) == 2
    assert len(read_json_lines(out / "pictures" / "results.jsonl")) == 60
    assert len(read_json_lines(out / "clip" / "results.jsonl")) == 60
    names = [folder.name for folder in output_folders(["a/x.mp4", "b/x.mp4", "c d.bag"], out)]
    assert names == ["x", "x_2", "c_d"]


def test_copied_inputs_and_a_broken_picture(tmp_path, config):
    folder = tmp_path / "drive"
    folder.mkdir()
    for i in range(5):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((36, 64, 3), i, np.uint8))
    (folder / "2.png").write_bytes(b"\x89PNG no more")
    out = tmp_path / "out"
    assert main(["run", str(folder), "--pipeline", config(), "--out", str(out), "--copy-inputs"]) == 0
    topics = [topic for topic, _, _ in read_mcap(out / "predictions.mcap")]
    assert topics.count("/camera/front/image") == 4 and topics.count("/perception/a/lanes_2d") == 4
    report = json.loads((out / "report.json").read_text())
    rows = {(row["where"], row["kind"]): row["first_index"] for row in report["faults"]}
    assert rows == {("front", "corrupt"): 2, ("a", "skipped"): 2, ("memory", "skipped"): 2}
    assert report["frames"] == {"total": 5, "done": 4, "skipped": 1}


def test_memory_does_not_grow_with_the_drive(tmp_path, repository):
    """Peak memory of 2,000 frames of 640 x 360 stays near that of the first 100."""
    code = """
import io, sys
import numpy as np
from tests.fixtures.toy_pipeline import ToySource, graph, pipeline, stage
import tests.fixtures.toy_pipeline as toy
from perception.runtime.runner import run_drive

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 // 1_000_000

toy.SIZE = (640, 360)
marks = []
class Measured(ToySource):
    def frame(self, i):
        if i in (100, 1999):
            marks.append(resident())
        return super().frame(i)

run_drive("toy", sys.argv[1], pipeline(stage()), graph(stage()), None, lambda _: Measured(2000), io.StringIO())
print(*marks)
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc to measure memory")
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=True)
    early, late = map(int, done.stdout.split())
    assert late - early < 300
