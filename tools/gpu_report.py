"""What works on this machine's GPUs: the tests marked ``gpu``, then parity; one JSON report. See ``make test-gpu``.

Exit codes: 0 all passed, 1 something failed, 2 there is no CUDA device.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def main(argv: list[str] | None = None) -> int:
    """Run everything and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probe", action="store_true", help="only say whether there is a CUDA device")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "gpu_report.json")
    parser.add_argument("--golden", type=Path, help="parity data; default: PERCEPTION_GOLDEN, else ../shared/golden")
    args = parser.parse_args(argv)
    devices = cuda_devices()
    if not devices:
        print("no CUDA device on this machine: nothing was tested", file=sys.stderr)
        return 2
    if args.probe:
        print("\n".join(f"cuda:{index} {device['name']}" for index, device in enumerate(devices)))
        return 0
    started = time.time()
    golden = args.golden or Path(os.environ.get("PERCEPTION_GOLDEN") or ROOT.parent / "shared" / "golden")
    report: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "python": platform.python_version(),
        "versions": versions(),
        "devices": devices,
        "tests": run_tests(),
        "parity": run_parity(golden),
    }
    report["seconds"] = round(time.time() - started, 1)
    report["passed"] = report["tests"]["passed"] and report["parity"]["passed"]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(report, indent=2) + "\n")
    counts = report["tests"]["counts"]
    print(f"GPU tests: {counts}; parity: {report['parity']['text']}; report: {args.out}")
    return 0 if report["passed"] else 1


def cuda_devices() -> list[dict[str, Any]]:
    """Name, compute capability and memory (GiB) of every CUDA device."""
    import torch

    if not torch.cuda.is_available():
        return []
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [
        {"name": one.name, "capability": f"{one.major}.{one.minor}", "memory_gib": round(one.total_memory / 2**30, 1)}
        for one in found
    ]


def versions() -> dict[str, str]:
    """Versions that decide about results on a GPU."""
    import torch

    import perception

    return {"perception": perception.__version__, "torch": torch.__version__, "cuda": str(torch.version.cuda)}


def run_tests() -> dict[str, Any]:
    """Run the tests marked ``gpu``; no test at all counts as a failure."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-m", "gpu", f"--junit-xml={file}"]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        cases = read_junit(file) if file.is_file() else []
    counts = {status: sum(case["status"] == status for case in cases) for status in ("passed", "failed", "skipped")}
    return {"passed": code == 0 and counts["passed"] > 0, "exit_code": code, "counts": counts, "cases": cases}


def read_junit(path: Path) -> list[dict[str, Any]]:
    """The cases of a JUnit file as name, status, seconds and message."""
    cases = []
    for case in ElementTree.parse(path).iter("testcase"):
        outcome = {child.tag: child.get("message", "") for child in case}
        status = "failed" if {"failure", "error"} & outcome.keys() else "skipped" if "skipped" in outcome else "passed"
        message = next((outcome[tag] for tag in ("failure", "error", "skipped") if tag in outcome), "")
        name = f"{case.get('classname')}::{case.get('name')}"
        cases.append({"name": name, "status": status, "seconds": float(case.get("time", 0)), "message": message})
    return cases


def run_parity(golden: Path) -> dict[str, Any]:
    """Run ``perception parity`` on the golden data; absent data are told and do not fail the report."""
    if not golden.is_dir():
        return {"passed": True, "ran": False, "text": f"not run, no data at {golden.name}", "output": ""}
    command = [sys.executable, "-m", "perception", "parity", str(golden)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    text = {0: "all cases agree", 1: "a case misses its tolerance", 3: "a case has no runner"}
    said = text.get(done.returncode, f"failed with exit code {done.returncode}")
    return {"passed": done.returncode == 0, "ran": True, "text": said, "output": done.stdout + done.stderr}


if __name__ == "__main__":
    sys.exit(main())
