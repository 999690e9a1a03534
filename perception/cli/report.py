"""``perception report``: look at runs that are done."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from perception.runtime.compare import compare_runs, describe, run_folders

HELP = "what changed between two runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    actions = parser.add_subparsers(dest="action", required=True)
    diff = actions.add_parser("diff", help="compare settings, speed, faults, scores and results of two runs")
    diff.add_argument("first", type=Path, metavar="A", help="folder of a run, or of several drives")
    diff.add_argument("second", type=Path, metavar="B", help="folder of another one")
    diff.add_argument("--json", type=Path, metavar="F", help="also write the comparison as json")


def run(args: argparse.Namespace) -> int:
    """Compare.

    Returns:
        0 when no result, fault or score differs, 1 when something does, 2 when a run cannot be read.
    """
    found = {}
    for name, first, second in run_folders(args.first, args.second):
        found[name] = compare_runs(first, second)
        print(f"{name}: {describe(found[name])}" if name else describe(found[name]))
    if args.json is not None:
        args.json.write_text(json.dumps(found.get("", found), indent=1) + "\n")
    return 0 if all(item["same"] for item in found.values()) else 1
