"""Several drives through one pipeline, in several processes."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from perception.errors import PerceptionError

__all__ = ["DriveJob", "Outcome", "output_folders", "run_job", "run_jobs_in_processes"]

_HEARD_S, _GRACE_S = 2.0, 20.0


@dataclass(frozen=True)
class DriveJob:
    """One drive to run; picklable.

    Attributes:
        drive: Path or URI.
        out: Folder of its run.
        config: Pipeline config by name or path.
        changes: Dotted key -> value, on top of the config.
        options: :class:`perception.runtime.runner.RunOptions`.
        device: Device of all stages, or None.
        weights: Stage -> weights file.
        threads: Threads torch may use; 0 leaves it alone.
    """

    drive: str
    out: Path
    config: str
    options: Any
    changes: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None
    weights: Mapping[str, str] = field(default_factory=dict)
    threads: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a drive ended: 0 done, 1 stopped by ``--strict``, 2 could not be run or was killed, 130 interrupted."""

    job: DriveJob
    code: int
    message: str = ""


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


def run_job(job: DriveJob, say: Callable[[str], None] | None, graph: Any) -> Outcome:
    """Run one drive in this process.

    Args:
        job: What to run.
        say: Gets each line of progress; None shows it on standard error.
        graph: The built stages of its pipeline.
    """
    from perception.engine.config import load_config
    from perception.runtime.config import parse_pipeline
    from perception.runtime.runner import StrictStop, run_drive

    try:
        pipeline = parse_pipeline(load_config(job.config, job.changes), job.config)
        stream: Any = None if say is None else _Lines(say)
        run_drive(job.drive, job.out, pipeline, graph, job.options, stream=stream)
    except StrictStop as stop:
        return Outcome(job, 1, str(stop))
    except (PerceptionError, OSError) as error:
        return Outcome(job, 2, str(error))
    except KeyboardInterrupt:
        return Outcome(job, 130, "interrupted")
    return Outcome(job, 0)


def run_jobs_in_processes(
    jobs: Sequence[DriveJob],
    workers: int,
    say: Callable[[DriveJob, str], None],
    body: Callable[[Any], None] | None = None,
) -> Iterator[Outcome]:
    """Run drives in ``workers`` processes, which build the stages once each; gives each outcome as it ends.

    A process that dies takes its drive with it and no other: another process takes its place, and the drive can be
    continued. Processes end with this one.

    Args:
        jobs: Drives of one pipeline.
        workers: Processes at most.
        say: Gets each line of progress of each drive.
        body: What a process does with its end of the pipe, importable by name; by default it runs drives.

    Raises:
        KeyboardInterrupt: Passed on when all processes have stored what they had.
    """
    context = multiprocessing.get_context("spawn")
    waiting = list(jobs)
    idle: list[tuple[Any, Any]] = []
    busy: dict[Any, tuple[DriveJob, Any]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                free, process = idle.pop() if idle else _start(context, body or _work)
                busy[free] = (waiting.pop(0), process)
                free.send(busy[free][0])
            for ready in wait(list(busy)):
                pipe: Any = ready
                job, process = busy[pipe]
                try:
                    kind, content = pipe.recv()
                except (EOFError, OSError):
                    process.join()
                    del busy[pipe]
                    yield Outcome(job, 2, _death(process.exitcode))
                    continue
                if kind == "line":
                    say(job, content)
                else:
                    idle.append((pipe, busy.pop(pipe)[1]))
                    yield Outcome(job, *content)
    finally:
        for free, _ in idle:
            free.close()
        _stop([process for _, process in [*busy.values(), *idle]])


def _start(context: Any, body: Callable[[Any], None]) -> tuple[Any, Any]:
    pipe, other = context.Pipe()
    process = context.Process(target=body, args=(other,))
    process.start()
    other.close()
    return pipe, process


def _work(pipe: Connection) -> None:
    """Body of a process: drives until the pipe is closed; the stages stay."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    graph: Any = None
    while True:
        try:
            job = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            graph = graph or _build(job)
            outcome = run_job(job, lambda line: pipe.send(("line", line)), graph)
        except KeyboardInterrupt:
            outcome = Outcome(job, 130, "interrupted")
        except PerceptionError as error:
            outcome = Outcome(job, 2, str(error))
        except Exception as error:
            outcome = Outcome(job, 2, f"{type(error).__name__}: {error}")
        pipe.send(("end", (outcome.code, outcome.message)))


def _build(job: DriveJob) -> Any:
    from perception.engine.config import load_config
    from perception.runtime.config import parse_pipeline
    from perception.runtime.graph import build_graph

    if job.threads:
        import torch

        torch.set_num_threads(job.threads)
    return build_graph(parse_pipeline(load_config(job.config, job.changes), job.config), job.device, job.weights)


def _die_with_parent() -> None:
    """A run nobody waits for any more would be in the way of the one that continues it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"its process was ended by {name}{hint}; the same command continues it"
    return f"its process ended with code {code}; the same command continues it"


def _stop(processes: Sequence[Any]) -> None:
    """Let processes store what they have (Ctrl-C in a terminal reached them too), then end those that do not."""
    _join(processes, _HEARD_S)
    for process in processes:
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGINT)
    _join(processes, _GRACE_S)
    for process in processes:
        if process.is_alive():
            process.kill()
            process.join()


def _join(processes: Sequence[Any], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))


class _Lines:
    """The part of a text stream that progress needs; hands on whole lines."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._rest = say, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._say(line)
        return len(text)

    def flush(self) -> None:
        """Lines are handed on at once."""

    def isatty(self) -> bool:
        """A bar for each of several drives would be too much."""
        return False
