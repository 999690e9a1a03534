"""ROS 2 bags: folders with ``metadata.yaml`` (sqlite3 or MCAP, split, zstd), bare ``.db3`` files."""

from __future__ import annotations

import dataclasses
import re
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import yaml
import zstandard

from perception.errors import InputError
from perception.sources.log import END_OF_TIME, ChainedLog, Channel, MessageLog, Record
from perception.sources.mcap_log import MCAP_MAGIC, McapLog
from perception.sources.wire import decoder_for, schema_name

__all__ = ["METADATA", "SQLITE_MAGIC", "Rosbag2Log", "SqliteLog", "bag_files", "is_bag"]

SQLITE_MAGIC = b"SQLite format 3\0"
METADATA = "metadata.yaml"
_SUFFIXES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
_PART = re.compile(r"_(\d{1,6})\.(?:mcap|db3)(?:\.zstd)?$")
_SAFE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where libyaml is built in
_LARGEST_OVERLAP_S = 1.0
_LARGEST_GAP_S = 60.0


class SqliteLog(MessageLog):
    """One ``.db3`` file of ROS 2, opened read-only. Type definitions are not needed, so bags of all distributions work.

    A file that is cut off is read in the order of its rows up to the first missing page.

    Raises:
        InputError: Not a readable database with the tables ``topics`` and ``messages``.
    """

    def __init__(self, path: Path, zstd_messages: bool = False, growing: bool = False) -> None:
        super().__init__(path)
        self._newest, self._growing = 0, growing
        self._zstd = zstd_messages
        immutable = "" if growing else "&immutable=1"  # without it sqlite looks for the journal of the recorder
        self._database = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro{immutable}", uri=True, check_same_thread=False
        )
        self._ids: dict[int, Channel] = {}
        self._by_time = False
        try:
            self._open()
        except (sqlite3.Error, ValueError, TypeError, AttributeError) as error:  # columns may hold anything
            self.close()
            raise InputError(path, "", "a rosbag2 database with the tables topics and messages", str(error)) from error

    def messages(self, topics: Collection[str], start_ns: int = 0, stop_ns: int = END_OF_TIME) -> Iterator[Record]:
        """See :meth:`MessageLog.messages`."""
        ids = [number for number, channel in self._ids.items() if channel.topic in topics]
        source, order = ("messages", "timestamp") if self._by_time else ("messages NOT INDEXED", "id")
        query = (
            f"SELECT topic_id, timestamp, data FROM {source} WHERE topic_id IN ({_marks(ids)}) "
            f"AND timestamp >= ? AND timestamp < ? {'AND id <= ?' if self._growing else ''} ORDER BY {order}"
        )
        last = (self._newest,) if self._growing else ()  # the rest comes from poll
        unpack = zstandard.ZstdDecompressor()
        try:
            with closing(self._database.execute(query, (*ids, start_ns, stop_ns, *last))) as rows:
                for number, log_ns, data in rows:
                    yield Record(self._ids[number], log_ns, unpack.decompress(data) if self._zstd else data)
        except (sqlite3.DatabaseError, zstandard.ZstdError) as error:
            self.damaged(f"reading stopped: {error}")

    def count_before(self, topic: str, log_ns: int) -> int:
        """See :meth:`MessageLog.count_before`."""
        if self.faults:
            return super().count_before(topic, log_ns)
        ids = [number for number, channel in self._ids.items() if channel.topic == topic]
        query = f"SELECT count(*) FROM messages WHERE topic_id IN ({_marks(ids)}) AND timestamp < ?"
        return int(self._database.execute(query, (*ids, log_ns)).fetchone()[0])

    def poll(self, topics: Collection[str]) -> Iterator[Record]:
        """See :meth:`MessageLog.poll`."""
        ids = [number for number, channel in self._ids.items() if channel.topic in topics]
        columns, wanted = "id, topic_id, timestamp, data", f"topic_id IN ({_marks(ids)})"
        query = f"SELECT {columns} FROM messages WHERE {wanted} AND id > ? ORDER BY id"
        unpack = zstandard.ZstdDecompressor()
        try:
            for row, number, log_ns, data in self._database.execute(query, (*ids, self._newest)).fetchall():
                self._newest = row
                yield Record(self._ids[number], log_ns, unpack.decompress(data) if self._zstd else data)
        except sqlite3.OperationalError:
            return  # the recorder holds the file; the next call reads on

    def times(self) -> dict[str, np.ndarray]:
        """See :meth:`MessageLog.times`; messages are not read."""
        if self.faults:
            return super().times()
        found: dict[str, list[int]] = {topic: [] for topic in self.channels}
        for number, time in self._database.execute("SELECT topic_id, timestamp FROM messages ORDER BY timestamp"):
            if number in self._ids:
                found[self._ids[number].topic].append(time)
        return {topic: np.array(times, dtype=np.int64) for topic, times in found.items()}

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _open(self) -> None:
        topics = "SELECT id, name, type, serialization_format FROM topics"
        try:
            rows = self._database.execute(topics).fetchall()
        except sqlite3.DatabaseError as error:
            self._database.execute("PRAGMA writable_schema = ON")  # lets sqlite read a file shorter than it says
            rows = self._database.execute(topics).fetchall()
            self.damaged(f"cut off or damaged: {error}")
        indexes = self._database.execute("SELECT sql FROM sqlite_master WHERE type = 'index'").fetchall()
        # without an index on the time sqlite would sort all messages, with their data, in memory
        if self._growing:
            self._newest = self._database.execute("SELECT max(id) FROM messages").fetchone()[0] or 0
        self._by_time = not self.faults and any("timestamp" in str(sql) for (sql,) in indexes)
        counts = self._survey()
        for number, topic, kind, encoding in rows:
            schema = schema_name(kind)
            channel = Channel(topic, schema, encoding, counts[number], decoder_for(encoding, schema))
            self._ids[number] = channel
            before = self.channels[topic].count if topic in self.channels else 0
            self.channels[topic] = dataclasses.replace(channel, count=before + channel.count)

    def _survey(self) -> Counter[int]:
        """Messages by topic id; also finds the first and last time."""
        counts: Counter[int] = Counter()
        times: list[int] = []
        try:
            query = "SELECT topic_id, count(*), min(timestamp), max(timestamp) FROM messages GROUP BY topic_id"
            rows = self._database.execute(query).fetchall()
            if not all(isinstance(value, int) for row in rows for value in row):  # columns may hold anything
                self.damaged("messages whose topic or time is no number are left out")
                rows = self._read_rows()
        except sqlite3.DatabaseError as error:
            self.damaged(f"cut off or damaged: {error}")
            self._by_time, rows = False, self._read_rows()
        for number, count, first, last in rows:
            counts[number] += count
            times += [first, last]
        self.start_ns, self.end_ns = min(times, default=0), max(times, default=0)
        return counts

    def _read_rows(self) -> list[tuple[int, int, int, int]]:
        """Count the readable rows of a damaged table, as (topic id, count, first time, last time)."""
        found: dict[int, tuple[int, int, int]] = {}
        try:
            for number, time in self._database.execute("SELECT topic_id, timestamp FROM messages NOT INDEXED"):
                if not isinstance(number, int) or not isinstance(time, int):
                    continue
                count, first, last = found.get(number, (0, time, time))
                found[number] = count + 1, min(first, time), max(last, time)
        except sqlite3.DatabaseError as error:
            self.damaged(f"reading stopped: {error}")
        return [(number, *summary) for number, summary in found.items()]


