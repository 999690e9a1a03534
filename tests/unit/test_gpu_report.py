from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")


@pytest.fixture
def report(repository):
    spec = importlib.util.spec_from_file_location("gpu_report", repository / "tools" / "gpu_report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def one_device(report, monkeypatch):
    monkeypatch.setattr(report, "cuda_devices", lambda: [{"name": "Fake", "capability": "9.0", "memory_gib": 80.0}])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_machine_without_a_gpu_is_told_so(report, capsys, tmp_path):
    assert report.main(["--out", str(tmp_path / "report.json")]) == 2
    assert "no CUDA device" in capsys.readouterr().err
    assert not (tmp_path / "report.json").exists()


def test_the_probe_lists_devices(report, one_device, capsys):
    assert report.main(["--probe"]) == 0
    assert capsys.readouterr().out == "cuda:0 Fake\n"


@pytest.mark.parametrize(("parity_code", "expected"), [(0, 0), (1, 1), (3, 1)])
def test_one_report_has_tests_and_parity(report, one_device, monkeypatch, tmp_path, parity_code, expected):
    def run(command, **options):
        if "pytest" in command:
            file = command[-1].partition("=")[2]
            with open(file, "w") as out:
                out.write(
                    '<testsuites><testsuite><testcase classname="a" name="works" time="0.5"/>'
                    '<testcase classname="a" name="later" time="0"><skipped message="two GPUs needed"/></testcase>'
                    "</testsuite></testsuites>"
                )
            return subprocess.CompletedProcess(command, 0)
        return subprocess.CompletedProcess(command, parity_code, "rows", "")

    monkeypatch.setattr(report.subprocess, "run", run)
    out = tmp_path / "deep" / "report.json"
    assert report.main(["--out", str(out), "--golden", str(tmp_path)]) == expected
    written = json.loads(out.read_text())
    assert written["tests"]["counts"] == {"passed": 1, "failed": 0, "skipped": 1}
    assert written["tests"]["cases"][1]["message"] == "two GPUs needed"
    assert written["passed"] is (expected == 0) and written["parity"]["output"] == "rows"


def test_failures_and_errors_count_as_failed(report, tmp_path):
    file = tmp_path / "junit.xml"
    file.write_text(
        '<testsuite><testcase classname="a" name="x" time="1"><failure message="wrong"/></testcase>'
        '<testcase classname="a" name="y" time="1"><error message="crash"/></testcase></testsuite>'
    )
    assert [(case["status"], case["message"]) for case in report.read_junit(file)] == [
        ("failed", "wrong"),
        ("failed", "crash"),
    ]


def test_no_gpu_test_at_all_is_a_failure(report, monkeypatch):
    monkeypatch.setattr(report.subprocess, "run", lambda command, **options: subprocess.CompletedProcess(command, 5))
    assert report.run_tests()["passed"] is False


def test_absent_parity_data_is_told(report, tmp_path):
    assert report.run_parity(tmp_path / "golden") == {
        "passed": True,
        "ran": False,
        "text": "not run, no data at golden",
        "output": "",
    }


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_the_script_exits_with_2_without_a_gpu(repository):
    done = subprocess.run(
        [sys.executable, str(repository / "tools" / "gpu_report.py"), "--probe"], capture_output=True, check=False
    )
    assert done.returncode == 2
