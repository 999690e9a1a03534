"""``perception bench``: registry, timing, agreement of both paths, the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from perception import bench
from perception.bench import core
from perception.cli import main
from perception.errors import PerceptionError


@pytest.fixture()
def registry(monkeypatch: pytest.MonkeyPatch) -> dict:
    entries: dict[tuple[str, str], bench.Benchmark] = {}
    monkeypatch.setattr(core, "BENCHMARKS", entries)
    return entries


def test_measure_states_times_a_unit_and_the_spread(registry: dict, monkeypatch: pytest.MonkeyPatch):
    seconds = iter([0.002, 0.006, 0.001, 0.002, 0.001, 0.010])
    monkeypatch.setattr(core, "_seconds", lambda call, least: next(seconds))

    @bench.benchmark("toy", "sum", naive="a loop", unit="item")
    def make() -> bench.Pair:
        return bench.Pair(lambda: 3, lambda: 3, units=2, check=lambda a, b: a == b)

    timing = bench.measure(registry["toy", "sum"], repeats=3)
    assert (timing.ratio, timing.ratio_low, timing.ratio_high) == pytest.approx((3.0, 2.0, 10.0))
    assert (timing.ours_ms, timing.naive_ms) == pytest.approx((0.5, 3.0))
    assert (timing.group, timing.unit, timing.naive, timing.repeats) == ("toy", "item", "a loop", 3)


def test_paths_that_disagree_are_not_timed(registry: dict):
    bench.benchmark("toy", "wrong", naive="x")(lambda: bench.Pair(lambda: 1, lambda: 2, check=lambda a, b: a == b))
    with pytest.raises(PerceptionError, match="toy/wrong"):
        bench.measure(registry["toy", "wrong"])


def test_a_name_is_registered_once(registry: dict):
    def other() -> bench.Pair:
        return bench.Pair(int, int)

    bench.benchmark("toy", "a", naive="x")(other)
    bench.benchmark("toy", "a", naive="x")(other)
    with pytest.raises(PerceptionError, match="twice"):
        bench.benchmark("toy", "a", naive="x")(lambda: bench.Pair(int, int))


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "bench.json"
    assert main(["bench", "metrics", "--only", "tusimple*", "--repeats", "1", "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    assert [timing["name"] for timing in report["timings"]] == ["tusimple_accuracy"]
    assert report["timings"][0]["ratio"] > 0
    assert {"processors", "threads", "versions"} <= set(report["machine"])
    assert "metrics/tusimple_accuracy" in capsys.readouterr().out
    assert main(["bench", "metrics", "--only", "nothing"]) == 2
    assert main(["bench", "metricks"]) == 2
    assert "metrics" in capsys.readouterr().err


def test_culane_benchmark_agrees_with_its_naive_path():
    bench.load_groups()
    pair = bench.BENCHMARKS["metrics", "culane_f1"].make()
    ours = pair.ours()
    assert ours == pair.naive()
    assert ours.tp == 4


def test_naming_the_threads_leaves_them_as_they_are():
    code = (
        "import numba, torch; from perception.bench import core; "
        "print(core.machine()['threads']['numba'], torch.get_num_threads())"
    )
    env = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "1"]
