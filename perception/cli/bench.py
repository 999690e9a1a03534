"""``perception bench [GROUP]``: time our paths against naive ones, side by side."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from perception import bench
from perception.errors import UnknownNameError

HELP = "side-by-side timing ratios"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("group", nargs="?", metavar="GROUP", help="metrics, ops, models, ...; default all that exist")
    parser.add_argument("--only", metavar="GLOB", help="only benchmarks whose name matches")
    parser.add_argument("--repeats", type=int, default=7, metavar="N", help="ratios to take (7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")


def run(args: argparse.Namespace) -> int:
    """Print the median ratio with its spread for each benchmark; returns 0, or 2 when nothing matched.

    Raises:
        UnknownNameError: No such group.
    """
    groups = bench.load_groups()
    if args.group is not None and args.group not in groups:
        raise UnknownNameError("benchmark group", args.group, groups)
    machine = bench.machine()
    threads = ", ".join(f"{name} {count or 'default'}" for name, count in machine["threads"].items())
    print(f"{machine['processors']} processors; threads: {threads}")
    print(f"{'benchmark':<28} {'ours ms':>9} {'naive ms':>9} {'ratio':>7}  {'spread':<15} per, against")
    timings = []
    for timing in bench.run(args.group, args.only, max(args.repeats, 1)):
        timings.append(timing)
        spread = f"{timing.ratio_low:.1f} to {timing.ratio_high:.1f}"
        label, times = f"{timing.group}/{timing.name}", f"{timing.ours_ms:>9.3f} {timing.naive_ms:>9.3f}"
        print(f"{label:<28} {times} {timing.ratio:>7.1f}  {spread:<15} {timing.unit}, {timing.naive}", flush=True)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        report = {"machine": machine, "timings": [asdict(timing) for timing in timings]}
        args.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    if not timings:
        print("no benchmark matched")
    return 0 if timings else 2
