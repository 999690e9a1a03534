"""Checks, indices and statistics of datasets on disk: resumable, in parallel, for every plugin alike.

A plugin lists :class:`DatasetTool` objects in ``PluginSpec.datasets``; a tool only says which records there are, which
files a record is made of, and what one record holds. What has been examined is remembered in a file of the cache folder
under a key that hashes the tool, and for each record the names, sizes and times of its files: a second call, or one
after an interruption, examines only what is new or changed.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from perception import plugin
from perception.errors import InputError, UnknownNameError
from perception.jobs import run_jobs
from perception.sinks.storage import write_file

__all__ = ["DatasetTool", "Examined", "Finding", "Report", "examine", "find_tool", "tools", "write_index"]

CORE = {"openlanev2": "perception.datasets.openlanev2.tool:OpenLaneV2Tool"}
"""Datasets that several plugins read, by name; plugins bring the others."""
FORMAT = 1
"""Version of the cache and index files."""


class Finding(NamedTuple):
    """One thing that is wrong with a record.

    Attributes:
        where: File, with line or part: ``labels.jsonl line 3, lane 1``.
        expected: What should be there.
        found: What is there.
        fatal: Training or scoring cannot read it; otherwise it can, but it is probably a mistake.
    """

    where: str
    expected: str
    found: str
    fatal: bool = True


class Examined(NamedTuple):
    """What one record holds.

    Attributes:
        findings: What is wrong with it.
        facts: Numbers and texts for statistics and the index, json-able.
    """

    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, Any] = {}


class DatasetTool(ABC):
    """What ``perception data`` needs to know of a dataset; instances must be picklable.

    Attributes:
        name: As typed on the command line.
        expected_tree: Files that should be there, a line each, for messages.
        version: Raised when `examine` changes, so that old caches are not used.
    """

    name: str
    expected_tree: str
    version: int = 1

    @abstractmethod
    def records(self, root: Path) -> Sequence[str]:
        """Names of all records, in order; a name tells `examine` where to look.

        Raises:
            InputError: The list of records is missing or broken.
        """

    @abstractmethod
    def files(self, root: Path, record: str) -> Sequence[Path]:
        """Files that a record is made of, existing or not."""

    @abstractmethod
    def examine(self, root: Path, record: str) -> Examined:
        """Read one record; problems are findings, never exceptions."""

    def write_index(self, root: Path, out: Path, workers: int) -> Iterator[str]:
        """Write an index of the dataset's own kind; yields lines of progress, the last says where it is.

        Raises:
            NotImplementedError: The dataset has none; facts of the records are written then.
        """
        raise NotImplementedError

    def draw(self, root: Path, record: str) -> np.ndarray:
        """A picture of one record with its truth, (H, W, 3) uint8 RGB.

        Raises:
            NotImplementedError: The dataset cannot be drawn.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Report:
    """Outcome of :func:`examine`.

    Attributes:
        dataset: Name of the tool.
        root: Folder.
        records: Record -> what it holds, in order.
        reused: Records that were taken from the cache.
    """

    dataset: str
    root: Path
    records: Mapping[str, Examined] = field(default_factory=dict)
    reused: int = 0

    @property
    def findings(self) -> list[Finding]:
        """All findings in the order of the records."""
        return [finding for record in self.records.values() for finding in record.findings]

    def stats(self) -> dict[str, dict[str, Any]]:
        """Of every numeric fact count, least, mean and largest; of every text how often each value occurs."""
        values: dict[str, list[Any]] = {}
        for record in self.records.values():
            for name, value in record.facts.items():
                values.setdefault(name, []).append(value)
        return {name: _summary(column) for name, column in sorted(values.items())}


def tools() -> dict[str, DatasetTool]:
    """The dataset tools of the core and of all plugins by name."""
    found: dict[str, DatasetTool] = {}
    for targets in (CORE, *(spec.datasets for spec in plugin.discover().specs.values())):
        for name, target in targets.items():
            module, attribute = target.split(":")
            made = getattr(importlib.import_module(module), attribute)
            found[name] = made() if isinstance(made, type) else made
    return found


