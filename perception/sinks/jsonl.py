"""Results as json lines."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any

from perception.registry import SINKS
from perception.sinks.base import Sink
from perception.sinks.storage import dump_json, storage_errors
from perception.structures import Fault, Frame, Result

__all__ = ["JsonLinesSink", "read_json_lines"]


@SINKS.register_module()
class JsonLinesSink(Sink):
    """``results.jsonl`` and ``timings.jsonl``, a line a frame, each handed to the operating system at once.

    A line of results is ``{"index", "timestamp_ns", "results": {stage: Result.to_dict()}, "faults": [...]}``; it
    depends on the input only, so the files of two runs can be compared byte by byte. What varies from run to run is in
    the lines of timings: ``{"index", "ms": {stage: milliseconds}}``.

    Args:
        out: Folder of the run.
    """

    def __init__(self, out: str | Path) -> None:
        super().__init__(out)
        self.paths = (self.out / "results.jsonl", self.out / "timings.jsonl")
        self._files: list[IO[bytes]] = []

    def append(
        self, frame: Frame, results: Mapping[str, Result], faults: Sequence[Fault], timings_ms: Mapping[str, float]
    ) -> None:
        """Write one line to each file."""
        record = {
            "index": frame.index,
            "timestamp_ns": frame.timestamp_ns,
            "results": {stage: result.to_dict() for stage, result in results.items()},
            "faults": [fault.to_dict() for fault in faults],
        }
        timing = {"index": frame.index, "ms": {stage: round(value, 3) for stage, value in timings_ms.items()}}
        for path, file, line in zip(self.paths, self._files, (record, timing)):
            with storage_errors(path):
                file.write(dump_json(line).encode() + b"\n")
                file.flush()

    def close(self) -> None:
        """Close the files."""
        for path, file in zip(self.paths, self._files):
            with storage_errors(path):
                file.close()
        self._files = []

    def abort(self) -> None:
        """Close the files, whatever they hold."""
        for file in self._files:
            with suppress(OSError):
                file.close()
        self._files = []

    def _keep(self, limit: int | None) -> int:
        ends = [_line_ends(path) for path in self.paths]
        count = min(len(found) for found in ends)
        count = count if limit is None else min(count, limit)
        for path, found in zip(self.paths, ends):
            if path.exists():
                with storage_errors(path):
                    os.truncate(path, found[count - 1] if count else 0)
        return count

    def _start(self) -> None:
        for path in self.paths:
            with storage_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._files.append(open(path, "ab"))  # noqa: SIM115 - closed by close() and abort()


def read_json_lines(path: str | Path, start: int = 0) -> list[dict[str, Any]]:
    """Read all whole lines of a file of :class:`JsonLinesSink` from line ``start``; a torn last line is left out."""
    count = len(_line_ends(Path(path)))
    with open(path, "rb") as file:
        return [json.loads(line) for line in islice(file, start, count)]


def _line_ends(path: Path) -> list[int]:
    """Byte offsets after each whole json line; reading stops at the first line that is none."""
    ends: list[int] = []
    if not path.exists():
        return ends
    with storage_errors(path), open(path, "rb") as file:
        position = 0
        for line in file:
            position += len(line)
            if not line.endswith(b"\n"):
                break
            try:
                json.loads(line)
            except ValueError:
                break
            ends.append(position)
    return ends
