"""Times as data sets write them: in file names, in files of times, as dates."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from perception.errors import InputError

__all__ = ["TIME_FILES", "name_times", "nanoseconds", "natural_key", "read_time_list", "read_times", "split_seconds"]

TIME_FILES = ("timestamps.csv", "timestamps.txt")
_LATEST = 2**63 - 1
_UNITS = {10: 10**9, 13: 10**6, 16: 10**3, 19: 1}
"""Digits of a time since 1970 -> nanoseconds in its unit (s, ms, us, ns)."""


def name_times(names: list[str]) -> np.ndarray | None:
    """Times in the names of files: the last number of each, in seconds to nanoseconds by its number of digits.

    Returns:
        (N,) int64 nanoseconds, or None unless every name ends with a time since 1970 in one unit.
    """
    found = []
    for name in names:
        match = re.search(r"(\d+)(\.\d+)?(?:\.\D.*)?$", name)
        if match is None or len(match[1]) not in _UNITS:
            return None
        fraction = round(float(match[2]) * 1e9) if match[2] and len(match[1]) == 10 else 0
        found.append((len(match[1]), int(match[1]) * _UNITS[len(match[1])] + fraction))
    if len({digits for digits, _ in found}) != 1:
        return None
    return np.array([time for _, time in found], dtype=np.int64)


def split_seconds(digits: str) -> int | None:
    """Nanoseconds of a time written as ten digits of seconds and nanoseconds *without* leading zeros.

    ``16413342002809198`` is 1641334200 s and 2809198 ns. Sorting such names as text is wrong.
    """
    if not digits.isdecimal() or not 10 <= len(digits) <= 19:
        return None
    return int(digits[:10]) * 10**9 + int(digits[10:] or 0)


def read_time_list(path: Path) -> np.ndarray:
    """(N,) int64 nanoseconds of a file with a time in every line: seconds with a decimal point, or dates.

    Raises:
        InputError: The file is missing or a line is no time.
    """
    try:
        lines = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, "", "a time in every line", str(error)) from error
    times = [nanoseconds(line) for line in lines]
    if None in times:
        raise InputError(path, f"line {times.index(None) + 1}", "a time", repr(lines[times.index(None)]))
    return np.array(times, dtype=np.int64)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorting key of names in which 2 comes before 10."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]


def read_times(path: Path, files: list[Path]) -> tuple[list[Path], list[int]]:
    """Files of a folder and their times, in the order of the file of times.

    Each row is a time, or ``name,time``; see :func:`nanoseconds`. Named files are looked up among those of the folder,
    so a name cannot lead out of it; one that is not there stays in the list, for its frame to say so.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, "", "times as text", str(error)) from error
    rows = [re.split(r"[,;\t]\s*", line.strip()) for line in lines]
    rows = [row for row in rows if row != [""] and not row[0].startswith("#")]
    heading = rows.pop(0) if rows and nanoseconds(rows[0][-1], False) is None else []
    in_seconds = bool(heading) and heading[-1].strip().lower() in ("timestamp_s", "time_s", "seconds")
    times = []
    for number, row in enumerate(rows):
        time_ns = nanoseconds(row[-1], in_seconds)
        if time_ns is None:
            raise InputError(path, f"row {number + 1}", "a time, or name,time", ",".join(row))
        times.append(time_ns)
    if all(len(row) == 1 for row in rows):
        if len(times) != len(files):
            raise InputError(path, "", f"{len(files)} times, one for each file", str(len(times)))
        return files, times
    known = {file.name: file for file in files}
    outside = next((r[0] for r in rows if r[0] not in known and (Path(r[0]).name != r[0] or "\0" in r[0])), None)
    if outside is not None:
        raise InputError(path, "", "names of files in the same folder", repr(outside))
    return [known.get(row[0], path.parent / row[0]) for row in rows], times


def nanoseconds(text: str, in_seconds: bool = False) -> int | None:
    """A written time: seconds with a decimal point, else nanoseconds, or a date and time (UTC); None for other text."""
    text = text.strip()
    try:
        value = Decimal(text)
    except InvalidOperation:
        return _date(text)
    if not value.is_finite() or abs(value) > _LATEST:
        return None
    found = int(value * 10**9) if in_seconds or "." in text or "e" in text.lower() else int(value)
    return found if abs(found) <= _LATEST else None


def _date(text: str) -> int | None:
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z?", text)
    if match is None:
        return None
    moment = datetime.fromisoformat(f"{match[1]}T{match[2]}").replace(tzinfo=timezone.utc)
    return int(moment.timestamp()) * 10**9 + int((match[3] or "0").ljust(9, "0"))