def find_tool(name: str) -> DatasetTool:
    """The tool of that name.

    Raises:
        UnknownNameError: No plugin has it; suggests close matches.
    """
    known = tools()
    if name not in known:
        raise UnknownNameError("dataset", name, known)
    return known[name]


def cache_folder() -> Path:
    """``PERCEPTION_CACHE``, else ``perception`` in the user's cache folder."""
    given = os.environ.get("PERCEPTION_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "perception"


def examine(tool: DatasetTool, root: str | Path, workers: int = 1, cache: Path | None = None) -> Iterator[Report]:
    """Examine all records; yields a report after each block of records, the complete one last.

    Args:
        tool: Of the dataset.
        root: Its folder.
        workers: Processes.
        cache: Folder of remembered results; :func:`cache_folder` when None.

    Raises:
        InputError: There is no such folder, or no list of records.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(root, "", f"a folder with\n{tool.expected_tree.rstrip()}", "no folder")
    names = list(tool.records(root))
    path = (cache or cache_folder()) / "datasets" / f"{_digest(tool.name, tool.version, FORMAT, root.resolve())}.jsonl"
    known, keys = _remembered(path), {name: _key(tool, root, name) for name in names}
    done = {name: known[keys[name]] for name in names if keys[name] in known}
    reused, todo = len(done), [name for name in names if name not in done]
    yield Report(tool.name, root, dict(done), reused)
    block = 256 * max(workers, 1)
    for first in range(0, len(todo), block):
        part = todo[first : first + block]
        jobs = [(tool, root, name) for name in part]
        fresh = dict(zip(part, run_jobs(_examine_one, jobs, workers)))
        _remember(path, {keys[name]: result for name, result in fresh.items()})
        done |= fresh
        yield Report(tool.name, root, {name: done[name] for name in names if name in done}, reused)


def write_index(report: Report, path: str | Path) -> None:
    """Write what the records hold as one JSON file: ``{"format", "dataset", "records": {name: facts}}``."""
    records = {name: dict(record.facts) for name, record in report.records.items()}
    content = {"format": FORMAT, "dataset": report.dataset, "records": records}
    write_file(Path(path), json.dumps(content, indent=1).encode())


def _examine_one(job: tuple[DatasetTool, Path, str]) -> Examined:
    tool, root, name = job
    return tool.examine(root, name)


def _key(tool: DatasetTool, root: Path, record: str) -> str:
    stats = []
    for path in tool.files(root, record):
        try:
            stat = path.stat()
            stats.append((str(path), stat.st_size, stat.st_mtime_ns))
        except OSError:
            stats.append((str(path), -1, -1))
    return _digest(record, *stats)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _remembered(path: Path) -> dict[str, Examined]:
    """Cached results by key; a last line that was cut off is passed over."""
    found: dict[str, Examined] = {}
    if not path.is_file():
        return found
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
            found[row["key"]] = Examined(tuple(Finding(**item) for item in row["findings"]), row["facts"])
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _remember(path: Path, results: Mapping[str, Examined]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        for key, result in results.items():
            row = {"key": key, "findings": [item._asdict() for item in result.findings], "facts": dict(result.facts)}
            file.write(json.dumps(row) + "\n")


def _summary(column: list[Any]) -> dict[str, Any]:
    numbers = [value for value in column if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) == len(column):
        return {"count": len(numbers), "min": min(numbers), "mean": sum(numbers) / len(numbers), "max": max(numbers)}
    counts: dict[str, int] = {}
    for value in column:
        counts[str(value)] = counts.get(str(value), 0) + 1
    return {"count": len(column), "values": dict(sorted(counts.items(), key=lambda item: -item[1])[:20])}


def to_dict(report: Report) -> dict[str, Any]:
    """A report as plain data: counts, findings and statistics."""
    findings = [finding._asdict() for finding in report.findings]
    return {
        "dataset": report.dataset,
        "root": str(report.root),
        "records": len(report.records),
        "findings": findings,
    } | {"stats": report.stats()}
