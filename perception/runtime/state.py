"""``run_state.json``: what a run was made from, so that only the same run is continued."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from perception.errors import InputError, PerceptionError
from perception.sinks.storage import write_file

__all__ = ["RunState", "drive_identity", "file_digest"]

FILE_NAME = "run_state.json"


@dataclass
class RunState:
    """Identity of a run.

    Attributes:
        drive: ``path``, ``size`` in bytes and ``mtime_ns`` of the newest file.
        config_hash: Digest of the pipeline's stages.
        weights: Stage -> SHA-256 of its weights, or empty.
        options: What else changes results or files, by the name of the command line option.
        started: When the first process started, ISO 8601.
        finished: When the run was complete, or empty.
    """

    drive: dict[str, Any]
    config_hash: str
    weights: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    started: str = ""
    finished: str = ""

    def save(self, out: Path) -> None:
        """Write ``run_state.json`` in one step."""
        write_file(out / FILE_NAME, json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def load(cls, out: Path) -> RunState | None:
        """Read ``run_state.json``; None when there is none.

        Raises:
            InputError: It is no file of a run.
        """
        path = out / FILE_NAME
        if not path.exists():
            return None
        try:
            return cls(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(path, "", "the state of an earlier run (or use --overwrite)", str(error)) from error

    def check_same(self, other: RunState, out: Path) -> None:
        """Make sure that ``other`` would continue this run.

        Raises:
            PerceptionError: They differ; names everything that does.
        """
        pairs: list[tuple[str, Any, Any]] = [
            ("pipeline config", self.config_hash[:12], other.config_hash[:12]),
            *_differences("drive", self.drive, other.drive),
            *_differences("weights of stage", self.weights, other.weights),
            *_differences("option", self.options, json.loads(json.dumps(other.options))),
        ]
        lines = [f"  {name}: was {was!r}, is {now!r}" for name, was, now in pairs if was != now]
        if lines:
            raise PerceptionError(
                f"{out} holds another run; choose another --out, or --overwrite to replace it\n" + "\n".join(lines)
            )


def drive_identity(uri: str) -> dict[str, Any]:
    """Path, size and time of change of a drive: of the file, or summed over the files of a folder."""
    from perception.sources import split_part

    path = Path(split_part(uri)[0])
    if not path.exists():
        return {"path": uri, "size": 0, "mtime_ns": 0}
    entries = [path.stat()] if path.is_file() else list(_walk(path))
    return {
        "path": str(path.resolve()) + uri[len(split_part(uri)[0]) :],
        "size": sum(entry.st_size for entry in entries),
        "mtime_ns": max((entry.st_mtime_ns for entry in entries), default=0),
    }


def file_digest(path: str | Path | None) -> str:
    """SHA-256 of a file the user named, empty for None.

    Raises:
        InputError: It cannot be read.
    """
    if path is None:
        return ""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(path, "", "a readable file", error.strerror or str(error)) from error


def _walk(folder: Path):
    for root, _, names in os.walk(folder):
        for name in names:
            yield os.stat(os.path.join(root, name))


def _differences(label: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(f"{label} {key}", was.get(key), now.get(key)) for key in sorted({*was, *now})]
