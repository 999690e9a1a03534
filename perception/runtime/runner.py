"""One drive through one pipeline into one folder: source -> graph -> sinks, stoppable and continuable at any frame."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from perception.errors import InputError, PerceptionError
from perception.runtime.config import PipelineConfig
from perception.runtime.executor import Executor, FrameOutput, SequentialExecutor
from perception.runtime.graph import Graph
from perception.runtime.outputs import build_sinks
from perception.runtime.prefetch import Prefetch
from perception.runtime.preflight import obstacles
from perception.runtime.progress import Progress, format_duration
from perception.runtime.realtime import paced
from perception.runtime.report import Thumbnails, build_report, describe_stages
from perception.runtime.runlog import RunLog, RunStatistics
from perception.runtime.state import RunState, drive_identity, file_digest
from perception.sinks.base import Sink, resume_all
from perception.sinks.report import write_report_html
from perception.sinks.storage import dump_json, storage_errors, write_file
from perception.sinks.table import SINK_TABLE
from perception.sources import DriveSource, open_drive, with_odometry
from perception.sources.odometry import odometry_helps
from perception.structures import Fault, Frame

__all__ = ["RunOptions", "StrictStop", "frames_from", "run_drive"]

EARLIER_FILES = ("results.jsonl", "run_log.jsonl")
REPORT_FILES = ("report.json", "report.html")


class StrictStop(PerceptionError):
    """A fault ended a run that was asked to be strict."""


@dataclass(frozen=True)
class RunOptions:
    """How to run a pipeline on a drive.

    Attributes:
        cameras: Slot -> camera of the drive; the slot ``""`` stands for every stage's only slot.
        mapping: Mapping file of the drive, or None.
        calib: Calibration file, or None.
        start: Seconds from the drive's begin, or None.
        end: Seconds from the drive's begin, or None.
        every: Use every n-th frame of the drive.
        strict: Stop at the first fault.
        overwrite: Replace what an earlier run left in the folder instead of continuing it.
        sinks: Names of sinks in place of the config's, or None.
        copy_inputs: Put images, clouds and poses beside the results where a sink can.
        sink_options: Sink -> its constructor keywords, before those of the config.
        realtime: Deliver frames at the pace of the drive and drop those the stages are too slow for.
        prefetch: Frames that are read ahead in another thread; 0 reads in turn with the stages.
        dataset: Folder for what the drives of one call store together; None keeps it in the run's folder.
        trust: Read files of the drive that could run code (pickles of data sets).
        follow: Wait at the end of a drive that is being written, until nothing new came for this many seconds.
    """

    cameras: Mapping[str, str] = field(default_factory=dict)
    mapping: str | None = None
    calib: str | None = None
    start: float | None = None
    end: float | None = None
    every: int = 1
    strict: bool = False
    overwrite: bool = False
    sinks: Sequence[str] | None = None
    copy_inputs: bool = False
    sink_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    realtime: bool = False
    prefetch: int = 2
    dataset: Path | None = None
    trust: bool = False
    follow: float | None = None


def run_drive(
    drive: str,
    out: str | Path,
    pipeline: PipelineConfig,
    graph: Graph,
    options: RunOptions | None = None,
    open_source: Callable[[str], DriveSource] | None = None,
    stream: IO[str] | None = None,
) -> dict[str, Any]:
    """Run a pipeline on a drive, or continue the run that was stopped in ``out``.

    Args:
        drive: Path of the drive.
        out: Folder for everything that is written.
        pipeline: Checked config.
        graph: Its built stages.
        options: See :class:`RunOptions`.
        open_source: Opens the drive; by default :func:`perception.sources.open_drive` with ``options``.
        stream: Where progress goes; standard error by default.

    Returns:
        The report, as in ``report.json``.

    Raises:
        StrictStop: A fault, with ``options.strict``; the report of the frames so far is written.
        PerceptionError: The drive cannot be read, the folder cannot be written or holds another run.
    """
    options, out = options or RunOptions(), Path(out)
    stages = describe_stages(graph)
    state = _new_state(drive, pipeline, stages, options)
    previous = _previous(out, state, options)
    if previous is not None:
        state.started = previous.started
        if previous.finished and (out / "report.json").exists():
            print(f"{out}: this run is complete; --overwrite runs it again", file=stream)
            return json.loads((out / "report.json").read_bytes())
    with (open_source or _opener(options, graph))(drive) as source:
        run = _Run(source, out, pipeline, graph, stages, options, stream)
        run.check()
        with storage_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        run.start(resume=previous is not None)
        state.save(out)
        run.execute()
        state.finished = _now() if run.complete else ""
        report = run.report(drive, pipeline.name, state)
    _write_report(out, report, run.thumbnails.load(run.log.statistics))
    state.save(out)
    if run.strict_reason:
        raise StrictStop(run.strict_reason)
    return report


def _executor(name: str) -> type[SequentialExecutor]:
    if name == "threads":
        from perception.runtime.parallel import ParallelExecutor

        return ParallelExecutor
    return SequentialExecutor


class _Run:
    """The moving parts of one run; made by :func:`run_drive`."""

    def __init__(
        self,
        source: DriveSource,
        out: Path,
        pipeline: PipelineConfig,
        graph: Graph,
        stages: Mapping[str, Mapping[str, Any]],
        options: RunOptions,
        stream: IO[str] | None,
    ) -> None:
        self.source, self.out, self.graph, self.options, self.stream = source, out, graph, options, stream
        self.stages = stages
        cameras = graph.assign(tuple(source.info.cameras), options.cameras, source.info.yaws)
        self.reasons = obstacles(graph, source.info, cameras)
        self.executor: Executor = _executor(pipeline.executor)(graph, cameras)
        kinds = {node.name: node.stage.kind for node in graph.nodes}
        self.log = RunLog(out, kinds, cameras, source.faults)
        self.sinks: list[Sink] = [*_sinks(pipeline.sinks, out, options, options.sinks), self.log]
        self.thumbnails = Thumbnails(out, len(source))
        self.warmup_faults: list[Fault] = []
        self.warmup_s = 0.0
        self.done = 0
        self.complete = False
        self.strict_reason = ""

    def check(self) -> None:
        """Refuse a run that could give nothing, before anything is written."""
        if len(self.reasons) == len(self.graph.nodes):
            reasons = "; ".join(f"{stage}: {reason}" for stage, reason in self.reasons.items())
            raise PerceptionError(f"{self.source.path}: no stage can run: {reasons}")
        if not len(self.source):
            end = "the end" if self.options.end is None else f"{self.options.end:g} s"
            wanted = f"from {self.options.start or 0:g} s to {end}"
            found = f"a drive of {self.source.info.duration_s:.2f} s"
            raise InputError(self.source.path, f"the part {wanted}", "at least one frame", found)

    def start(self, resume: bool) -> None:
        """Find the frame to begin with and warm the stages up."""
        if resume:
            self.done = resume_all(self.sinks)
            for fault in self.log.statistics.drive_faults:
                self.source.record_fault(fault)
        else:
            self._clear()
        began = time.perf_counter()
        self.warmup_faults = self.executor.warmup()
        self.warmup_s = time.perf_counter() - began

    def _clear(self) -> None:
        """Remove what an earlier run left, also of sinks this one does not have; a kill must not mix the two."""
        everything = replace(self.options, copy_inputs=False, sink_options={})
        stale = _sinks((), self.out, everything, tuple(SINK_TABLE)) if self.options.overwrite else []
        for sink in [*stale, *self.sinks]:
            sink.resume(0)
        self.thumbnails.clear()
        with storage_errors(self.out):
            for name in REPORT_FILES:
                (self.out / name).unlink(missing_ok=True)

    def execute(self) -> None:
        """Run all frames that are not stored yet; sinks are closed at the end and released after any error."""
        progress = Progress(len(self.source), self.done, self.options.every, self.stream)
        try:
            self._announce(progress)
            with ExitStack() as stack:
                for sink in self.sinks:
                    stack.enter_context(sink)
                self._loop(progress)
            self.complete = True
        except StrictStop as stop:
            self.strict_reason = str(stop)
        except PerceptionError as error:
            stored = self.log.statistics.frames
            raise PerceptionError(f"{error}\n{stored} frames are stored in {self.out} and readable") from error
        finally:
            progress.close()
            self.executor.close()

    def report(self, drive: str, pipeline: str, state: RunState) -> dict[str, Any]:
        """The report of all frames so far."""
        return build_report(
            drive,
            pipeline,
            self.stages,
            self.log.statistics,
            self.log.statistics.frames if self.complete else len(self.source),
            self.warmup_faults,
            warmup_s=round(self.warmup_s, 3),
            config_hash=state.config_hash,
            started=state.started,
            finished=_now(),
            pose=self.log.statistics.poses(self.source.info.pose_source),
        )

    def _announce(self, progress: Progress) -> None:
        if self.done:
            progress.message(f"continuing after frame {self.done} of {len(self.source)}")
        progress.message(f"warm-up: {format_duration(self.warmup_s) if self.warmup_s >= 1 else '< 1 s'}")
        for stage, about in self.stages.items():
            if about.get("parameters") and not about["weights"]:
                progress.message(f"stage {stage!r} has no weights: its results are random")
        for stage, reason in self.reasons.items():
            progress.message(f"stage {stage!r} cannot run on this drive: {reason}")
        for fault in self.warmup_faults:
            progress.message(f"stage {fault.where!r}: {fault.message}")

    def _loop(self, progress: Progress) -> None:
        faults = sum(row["count"] for row in self.log.statistics.fault_rows())
        if self.options.strict and (faults or self.warmup_faults):
            raise StrictStop(f"--strict: {faults + len(self.warmup_faults)} fault(s) before frame {self.done}")
        position, frames = frames_from(self.source, self.log.statistics, self.done, self.graph.history_s)
        self.log.restart_clock()
        with Prefetch(frames, self.options.prefetch) as read:
            for output in self.executor.run(paced(read) if self.options.realtime else read, position):
                if output.position < self.done:  # only there to give stages their past back
                    self.log.restart_clock()
                    continue
                self._store(output)
                faults += len(output.faults)
                progress.update(output.position + 1, faults)
                if self.options.strict and output.faults:
                    index, first = output.frame.index, output.faults[0]
                    raise StrictStop(f"--strict: frame {index}: {first.where}: {first.kind}: {first.message}")

    def _store(self, output: FrameOutput) -> None:
        self.thumbnails.add(output)
        for sink in self.sinks:
            sink.append(output.frame, output.results, output.faults, output.latency_ms)


def frames_from(
    source: DriveSource, statistics: RunStatistics, done: int, history_s: float = 0.0
) -> tuple[int, Iterator[Frame]]:
    """Frames of a run of which the first ``done`` are stored, beginning ``history_s`` seconds before the next one.

    The source is sought by time, and the frame found is compared with the log; where times repeat or step back, frames
    are counted instead.

    Returns:
        Position in the run of the first frame, and the frames from there.
    """
    if not done:
        return 0, iter(source)
    stamps, indices = statistics.timestamps, statistics.indices
    first, oldest = done, stamps[done - 1] - round(history_s * 1e9)
    while history_s > 0 and first > 0 and stamps[first - 1] >= oldest:
        first -= 1
    anchor = min(first, done - 1)
    source.seek(stamps[anchor])
    frames = iter(source)
    found = next(frames, None)
    if found is not None and (found.timestamp_ns, found.index) == (stamps[anchor], indices[anchor]):
        return first, frames if first > anchor else chain([found], frames)
    source.seek(None)
    return first, islice(iter(source), first, None)


def _new_state(
    drive: str, pipeline: PipelineConfig, stages: Mapping[str, Mapping[str, Any]], options: RunOptions
) -> RunState:
    return RunState(
        drive=drive_identity(drive) if options.follow is None else {"path": drive, "size": 0, "mtime_ns": 0},
        config_hash=pipeline.digest(),
        weights={name: about["weights_sha256"] or "" for name, about in stages.items()},
        options={
            "camera": dict(options.cameras),
            "mapping": file_digest(options.mapping),
            "calib": file_digest(options.calib),
            "start": options.start,
            "end": options.end,
            "every": options.every,
            "device": {name: about["device"] for name, about in stages.items()},
            "sinks": list(options.sinks) if options.sinks is not None else [dict(sink) for sink in pipeline.sinks],
            "copy-inputs": options.copy_inputs,
            **({"sink-options": _plain(options.sink_options)} if options.sink_options else {}),
            **({"realtime": True} if options.realtime else {}),
        },
        started=_now(),
    )


def _previous(out: Path, state: RunState, options: RunOptions) -> RunState | None:
    if options.overwrite:
        return None
    previous = RunState.load(out)
    if previous is not None:
        previous.check_same(state, out)
        return previous
    for name in EARLIER_FILES:
        if (out / name).exists():
            raise PerceptionError(f"{out / name} exists, but no run_state.json tells what made it; use --overwrite")
    return None


def _opener(options: RunOptions, graph: Graph) -> Callable[[str], DriveSource]:
    needs_pose = any(node.stage.needs.pose for node in graph.nodes)

    def open_source(uri: str) -> DriveSource:
        span = options.start, options.end, options.every
        source = open_drive(uri, options.mapping, options.calib, *span, options.trust, options.follow)
        wanted = needs_pose and options.mapping is None and options.follow is None
        if wanted and odometry_helps(source.info):
            return with_odometry(source)
        return source

    return open_source


def _sinks(
    entries: Sequence[Mapping[str, Any]], out: Path, options: RunOptions, names: Sequence[str] | None
) -> list[Sink]:
    return build_sinks(entries, out, names, options.copy_inputs, options.sink_options, options.dataset)


def _plain(options: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {sink: dict(keywords) for sink, keywords in options.items()}


def _write_report(out: Path, report: dict[str, Any], thumbnails: Sequence[tuple[str, np.ndarray]]) -> None:
    write_file(out / "report.json", json.dumps(json.loads(dump_json(report)), indent=1).encode())
    write_report_html(out / "report.html", report, thumbnails)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
