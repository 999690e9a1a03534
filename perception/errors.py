"""Errors that speak to the user: what was read, which record, what was expected and what was found."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class PerceptionError(Exception):
    """Base of all errors caused by input or use; the command line prints its text without a traceback."""


class InputError(PerceptionError):
    """A file or record is not what it should be.

    Attributes:
        path: File, folder or URI that was read.
        record: Line, topic, key or frame inside it; empty when the file as a whole is meant.
        expected: What a valid input looks like.
        found: What was there instead.
    """

    def __init__(self, path: str | Path, record: str = "", expected: str = "", found: str = "") -> None:
        self.path, self.record, self.expected, self.found = str(path), record, expected, found
        where = f"{path}: {record}" if record else str(path)
        parts = [f"expected {expected}" if expected else "", f"found {found}" if found else ""]
        super().__init__(": ".join([where, ", ".join(part for part in parts if part)]).rstrip(": "))


class UnknownNameError(PerceptionError):
    """A name of a plugin, config, camera, ... does not exist; the text suggests close matches.

    Attributes:
        kind: What was looked up, for example ``"plugin"``.
        name: The name that was asked for.
        known: All names that exist.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        super().__init__(f"unknown {kind} {name!r}: {suggestion(name, self.known)}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """What to say beside a name that does not exist: the close ones, or all there are."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else f"known: {', '.join(names) or 'none'}"
