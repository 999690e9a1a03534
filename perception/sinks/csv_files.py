"""Results as CSV tables for spreadsheets."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from perception.registry import SINKS
from perception.sinks.base import Sink
from perception.sinks.items import count_of, finite, items_of
from perception.sinks.storage import storage_errors
from perception.structures import Fault, Frame, Result

__all__ = ["CSV_COLUMNS", "CsvSink"]

_KEY = ("position", "index", "timestamp_ns")
CSV_COLUMNS = {
    "points": (*_KEY, "stage", "item", "point", "x", "y", "z"),
    "items": (
        *(*_KEY, "stage", "kind", "item", "label", "frame_id", "score", "x", "y", "z", "length", "width", "height"),
        *("yaw", "vx", "vy", "track_id", "value", "points"),
    ),
    "frames": (*_KEY, "stages", "faults", "ego_x", "ego_y", "ego_z"),
}
"""Table -> its columns; ``position`` counts the frames of the run from 0, ``frames`` has a row for each of them."""


@SINKS.register_module()
class CsvSink(Sink):
    """``csv/frames.csv`` (a row a frame), ``csv/items.csv`` (a row a thing found), ``csv/points.csv`` (of lines).

    Columns are in :data:`CSV_COLUMNS`, their meaning is that of :class:`perception.sinks.items.Item`; what does not
    apply or is not finite stays empty. ``stages`` counts what each stage found (``lanes=4 signs=0``), ``faults`` lists
    ``where: kind`` with semicolons. The row of a frame is written last, so a torn frame is one without it.

    Args:
        out: Folder of the run.
        points: Also write the points of lines, by far the longest table.
    """

    def __init__(self, out: str | Path, points: bool = True) -> None:
        super().__init__(out)
        self.folder = self.out / "csv"
        self._tables = [name for name in CSV_COLUMNS if points or name != "points"]
        self._files: dict[str, IO[bytes]] = {}
        self._count = 0

    def append(
        self, frame: Frame, results: Mapping[str, Result], faults: Sequence[Fault], timings_ms: Mapping[str, float]
    ) -> None:
        """Write the rows of one frame."""
        key = (self._count, frame.index, frame.timestamp_ns)
        rows: dict[str, list[Sequence[Any]]] = {name: [] for name in CSV_COLUMNS}
        for stage, result in results.items():
            _add_items(rows, key, stage, result)
        found = " ".join(f"{stage}={count_of(result):g}" for stage, result in results.items())
        wrong = "; ".join(f"{fault.where}: {fault.kind}" for fault in faults)
        pose = [None] * 3 if frame.ego_pose is None else frame.ego_pose[:3, 3].tolist()
        rows["frames"].append([*key, found, wrong, *map(_cell, pose)])
        for name in self._tables:
            with storage_errors(self.folder):
                self._files[name].write(_encoded(rows[name]))
                self._files[name].flush()
        self._count += 1

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            with storage_errors(self.folder):
                file.close()
        self._files = {}

    def abort(self) -> None:
        """Close the files, whatever they hold."""
        for file in self._files.values():
            with suppress(OSError):
                file.close()
        self._files = {}

    def _keep(self, limit: int | None) -> int:
        frames = sum(1 for _ in _positions(self._path("frames")))
        self._count = frames if limit is None else min(frames, limit)
        with storage_errors(self.folder):
            for name in CSV_COLUMNS:
                path = self._path(name)
                if self._count and name in self._tables and path.exists():
                    ends = [end for position, end in _positions(path) if position < self._count]
                    os.truncate(path, ends[-1] if ends else len(_encoded([CSV_COLUMNS[name]])))
                else:
                    path.unlink(missing_ok=True)
        return self._count

    def _start(self) -> None:
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in self._tables:
                self._files[name] = open(self._path(name), "ab")  # noqa: SIM115 - closed by close() and abort()
                if not self._files[name].tell():
                    self._files[name].write(_encoded([CSV_COLUMNS[name]]))
                    self._files[name].flush()

    def _path(self, table: str) -> Path:
        return self.folder / f"{table}.csv"


def _add_items(rows: dict[str, list[Sequence[Any]]], key: tuple[int, ...], stage: str, result: Result) -> None:
    for number, item in enumerate(items_of(result)):
        sizes = [*map(_cell, item.size), None, None, None][:3]
        places = [*map(_cell, item.position), None, None, None][:3]
        speeds = [*map(_cell, item.velocity), None, None][:2]
        row = [*key, stage, result.KIND, number, item.label, item.frame_id, _cell(item.score), *places, *sizes]
        rows["items"].append([*row, _cell(item.yaw), *speeds, item.track_id, _cell(item.value), len(item.points)])
        for i, point in enumerate(item.points.tolist()):
            rows["points"].append([*key, stage, number, i, *[*map(_cell, point), None][:3]])


def _cell(value: float | None) -> float | None:
    number = finite(value)
    return None if number is None else round(number, 4)


def _encoded(rows: Sequence[Sequence[Any]]) -> bytes:
    """Rows of text, each on one line whatever the names in it hold."""
    text = io.StringIO()
    plain = ([" ".join(cell.splitlines()) if isinstance(cell, str) else cell for cell in row] for row in rows)
    csv.writer(text, lineterminator="\n").writerows(plain)
    return text.getvalue().encode()


def _positions(path: Path) -> Iterator[tuple[int, int]]:
    """(position, byte offset of the end) of each whole row; a row never contains a line break of its own here."""
    if not path.exists():
        return
    with storage_errors(path), open(path, "rb") as file:
        end = len(file.readline())
        for line in file:
            end += len(line)
            position = line.split(b",", 1)[0]
            if not line.endswith(b"\n") or not position.isdigit():
                return
            yield int(position), end
