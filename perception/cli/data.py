"""``perception data check|index|stats NAME PATH``: look into a dataset before training on it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = (
    "Check a dataset on disk, index it, draw it, or print statistics; what was examined before is not examined again."
)

SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "action", choices=("check", "index", "stats", "draw", "list"), help="list: name the known datasets"
    )
    parser.add_argument("name", nargs="?", help="name of the dataset, see `perception data list`")
    parser.add_argument("path", nargs="?", type=Path, help="its folder; relative ones are below PERCEPTION_DATA if set")
    parser.add_argument("--workers", type=int, default=1, help="processes (1)")
    parser.add_argument("--out", type=Path, help="where `index` and `draw` write (default: in PATH)")
    parser.add_argument("--count", type=int, default=12, help="how many records `draw` draws, evenly spread (12)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write findings and statistics to FILE")


def run(args: argparse.Namespace) -> int:
    """Examine the dataset; `check` returns 1 when something in it cannot be read."""
    from perception.engine import datasets
    from perception.engine.defaults import data_path
    from perception.errors import PerceptionError

    if args.action == "list":
        for name, tool in sorted(datasets.tools().items()):
            print(f"{name}\n{tool.expected_tree.rstrip()}")
        return 0
    if args.name is None or args.path is None:
        raise PerceptionError(f"data {args.action}: expected NAME and PATH; `perception data list` names the datasets")
    tool, root = datasets.find_tool(args.name), data_path(args.path)
    if args.action == "draw":
        return _draw(tool, root, args.out or root / "drawings", args.count)
    if args.action == "index" and _own_index(tool, root, args.out or root / "index", args.workers):
        return 0
    report = _examined(tool, root, args.workers)
    fatal = [finding for finding in report.findings if finding.fatal]
    doubtful = [finding for finding in report.findings if not finding.fatal]
    print(f"{report.dataset}: {len(report.records)} records, {len(fatal)} errors, {len(doubtful)} doubtful")
    for label, findings in (("error", fatal), ("doubtful", doubtful)):
        for finding in findings[:SHOWN]:
            print(f"{label}: {finding.where}: expected {finding.expected}, found {finding.found}")
        if len(findings) > SHOWN:
            print(f"... and {len(findings) - SHOWN} more; --json FILE writes all of them")
    if fatal and args.action == "check":
        print(f"expected tree:\n{tool.expected_tree.rstrip()}")
    if args.action == "stats":
        _print_stats(report.stats())
    if args.action == "index":
        target = args.out or report.root / "index.json"
        datasets.write_index(report, target)
        print(f"index: {target}")
    if args.json:
        args.json.write_text(json.dumps(datasets.to_dict(report), indent=1))
    return int(bool(fatal) and args.action == "check")


def _examined(tool, root: Path, workers: int):  # type: ignore[no-untyped-def]
    from perception.engine.datasets import Report, examine

    report = Report(tool.name, root)
    for report in examine(tool, root, workers):
        print(f"\rexamined {len(report.records)} records ({report.reused} known before)", end="", flush=True)
    print()
    return report


def _own_index(tool, root: Path, out: Path, workers: int) -> bool:  # type: ignore[no-untyped-def]
    """Let the dataset write its own kind of index; False when it has none."""
    line = ""
    try:
        for line in tool.write_index(root, out, workers):
            print(f"\r{line}", end="", flush=True)
    except NotImplementedError:
        return False
    print()
    return True


def _draw(tool, root: Path, out: Path, count: int) -> int:  # type: ignore[no-untyped-def]
    from perception.errors import PerceptionError
    from perception.sinks.storage import write_png

    names = list(tool.records(root))
    chosen = [names[i * len(names) // min(count, len(names))] for i in range(min(count, len(names)))]
    for name in chosen:
        try:
            picture = tool.draw(root, name)
        except NotImplementedError:
            raise PerceptionError(
                f"{tool.name}: this dataset cannot be drawn; see `perception browse CONFIG`"
            ) from None
        write_png(out / f"{name.replace('/', '_')}.png", picture)
    print(f"wrote {len(chosen)} pictures to {out}")
    return 0


def _print_stats(stats: dict) -> None:
    for name, row in stats.items():
        if "mean" in row:
            print(f"{name:<24} {row['count']:>8}   min {row['min']:g}   mean {row['mean']:g}   max {row['max']:g}")
        else:
            values = ", ".join(f"{value}: {count}" for value, count in row["values"].items())
            print(f"{name:<24} {row['count']:>8}   {values}")
