"""``perception demo``: everything end to end on a simulated drive that no training has seen."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from perception.errors import PerceptionError

HELP = "Simulate a short drive, find its lanes with the shipped weights, score them, and write pictures to look at."

DEMO_SEED = 900_042
"""Worlds from 900000 up are never used for training."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for the results")
    parser.add_argument("--frames", type=int, default=80, help="length of the drive at 10 frames a second")
    parser.add_argument("--seed", type=int, default=DEMO_SEED, help="world to drive in; 900000 and up are held out")
    parser.add_argument("--weights", help="weights of the lane model in place of the shipped ones")


def run(args: argparse.Namespace) -> int:
    """Run the demo."""
    from perception.cli import main

    start = time.perf_counter()
    drives = args.out / f"drive_{args.seed}_{args.frames}"
    simulate = f"--format drive --scenes 1 --frames {args.frames} --seed {args.seed} --preset day --size 960x540"
    if code := main(["simulate", str(drives), *simulate.split()]):
        return code
    recorded = sorted(drives.rglob("*.mcap"))
    if len(recorded) != 1:
        raise PerceptionError(f"{drives}: expected one drive, found {len(recorded)}; remove the folder and try again")
    pipeline = ["--pipeline", "pipelines/lanes_front.py", "--out", str(args.out), "--overwrite", "--copy-inputs"]
    pipeline += ["--weights", args.weights] if args.weights else []
    if code := main(["run", str(recorded[0]), *pipeline]):
        return code
    _summary(args.out, time.perf_counter() - start)
    return 0


def _summary(out: Path, seconds: float) -> None:
    report = json.loads((out / "report.json").read_text())
    print(f"\nsimulated, driven and scored in {seconds:.0f} s, weights {_weights(report)}\nlook at")
    for name in ("report.html", "overlay.mp4", "predictions.mcap"):
        if (out / name).exists():
            print(f"  {out / name}")


def _weights(report: dict[str, Any]) -> str:
    return ", ".join(f"{stage['weights']} (trained on: {stage['trained_on']})" for stage in report["stages"].values())