class Rosbag2Log(ChainedLog):
    """A bag folder. Files that ``metadata.yaml`` names and the folder lacks are recorded as faults.

    File-compressed bags (``.zstd``) are decompressed into a temporary folder, removed on :meth:`close`.

    Raises:
        InputError: No metadata and no storage files, a metadata file that is no rosbag2 metadata, or no readable file.
    """

    def __init__(self, path: Path, growing: bool = False) -> None:
        files, missing, mode = bag_files(path)
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        parts: list[MessageLog] = []
        errors: list[InputError] = []
        for file in files:
            try:
                parts.append(_open_part(self._plain(file), mode == "message", growing))
            except InputError as error:
                errors.append(error)
        if not parts:
            self.close_scratch()
            found = str(errors[0]) if errors else f"none of {', '.join(missing)}"
            raise InputError(path, "", "readable bag files (.mcap or .db3)", found)
        super().__init__(path, parts)
        self._known = {file.name for file in files}
        if not (path / METADATA).is_file():
            self._check_one_recording()
        for name in missing:
            self.damaged(f"{name} is named in metadata.yaml and does not exist")
        for unreadable in errors:
            self.damaged(str(unreadable))
        for part in parts:
            self.faults.extend(part.faults)

    def poll(self, topics: Collection[str]) -> Iterator[Record]:
        """See :meth:`MessageLog.poll`; files that the recorder begins meanwhile are read on.

        The recorder writes ``metadata.yaml`` when it is done; until then more files may come.
        """
        complete = (self.path / METADATA).is_file()
        yield from super().poll(topics)
        for part in self._begun_parts():
            self.parts.append(part)
            self.end_ns = max(self.end_ns, part.end_ns)
            yield from part.messages(topics)
        self.finished = complete and all(part.finished for part in self.parts)

    def _begun_parts(self) -> Iterator[MessageLog]:
        for file in bag_files(self.path)[0]:
            if file.name not in self._known and file.suffix != ".zstd":
                try:
                    part = _open_part(file, False, growing=True)
                except InputError:
                    continue  # its head is not written yet; the next call tries again
                self._known.add(file.name)
                yield part

    def _check_one_recording(self) -> None:
        """Refuse files that are no parts of one recording; no metadata says that they are."""
        filled = [part for part in self.parts if part.end_ns]
        for before, behind in pairwise(filled):
            gap_s = (behind.start_ns - before.end_ns) * 1e-9
            lost = _number(behind.path.name) - _number(before.path.name) - 1
            if gap_s >= -_LARGEST_OVERLAP_S and (gap_s <= _LARGEST_GAP_S or lost > 0):
                if lost > 0:
                    self.damaged(f"{before.path.name} is followed by {behind.path.name}: {lost} missing")
                continue
            self.close()
            names = f"{before.path.name} and {behind.path.name}"
            how = f"overlap by {-gap_s:.1f} s" if gap_s < 0 else f"lie {gap_s:.0f} s apart"
            raise InputError(
                self.path,
                "",
                "the parts of one recording (no metadata.yaml names them)",
                f"{names}, which {how}: give each file as a drive of its own, or write the metadata with "
                "`ros2 bag reindex`",
            )

    def close(self) -> None:
        """Close all files and remove the temporary folder."""
        super().close()
        self.close_scratch()

    def close_scratch(self) -> None:
        """Remove the temporary folder of decompressed files, if there is one."""
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def _plain(self, file: Path) -> Path:
        if file.suffix != ".zstd":
            return file
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="perception-")
        target = Path(self._scratch.name) / file.stem
        try:
            with file.open("rb") as packed, target.open("wb") as out:
                shutil.copyfileobj(zstandard.ZstdDecompressor().stream_reader(packed), out)
        except zstandard.ZstdError as error:
            raise InputError(file, "", "a zstd file", str(error)) from error
        return target


