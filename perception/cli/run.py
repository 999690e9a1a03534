"""``perception run``: a pipeline on recorded drives."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from perception.engine.config import load_config, parse_options
from perception.errors import PerceptionError
from perception.runtime.config import parse_pipeline
from perception.runtime.drives import DriveJob, Outcome, output_folders, run_job, run_jobs_in_processes
from perception.runtime.outputs import sink_options
from perception.sinks.index import DriveRow, read_row, write_index
from perception.sinks.table import SINK_TABLE

HELP = "run a pipeline on recorded drives"

DEFAULT_PIPELINE = "pipelines/lanes_front.py"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add = parser.add_argument
    add("drives", nargs="+", metavar="DRIVE", help="bag, MCAP, video, image folder, ...; several get a folder each")
    add("--pipeline", default=DEFAULT_PIPELINE, metavar="CONFIG", help="pipeline config (default: %(default)s)")
    add("--out", required=True, type=Path, help="folder for results; a stopped run in it is continued")
    add("--mapping", metavar="F", help="yaml file that says which topics are which sensors")
    add("--calib", metavar="F", help="yaml file with calibrations")
    add("--camera", action="append", default=[], metavar="[SLOT=]NAME", help="camera of the drive to use")
    add("--trust", action="store_true", help="read files of drives that could run code (pickles of data sets)")
    add(
        "--follow", type=float, metavar="S", help="a drive that is being written: stop S seconds after its last message"
    )
    add("--start", type=float, metavar="S", help="begin S seconds into the drive")
    add("--end", type=float, metavar="S", help="end S seconds into the drive")
    add("--every", type=_positive, default=1, metavar="N", help="use every N-th frame")
    add("--strict", action="store_true", help="stop with exit code 1 at the first fault")
    add("--device", help="cpu, cuda, cuda:1, ... for all stages (default: as in the config, normally auto)")
    add("--weights", action="append", default=[], metavar="[STAGE=]F", help="weights in place of the config's")
    known = ", ".join(SINK_TABLE)
    add("--sinks", type=_names, metavar="A,B", help=f"outputs: {known} (default: as in the config)")
    add("--sink-options", nargs="+", metavar="SINK.K=V", help="change options of sinks, png.every=5")
    add("--copy-inputs", action="store_true", help="copy images, clouds and poses into the MCAP output")
    add("--jobs", type=_positive, default=1, metavar="N", help="drives to run at once, in as many processes")
    add("--realtime", action="store_true", help="at the pace of the drive; drop frames that come while stages are busy")
    add(
        "--prefetch",
        type=_count,
        default=2,
        metavar="N",
        help="frames to read ahead in a thread (default: %(default)s)",
    )
    add("--overwrite", action="store_true", help="replace an earlier run in the folder")
    add("--cfg-options", nargs="+", metavar="K=V", help="change config values, pipeline.stages.0.every=2")


def run(args: argparse.Namespace) -> int:
    """Run the pipeline on every drive.

    Returns:
        0 when done, 1 when ``--strict`` stopped a drive, 2 when a drive could not be run, 130 after Ctrl-C.
    """
    jobs = _jobs(args)
    rows = [read_row(job.out, job.drive, "waiting") for job in jobs]
    index = args.out / "index.html" if len(jobs) > 1 else None
    code = 0
    try:
        for outcome in _outcomes(jobs, args.jobs):
            code = max(code, _tell(outcome))
            rows[jobs.index(outcome.job)] = _row(outcome)
            if index is not None and args.out.exists():
                write_index(index, rows, f"{len(jobs)} drives, {args.pipeline}")
            if outcome.code == 130:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        print(f"perception: stopped; the same command continues the run in {args.out}", file=sys.stderr)
        return 130
    if index is not None and index.exists():
        print(f"{len(jobs)} drives: {index}")
    return code


def _jobs(args: argparse.Namespace) -> list[DriveJob]:
    from perception.runtime.runner import RunOptions

    options = RunOptions(
        cameras=_pairs(args.camera),
        mapping=args.mapping,
        calib=args.calib,
        start=args.start,
        end=args.end,
        every=args.every,
        strict=args.strict,
        overwrite=args.overwrite,
        sinks=args.sinks,
        copy_inputs=args.copy_inputs,
        sink_options=sink_options(parse_options(args.sink_options)),
        realtime=args.realtime,
        prefetch=args.prefetch,
        trust=args.trust,
        follow=args.follow,
        dataset=args.out / "parquet" if len(args.drives) > 1 else None,
    )
    threads = max(1, (os.cpu_count() or 1) // args.jobs) if args.jobs > 1 else 0
    common = (args.pipeline, options, parse_options(args.cfg_options), args.device, _pairs(args.weights), threads)
    folders = output_folders(args.drives, args.out)
    return [DriveJob(drive, out, *common) for drive, out in zip(args.drives, folders)]


def _outcomes(jobs: Sequence[DriveJob], workers: int) -> Iterator[Outcome]:
    """In this process the stages are built once, for all drives."""
    first = jobs[0]
    pipeline = parse_pipeline(load_config(first.config, first.changes), first.config)
    if workers > 1 and len(jobs) > 1:
        yield from run_jobs_in_processes(jobs, workers, _print_line)
        return
    from perception.runtime.graph import build_graph

    graph = build_graph(pipeline, first.device, first.weights)
    for job in jobs:
        yield run_job(job, None, graph)


def _tell(outcome: Outcome) -> int:
    job = outcome.job
    if not outcome.code:
        report = json.loads((job.out / "report.json").read_bytes())
        print(f"{job.drive}\n{summary(report)}\n  {job.out / 'report.html'}", flush=True)
    elif outcome.code != 130:
        named = f"{job.drive}: " if job.drive not in outcome.message else ""
        print(f"perception: {named}{outcome.message}", file=sys.stderr, flush=True)
    return outcome.code


def _row(outcome: Outcome) -> DriveRow:
    state = {0: "", 1: "stopped", 130: "stopped"}.get(outcome.code, "failed")
    return read_row(outcome.job.out, outcome.job.drive, state, outcome.message)


def _print_line(job: DriveJob, line: str) -> None:
    print(f"[{job.out.name}] {line}", file=sys.stderr, flush=True)


def summary(report: dict[str, Any]) -> str:
    """A report in a few lines of text."""
    frames = report["frames"]
    lines = [f"  {frames['done']} of {frames['total']} frames, {report['throughput_fps']:.1f} fps"]
    for name, stage in report["stages"].items():
        latency = stage["latency_ms"]
        times = "never ran" if latency["p50"] is None else f"p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms"
        lines.append(f"  {name}: {stage['results']} results, {times}")
    for name, scores in report.get("scores", {}).items():
        values = ", ".join(
            f"{key} {value['f1']:.4f}" for key, value in scores.items() if isinstance(value, dict) and "f1" in value
        )
        lines.append(f"  {name}: {scores['metric']} on {scores['frames']} frames: {values}")
    for fault in report["faults"]:
        lines.append(f"  fault: {fault['where']}: {fault['kind']} on {fault['count']} frame(s): {fault['message']}")
    return "\n".join(lines)


def _pairs(values: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for value in values:
        left, equals, right = value.partition("=")
        key, item = (left, right) if equals else ("", value)
        if key in pairs or not item:
            raise PerceptionError(f"expected NAME or KEY=NAME with each key once, found {', '.join(values)}")
        pairs[key] = item
    return pairs


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _positive(text: str) -> int:
    return _count(text, 1)


def _count(text: str, minimum: int = 0) -> int:
    if not text.isdecimal() or int(text) < minimum:
        raise argparse.ArgumentTypeError(f"expected a whole number from {minimum}, found {text}")
    return int(text)
