"""Finding golden cases below a folder and running them with the plugin that knows their family."""

from __future__ import annotations

import fnmatch
import importlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from perception import plugin
from perception.errors import InputError, PerceptionError
from perception.parity import core_runners
from perception.parity.case import GoldenCase, UncoveredError, expand, read_json
from perception.parity.comparison import ParityRow

Runner = Callable[[GoldenCase], Iterable[ParityRow]]
Runners = str | Runner | Sequence[str | Runner]

OK, MISS, UNCOVERED, UNREADABLE = "ok", "miss", "uncovered", "unreadable"


@dataclass(frozen=True)
class CaseResult:
    """What became of one case.

    Attributes:
        case: Folder of its manifest below the searched one, and its name.
        family: Family of its manifest, empty when that could not be read.
        kind: Kind of case.
        status: ``ok``, ``miss``, ``uncovered`` (no runner) or ``unreadable``.
        rows: The compared tensors.
        note: Why it is not ok.
    """

    case: str
    family: str
    kind: str
    status: str
    rows: tuple[ParityRow, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Found:
    """A case, or the manifest that could not be read (``problem``)."""

    label: str
    case: GoldenCase | None
    problem: str = ""


def find(root: Path) -> list[Found]:
    """Find the cases of every ``manifest.json`` below ``root`` that has a ``family``; others belong to somebody else.

    Raises:
        InputError: ``root`` is no folder.
    """
    if not root.is_dir():
        raise InputError(root, "", "a folder with golden data", "a file" if root.exists() else "nothing")
    found: list[Found] = []
    for path in sorted(root.rglob("manifest.json")):
        place = path.parent.relative_to(root).as_posix()
        prefix = "" if place == "." else f"{place}/"
        try:
            manifest = read_json(path)
            if not isinstance(manifest, Mapping) or "family" not in manifest:
                continue
            if not isinstance(manifest["family"], str):
                raise InputError(path, "family", "a string", repr(manifest["family"]))
            found += [Found(f"{prefix}{case.name}", case) for case in expand(path.parent, manifest)]
        except InputError as error:
            found.append(Found(f"{prefix}manifest.json", None, str(error)))
    return found


def plugin_runners() -> dict[str, tuple[str, ...]]:
    """Return family -> every ``"module:function"`` that the installed plugins declare for it, by name of the plugin."""
    table: dict[str, tuple[str, ...]] = {}
    for spec in plugin.discover().specs.values():
        for family, target in spec.parity.items():
            table[family] = (*table.get(family, ()), target)
    return table


def known_runners() -> dict[str, tuple[str, ...]]:
    """Return family -> its runners, of the core and of the plugins, which win where both know a family."""
    return {**{family: (target,) for family, target in core_runners.RUNNERS.items()}, **plugin_runners()}


def run(root: Path, only: str | None = None, runners: Mapping[str, Runners] | None = None) -> Iterator[CaseResult]:
    """Run the cases below a folder.

    Args:
        root: Folder to search.
        only: Glob; runs only cases whose name, label (folder and name) or ``family/name`` matches.
        runners: Family -> function or ``"module:function"``, or several of them, of which each runs the cases it
            knows; None asks the core and the plugins.

    Yields:
        One result a case, as soon as it is known.

    Raises:
        InputError: ``root`` is no folder.
    """
    table = known_runners() if runners is None else runners
    for found in find(root):
        names = [found.label]
        if found.case is not None:
            names += [found.case.name, f"{found.case.family}/{found.case.name}"]
        if only is None or any(fnmatch.fnmatchcase(name, only) for name in names):
            yield _run_found(found, table)


def _run_found(found: Found, table: Mapping[str, Runners]) -> CaseResult:
    case = found.case
    if case is None:
        return CaseResult(found.label, "", "", UNREADABLE, note=found.problem)
    runners = table.get(case.family, ())
    if isinstance(runners, str) or callable(runners):
        runners = (runners,)
    outcomes = [_run_one(found.label, case, runner) for runner in runners]
    known = [outcome for outcome in outcomes if outcome.status != UNCOVERED]
    if known:
        return _merged(known)
    note = "; ".join(outcome.note for outcome in outcomes) or f"nobody declares the family {case.family!r}"
    return CaseResult(found.label, case.family, case.kind, UNCOVERED, _rows(outcomes), note)


def _run_one(label: str, case: GoldenCase, runner: str | Runner) -> CaseResult:
    family, kind = case.family, case.kind
    rows: list[ParityRow] = []
    try:
        for row in _resolve(runner)(case):
            rows.append(row)
    except UncoveredError as error:
        return CaseResult(label, family, kind, UNCOVERED, tuple(rows), str(error))
    except InputError as error:
        return CaseResult(label, family, kind, UNREADABLE, tuple(rows), str(error))
    except Exception as error:  # one broken runner must not hide the other cases
        return CaseResult(label, family, kind, MISS, tuple(rows), f"{type(error).__name__}: {error}")
    status, note = (OK, "") if rows else (MISS, "the runner compared nothing")
    if wrong := sum(not row.ok for row in rows):
        status, note = MISS, f"{wrong} of {len(rows)} tensors differ"
    return CaseResult(label, family, kind, status, tuple(rows), note)


def _merged(outcomes: Sequence[CaseResult]) -> CaseResult:
    """One result of all runners that know a case: their rows together, the worst of their states."""
    status = max((outcome.status for outcome in outcomes), key=(OK, UNREADABLE, MISS).index)
    notes = "; ".join(outcome.note for outcome in outcomes if outcome.note)
    return replace(outcomes[0], status=status, rows=_rows(outcomes), note=notes)


def _rows(outcomes: Sequence[CaseResult]) -> tuple[ParityRow, ...]:
    return tuple(row for outcome in outcomes for row in outcome.rows)


def _resolve(target: str | Runner) -> Runner:
    if not isinstance(target, str):
        return target
    module, _, function = target.partition(":")
    runner = getattr(importlib.import_module(module), function, None)
    if not callable(runner):
        raise PerceptionError(f"parity runner {target!r}: expected 'module:function', found no such function")
    return runner


def exit_code(results: Iterable[CaseResult], allow_uncovered: bool = False) -> int:
    """Return 0 when all is well, 1 on a miss or an unreadable case, 3 on an uncovered one, 2 when there was none."""
    found = {result.status for result in results}
    if not found:
        return 2
    if found & {MISS, UNREADABLE}:
        return 1
    return 3 if UNCOVERED in found and not allow_uncovered else 0


def to_dict(results: Iterable[CaseResult]) -> dict[str, Any]:
    """Return results as plain data for JSON; numbers that JSON does not have become None."""
    listed = [asdict(result) for result in results]
    for result in listed:
        for row in result["rows"]:
            row["max_error"] = row["max_error"] if math.isfinite(row["max_error"]) else None
    summary = {name: sum(r["status"] == name for r in listed) for name in (OK, MISS, UNCOVERED, UNREADABLE)}
    return {"summary": summary, "cases": listed}