def bag_files(folder: Path) -> tuple[list[Path], list[str], str]:
    """Storage files of a bag folder, names of missing ones, and the compression mode ("", "file" or "message").

    Only the last part of the names in ``metadata.yaml`` is used: a bag cannot point outside its folder.
    """
    metadata = folder / METADATA
    if not metadata.is_file():
        return sorted(f for f in folder.iterdir() if f.name.endswith(_SUFFIXES)), [], ""
    try:
        content: Any = yaml.load(metadata.read_text(), _SAFE)
        info = content["rosbag2_bagfile_information"]
        names = [PurePath(str(name)).name for name in info["relative_file_paths"]]
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise InputError(metadata, "", "rosbag2_bagfile_information with relative_file_paths", repr(error)) from error
    mode = str(info.get("compression_mode") or "").lower()
    files = [folder / name for name in names if (folder / name).is_file()]
    return files, [name for name in names if not (folder / name).is_file()], mode


def is_bag(folder: Path) -> bool:
    """True for a folder of bag files that are named as the parts of one recording: alike, up to a number at the end."""
    files = bag_files(folder)[0]
    return bool(files) and len({_PART.sub("", file.name) for file in files}) == 1


def _number(name: str) -> int:
    found = _PART.search(name)
    return int(found[1]) if found else 0


def _marks(ids: list[int]) -> str:
    return ",".join("?" * len(ids))


def _open_part(file: Path, zstd_messages: bool, growing: bool = False) -> MessageLog:
    with file.open("rb") as stream:
        head = stream.read(16)
    if head.startswith(MCAP_MAGIC):
        return McapLog(file, growing)
    if head == SQLITE_MAGIC:
        return SqliteLog(file, zstd_messages, growing)
    raise InputError(file, "", "an MCAP or sqlite3 bag file", f"{len(head)} other first bytes")
