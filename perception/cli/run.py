"""``perception run``: a pipeline on recorded drives."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perception.engine.config import load_config, parse_options
from perception.errors import PerceptionError
from perception.runtime.config import PipelineConfig, parse_pipeline
from perception.runtime.outputs import sink_options
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
    from perception.runtime.graph import build_graph
    from perception.runtime.runner import RunOptions, StrictStop, run_drive

    pipeline = _pipeline(args)
    graph = build_graph(pipeline, args.device, _pairs(args.weights))
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
    )
    code = 0
    for drive, out in zip(args.drives, output_folders(args.drives, args.out)):
        try:
            report = run_drive(drive, out, pipeline, graph, options)
            print(f"{drive}\n{summary(report)}\n  {out / 'report.html'}")
        except KeyboardInterrupt:
            print(f"perception: stopped; the same command continues the run in {out}", file=sys.stderr)
            return 130
        except StrictStop as stop:
            print(f"perception: {drive}: {stop}", file=sys.stderr)
            code = max(code, 1)
        except (PerceptionError, OSError) as error:
            print(f"perception: {error}", file=sys.stderr)
            code = 2
    return code


def output_folders(drives: Sequence[str], out: Path) -> list[Path]:
    """``out`` for a single drive, else a folder below it for each, named after the drive."""
    if len(drives) == 1:
        return [out]
    folders: list[Path] = []
    for drive in drives:
        stem = re.sub(r"[^\w.-]+", "_", Path(drive).stem or "drive").strip(".") or "drive"
        number = sum(1 for folder in folders if re.fullmatch(rf"{re.escape(stem)}(_\d+)?", folder.name))
        folders.append(out / (f"{stem}_{number + 1}" if number else stem))
    return folders


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


def _pipeline(args: argparse.Namespace) -> PipelineConfig:
    config = load_config(args.pipeline, parse_options(args.cfg_options))
    return parse_pipeline(config, args.pipeline)


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
