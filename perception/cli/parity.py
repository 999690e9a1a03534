"""``perception parity DIR``: compare with golden outputs of the original implementations."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from perception import parity, plugin
from perception.cpu_kernels import use_avx2_kernels

HELP = "compare with golden outputs of the original implementations"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "dir", type=Path, metavar="DIR", help="folder with golden data; every manifest.json below counts"
    )
    parser.add_argument("--only", metavar="GLOB", help="only cases whose name, folder/name or family/name matches")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows to FILE")
    parser.add_argument("--allow-uncovered", action="store_true", help="exit with 0 although a case has no runner")


def run(args: argparse.Namespace) -> int:
    """Print a row a tensor and a line a case; see ``perception.parity.exit_code`` for what it returns."""
    use_avx2_kernels()
    for failure in plugin.discover().failures:
        print(f"plugin {failure.name} failed to import: {failure.reason}", file=sys.stderr)
    results: list[parity.CaseResult] = []
    for result in parity.run(args.dir, args.only):
        if not results:
            print(f"{'case':<28} {'tensor':<40} {'max error':>10}  {'tolerance':<24} ok")
        results.append(result)
        for row in result.rows:
            verdict = "yes" if row.ok else "NO"
            note = f"  {row.note}" if row.note else ""
            print(f"{row.case:<28} {row.tensor:<40} {row.max_error:>10.3g}  {row.tolerance:<24} {verdict}{note}")
        print(f"{result.case}: {result.status}" + (f" ({result.note})" if result.note else ""), flush=True)
    report = parity.to_dict(results)
    print(", ".join(f"{count} {status}" for status, count in report["summary"].items()) if results else "no case found")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=1, allow_nan=False), encoding="utf-8")
    return parity.exit_code(results, args.allow_uncovered)
