"""Worker processes that read mutated inputs, and what became of each."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from perception.errors import PerceptionError
from perception.fuzz.mutate import mutate

__all__ = ["Failure", "Outcome", "Reader", "fuzz"]

_PATIENCE = 10


@dataclass(frozen=True)
class Reader:
    """Something that reads files.

    Attributes:
        name: For reports.
        make: Writes valid inputs below a folder: each entry (file or folder) is one.
        read: Reads one input completely; refuses it with a ``PerceptionError``.
        files: Glob of the files to damage in inputs that are folders.
    """

    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], Any]
    files: str = "*"


@dataclass(frozen=True)
class Failure:
    """An input that was neither read nor refused: its number, what happened, and where."""

    number: int
    kind: str
    text: str


@dataclass
class Outcome:
    """What a reader made of its inputs."""

    reader: str
    read: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    stopped: bool = False
    failures: list[Failure] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        """Inputs so far."""
        return self.read + self.refused + len(self.failures)


def fuzz(
    reader: Reader,
    count: int,
    seed: int = 0,
    first: int = 0,
    jobs: int = 1,
    timeout_s: float = 20.0,
    memory: int = 1 << 30,
    keep: Path | None = None,
) -> Outcome:
    """Let a reader read ``count`` mutated inputs.

    Args:
        reader: What reads.
        count: Inputs.
        seed: With the number of an input it decides the mutation.
        first: Number of the first input.
        jobs: Worker processes.
        timeout_s: An input that takes more processor time, or ten times as long by the clock, is a failure of kind
            ``hang``; a machine that is busy with something else makes none.
        memory: Bytes a worker may allocate beyond what it has when it starts.
        keep: Folder for inputs that failed.

    Returns:
        Counts, and the failures: ``exception`` (other than ``PerceptionError``), ``memory``, ``crash`` or ``hang``.
        After Ctrl-C those so far, marked as ``stopped``.
    """
    outcome, began = Outcome(reader.name), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="perception-fuzz-") as scratch:
        seeds = Path(scratch) / "seeds"
        seeds.mkdir()
        reader.make(seeds)
        numbers = iter(range(first, first + count))
        workers = [_Worker(reader, Path(scratch), index, seed, memory) for index in range(jobs)]
        try:
            for worker in workers:
                worker.give(next(numbers, None))
            while busy := [worker for worker in workers if worker.number is not None]:
                wait([worker.connection for worker in busy], timeout=0.2)
                for worker in busy:
                    result = worker.result(timeout_s)
                    if result is not None:
                        _record(outcome, worker, result, keep)
                        worker.give(next(numbers, None))
        except KeyboardInterrupt:
            outcome.stopped = True
        finally:
            for worker in workers:
                worker.stop()
    outcome.seconds = time.perf_counter() - began
    outcome.failures.sort(key=lambda failure: failure.number)
    return outcome


def _record(outcome: Outcome, worker: _Worker, result: tuple[str, str], keep: Path | None) -> None:
    kind, text = result
    outcome.slowest_s = max(outcome.slowest_s, time.monotonic() - worker.began)
    if kind == "read":
        outcome.read += 1
    elif kind == "refused":
        outcome.refused += 1
    else:
        assert worker.number is not None
        outcome.failures.append(Failure(worker.number, kind, text))
        if keep is not None:
            target = keep / outcome.reader / str(worker.number)
            shutil.rmtree(target, ignore_errors=True)
            worker.folder.mkdir(parents=True, exist_ok=True)  # a process that died early has not made it
            shutil.copytree(worker.folder, target, dirs_exist_ok=True)


class _Worker:
    """One process; it is replaced when it dies."""

    def __init__(self, reader: Reader, scratch: Path, index: int, seed: int, memory: int) -> None:
        self._arguments = reader, scratch / "seeds", seed, memory
        self.folder = scratch / f"worker{index}"
        self.number: int | None = None
        self.began = self._spent_s = 0.0
        self._start()

    def _start(self) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        reader, seeds, seed, memory = self._arguments
        context = multiprocessing.get_context("fork")
        self._process = context.Process(
            target=_work, args=(theirs, self.connection, reader, seeds, self.folder, seed, memory), daemon=True
        )
        self._process.start()
        theirs.close()

    def give(self, number: int | None) -> None:
        """The next input; None: there is none."""
        self.number, self.began, self._spent_s = number, time.monotonic(), self._processor_s()
        if number is not None:
            self.connection.send(number)

    def result(self, timeout_s: float) -> tuple[str, str] | None:
        """What became of the input, None while it is being read."""
        try:
            if self.connection.poll():
                return self.connection.recv()
            spent_s, passed_s = self._processor_s() - self._spent_s, time.monotonic() - self.began
            if spent_s <= timeout_s and passed_s <= _PATIENCE * timeout_s:
                return None
            found = "hang", f"not done after {passed_s:.0f} s, {spent_s:.0f} s of them computing"
        except (EOFError, ConnectionError):
            self._process.join(5)
            code = self._process.exitcode or 0
            found = "crash", signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self.stop()
        self._start()
        return found

    def _processor_s(self) -> float:
        """Seconds the process has computed since it began."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it is gone; the connection tells
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def _work(
    connection: Connection, other: Connection, reader: Reader, seeds: Path, folder: Path, seed: int, memory: int
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends this one
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    other.close()  # else this end would never see that the main process is gone
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)  # libraries complain about damaged files on their own
    faulthandler.disable()
    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (size + memory, size + memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    tempfile.tempdir = None
    cv2.setNumThreads(1)  # inputs are tiny: handing them to threads costs more than reading them
    while True:
        try:
            number = connection.recv()
        except EOFError:
            return
        try:
            path = _input(reader, seeds, folder, seed, number)
            reader.read(path)
            connection.send(("read", ""))
        except PerceptionError as error:
            connection.send(("refused", str(error)[:200]))
        except MemoryError as error:
            connection.send(("memory", _where(error)))
        except BaseException as error:
            connection.send(("exception", _where(error)))


def _where(error: BaseException) -> str:
    """The exception and the last places it came through, innermost first."""
    frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    text = str(error).splitlines()[0][:100] if str(error) else ""
    return f"{type(error).__name__}: {text} ({' < '.join(frames[:-5:-1])})"


def _input(reader: Reader, seeds: Path, folder: Path, seed: int, number: int) -> Path:
    """The mutated input ``number``, written below ``folder``."""
    rng = np.random.default_rng([seed, zlib.crc32(reader.name.encode()), number])
    originals = sorted(seeds.iterdir())
    original = originals[int(rng.integers(len(originals)))]
    path = folder / original.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if original.is_dir():
        shutil.copytree(original, path)
        choices = list(_files(path, reader.files))
        damaged = choices[int(rng.integers(len(choices)))]
    else:
        shutil.copyfile(original, path)
        damaged = path
    damaged.write_bytes(mutate(damaged.read_bytes(), rng))
    return path


def _files(folder: Path, pattern: str) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob(pattern)) if file.is_file())
