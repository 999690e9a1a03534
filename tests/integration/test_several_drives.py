"""``perception run A B C --jobs N``: one process a drive, one of them killed, the index of all, and the comparison."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import duckdb
import numpy as np
import pytest

from perception.sinks import read_json_lines
from perception.sinks.index import DriveRow, index_html, read_row

CONFIG = """
pipeline = dict(name="toy", stages=[dict(name="a", type="ToyStage", sleep_s=0.04, raise_on=(5,))],
    sinks=["jsonl", "csv", dict(type="parquet", part_frames=10)])
"""


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    root = tmp_path_factory.mktemp("drives")
    for name, frames in (("a", 20), ("b", 60), ("c", 20)):
        (root / name).mkdir()
        for i in range(frames):
            cv2.imwrite(str(root / name / f"{i}.png"), np.full((36, 64, 3), 3 * i, np.uint8))
    (root / "toy.py").write_text(CONFIG)
    return root


def start(repository: Path, drives: Path, out: Path, *arguments: str) -> subprocess.Popen[str]:
    script = repository / "tests" / "fixtures" / "toy_cli.py"
    paths = [str(drives / name) for name in ("a", "b", "c")]
    command = [sys.executable, str(script), "run", *paths, "--pipeline", str(drives / "toy.py"), "--out", str(out)]
    return subprocess.Popen(
        [*command, *arguments],
        env={**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(pid) for pid in found if "resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_text()]


def wait_for(condition, process: subprocess.Popen[str], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.02)


def stored(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_killed_process_stops_no_other_drive_and_the_same_command_completes_it(tmp_path, repository, drives):
    if not Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists():
        pytest.skip("needs /proc to find the process of a drive")
    out = tmp_path / "out"
    process = start(repository, drives, out, "--jobs", "2")
    wait_for(lambda: stored(out / "b" / "results.jsonl") >= 15, process)
    opened = {
        pid: [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.exists()]
        for pid in children(process.pid)
    }
    (victim,) = [pid for pid, files in opened.items() if str(out / "b" / "results.jsonl") in files]
    os.kill(victim, signal.SIGKILL)
    text = process.communicate(timeout=240)[0]
    assert process.returncode == 2 and "ended by SIGKILL" in text and "the same command continues it" in text
    assert [stored(out / name / "results.jsonl") for name in ("a", "c")] == [20, 20]
    page = (out / "index.html").read_text()
    assert page.index(">b<") < page.index(">a<") and "failed" in page  # what needs attention comes first

    again = start(repository, drives, out, "--jobs", "2")
    text = again.communicate(timeout=240)[0]
    assert again.returncode == 0 and re.search(r"\[b\] continuing after frame \d+ of 60", text), text
    assert "[a] " in text and "this run is complete" in text
    lines = read_json_lines(out / "b" / "results.jsonl")
    assert [line["index"] for line in lines] == list(range(60))
    page = (out / "index.html").read_text()
    assert page.count('class="state good"') == 3 and 'href="b/report.html"' in page and "a: exception" in page
    source = f"read_parquet('{out}/parquet/frames/*/*.parquet', hive_partitioning=true)"
    assert duckdb.sql(f"select drive, count(*) from {source} group by 1 order by 1").fetchall() == [
        *(("a", 20), ("b", 60), ("c", 20))
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ctrl_c_stores_what_every_drive_has(tmp_path, repository, drives):
    out = tmp_path / "out"
    process = start(repository, drives, out, "--jobs", "2")
    wait_for(lambda: all(stored(out / name / "results.jsonl") >= 3 for name in ("a", "b")), process)
    process.send_signal(signal.SIGINT)
    text = process.communicate(timeout=60)[0]
    assert process.returncode == 130 and "the same command continues the run" in text
    for name in ("a", "b"):
        state = json.loads((out / name / "run_state.json").read_text())
        assert state["finished"] == "" or stored(out / name / "results.jsonl") == {"a": 20, "b": 60}[name]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_processes_of_drives_end_with_the_command(tmp_path, repository, drives):
    if not Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists():
        pytest.skip("needs /proc to find the process of a drive")
    out = tmp_path / "out"
    process = start(repository, drives, out, "--jobs", "2")
    wait_for(lambda: stored(out / "b" / "results.jsonl") >= 3, process)
    workers = children(process.pid)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers and not any(Path(f"/proc/{pid}").exists() for pid in workers)


def row(name: str, state: str = "done", **changes) -> DriveRow:
    report = {
        "frames": {"total": 100, "done": 90, "skipped": 10},
        "stages": {"lanes": {"latency_ms": {"p50": 3.0, "p95": 5.0, "p99": 8.0}}},
        "faults": [],
        "throughput_fps": 12.5,
        **changes,
    }
    return DriveRow(name, f"drives/{name}.mcap", state, "", report)


def test_the_index_orders_by_state_faults_coverage_and_latency():
    fault = [{"where": "front", "kind": "corrupt", "count": 7, "message": "<b>x</b>"}]
    slow = {"lanes": {"latency_ms": {"p50": 3.0, "p95": 50.0, "p99": 80.0}}}
    rows = [
        *(row("fine"), row("slow", stages=slow), row("gaps", frames={"total": 100, "done": 20, "skipped": 80})),
        *(row("faulty", faults=fault), DriveRow("later", "x", "waiting", "", {})),
        DriveRow("broken", "<y>", "failed", "cannot <read> it\nmore", {}),
    ]
    page = index_html(rows, "my <drives>")
    order = re.findall(r"<b>(?:<a[^>]*>)?(\w+)(?:</a>)?</b><div", page)
    assert order == ["broken", "later", "faulty", "gaps", "slow", "fine"]
    assert "<y>" not in page and "cannot &lt;read&gt; it" in page and "more" not in page.split("cannot")[1][:40]
    assert "front: corrupt &times;7" in page and "20.0 %" in page and "50.0" in page
    assert not re.search(r'(src|href)="(?!data:image/|\w+/report\.html)', page)


def test_a_row_is_read_from_what_a_run_left(tmp_path):
    assert read_row(tmp_path, "d").state == "waiting"
    (tmp_path / "thumbnails").mkdir()
    for i in range(5):
        cv2.imwrite(str(tmp_path / "thumbnails" / f"{i:08d}.jpg"), np.full((40, 80, 3), 50 * i, np.uint8))
    (tmp_path / "report.json").write_text(json.dumps({"frames": {"total": 9, "done": 4, "skipped": 1}}))
    found = read_row(tmp_path, "d")
    assert (found.state, found.coverage, len(found.pictures)) == ("stopped", 4 / 9, 3)
    assert found.pictures[0].shape == (116, 232, 3)
