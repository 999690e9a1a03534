"""What changed between two runs: their settings, speed, faults, scores, and results frame by frame."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from perception.errors import InputError
from perception.sinks.page import flat

__all__ = ["compare_runs", "describe", "run_folders"]

SHOWN = 10
"""Frames and lines that are named before the rest is only counted."""


def run_folders(first: Path, second: Path) -> list[tuple[str, Path, Path]]:
    """Pairs of runs: the two folders themselves, or the drives of the same name below them.

    Returns:
        (name, folder of the first run, folder of the second run); the name of the folders themselves is empty.

    Raises:
        InputError: A folder holds no run, or they have no drive in common.
    """
    drives = []
    for folder in (first, second):
        if (folder / "report.json").exists():
            drives.append([""])
            continue
        below = sorted(path.parent.name for path in folder.glob("*/report.json"))
        if not below:
            raise InputError(folder, "", "report.json of a run, or folders of several", "none")
        drives.append(below)
    common = [name for name in drives[0] if name in drives[1]]
    if not common:
        raise InputError(second, "", f"a run of {', '.join(drives[0])}", ", ".join(drives[1]) or "one run")
    return [(name, first / name, second / name) for name in common]


def compare_runs(first: Path, second: Path) -> dict[str, Any]:
    """Compare two finished or stopped runs.

    Returns:
        Json-able: ``settings``, ``frames``, ``stages``, ``faults``, ``scores`` (each key -> [first, second], of what
        differs), ``latency`` (stage -> p50 and p95 of both), ``results`` (see :func:`_results`, None when one of the
        runs has no ``results.jsonl``), and ``same``: no result, fault, score or number of frames differs.

    Raises:
        InputError: A report or a line of results cannot be read.
    """
    a, b = _report(first), _report(second)
    settings = ("drive", "pipeline", "config_hash", "versions")
    weights = {"weights": [{name: stage.get("weights_sha256") for name, stage in r["stages"].items()} for r in (a, b)]}
    found: dict[str, Any] = {
        "settings": _changes(
            {**{key: a.get(key) for key in settings}, "weights": weights["weights"][0]},
            {**{key: b.get(key) for key in settings}, "weights": weights["weights"][1]},
        ),
        "frames": _changes(a["frames"], b["frames"]),
        "stages": _changes(*({name: stage["results"] for name, stage in r["stages"].items()} for r in (a, b))),
        "latency": {
            name: {key: [r["stages"][name]["latency_ms"].get(key) for r in (a, b)] for key in ("p50", "p95")}
            for name in a["stages"]
            if name in b["stages"]
        },
        "throughput_fps": [a.get("throughput_fps"), b.get("throughput_fps")],
        "faults": _changes(*({f"{f['where']}: {f['kind']}": f["count"] for f in r["faults"]} for r in (a, b))),
        "scores": _changes(a.get("scores", {}), b.get("scores", {})),
        "results": None,
    }
    files = [folder / "results.jsonl" for folder in (first, second)]
    if all(file.exists() for file in files):
        found["results"] = _results(*files)
    results = found["results"] or {}
    moved = any(found[key] for key in ("frames", "stages", "faults", "scores"))
    found["same"] = not moved and not any(results.get(key) for key in ("different", "only_first", "only_second"))
    return found


def describe(found: Mapping[str, Any]) -> str:
    """The comparison as text, what matters most first."""
    lines = ["no result differs" if found["same"] else "the runs differ"]
    results = found["results"]
    if results is None:
        lines.append("  results: not compared, one of the runs has no results.jsonl")
    else:
        lines.append(f"  results: {results['equal']} frames equal, {results['different']} different")
        for key, side in (("only_first", "first"), ("only_second", "second")):
            if results[key]:
                lines.append(f"  results: {results[key]} frames only in the {side} run")
        for stage, about in results["stages"].items():
            frames = ", ".join(map(str, about["first_frames"]))
            more = ", ..." if about["frames"] > len(about["first_frames"]) else ""
            lost = f"; {about['lost']} lost, {about['gained']} gained" if about["lost"] or about["gained"] else ""
            lines.append(f"    {stage}: {about['frames']} frames differ ({frames}{more}){lost}")
    for title in ("frames", "stages", "faults", "scores", "settings"):
        changes = list(found[title].items())
        lines += [f"  {title}: {key}: {_text(was)} -> {_text(now)}" for key, (was, now) in changes[:SHOWN]]
        if len(changes) > SHOWN:
            lines.append(f"  {title}: and {len(changes) - SHOWN} more")
    for stage, percentiles in found["latency"].items():
        for key, (was, now) in percentiles.items():
            if was and now:
                lines.append(f"  latency: {stage} {key}: {was:.1f} -> {now:.1f} ms (x {now / was:.2f})")
    return "\n".join(lines)


def _report(folder: Path) -> dict[str, Any]:
    path = folder / "report.json"
    try:
        report = json.loads(path.read_bytes())
        for stage in report["stages"].values():
            stage["results"], stage["latency_ms"]
        report["frames"], report["faults"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(path, "", "the report of a run", repr(error)) from error
    return report


def _changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, list[Any]]:
    was, now = dict(flat(first)), dict(flat(second))
    keys = [*was, *(key for key in now if key not in was)]
    return {key: [was.get(key), now.get(key)] for key in keys if was.get(key) != now.get(key)}


def _results(first: Path, second: Path) -> dict[str, Any]:
    """Frames by their index: how many are equal, differ, are in one run only, and which stages differ where."""
    found: dict[str, Any] = {"equal": 0, "different": 0, "only_first": 0, "only_second": 0, "stages": {}}
    others = _lines(second)
    other = next(others, None)
    for line, record in _lines(first):
        while other is not None and other[1]["index"] < record["index"]:
            found["only_second"] += 1
            other = next(others, None)
        if other is None or other[1]["index"] != record["index"]:
            found["only_first"] += 1
            continue
        if other[0] == line:
            found["equal"] += 1
        else:
            found["different"] += _differs(record, other[1], found["stages"])
            found["equal"] += record["results"] == other[1]["results"]
        other = next(others, None)
    while other is not None:
        found["only_second"] += 1
        other = next(others, None)
    return found


def _differs(first: Mapping[str, Any], second: Mapping[str, Any], stages: dict[str, dict[str, Any]]) -> bool:
    a, b = first["results"], second["results"]
    changed = [stage for stage in {**a, **b} if a.get(stage) != b.get(stage)]
    for stage in changed:
        about = stages.setdefault(stage, {"frames": 0, "lost": 0, "gained": 0, "first_frames": []})
        about["frames"] += 1
        about["lost"] += stage not in b
        about["gained"] += stage not in a
        if len(about["first_frames"]) < SHOWN:
            about["first_frames"].append(first["index"])
    return bool(changed)


def _lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Whole lines; a torn one at the end of a stopped run is left out."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                record = json.loads(line)
                record["index"], record["results"]
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(path, f"line {number}", "a frame with index and results", repr(error)) from error
            yield line, record


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)
