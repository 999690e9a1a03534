"""A long file written in short parts: formats that cannot be appended to survive a kill and can be continued."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from perception.errors import InputError
from perception.sinks.storage import storage_errors, write_file

__all__ = ["Segments"]

Cut = Callable[[Path, int, Path], None]


class Segments:
    """Parts ``<stem>/part-00000<suffix>``, ... of a ``final`` file, and ``<stem>/parts.json`` that lists them.

    A part counts once :meth:`complete` listed it; one that is not listed is torn and :meth:`keep` removes it. After
    :meth:`merge` only ``parts.json`` and the final file remain.

    Args:
        final: The file that all parts together become.

    Attributes:
        parts: ``{"frames": number of frames, "state": what the writer needs to continue}`` of each listed part.
    """

    def __init__(self, final: Path) -> None:
        self.final = final
        self.folder = final.with_suffix("")
        self._temporary = final.with_name(f"{final.stem}.tmp{final.suffix}")
        self.parts: list[dict[str, Any]] = []
        self._merged = False

    @property
    def frames(self) -> int:
        """Number of frames in the listed parts."""
        return sum(part["frames"] for part in self.parts)

    @property
    def state(self) -> dict[str, Any]:
        """What the writer stored with the last listed part; empty without parts."""
        return dict(self.parts[-1]["state"]) if self.parts else {}

    @property
    def next_part(self) -> Path:
        """Path of the part to write next."""
        return self._path(len(self.parts))

    def keep(self, limit: int | None = None, cut: Cut | None = None) -> int:
        """Read the list, remove torn parts and what lies beyond ``limit`` frames.

        Args:
            limit: Keep at most this many frames; None keeps all.
            cut: ``cut(part, frames, target)`` copies the first frames of a part; without it a part that reaches beyond
                the limit is removed as a whole.

        Returns:
            Number of frames in the parts that are left.
        """
        self._load()
        if limit is not None and self.frames > limit:
            self._shorten(limit, cut)
        wanted = [] if self._merged else self._paths()
        with storage_errors(self.folder):
            for path in sorted(self.folder.glob(f"part-*{self.final.suffix}")):
                if path not in wanted:
                    path.unlink()
            self._temporary.unlink(missing_ok=True)
            if not self.parts:
                self.final.unlink(missing_ok=True)
        if self.folder.exists():
            self._save()
        return self.frames

    def begin(self) -> None:
        """Get ready for further parts."""
        self._separate()
        self._save()

    def complete(self, frames: int, state: dict[str, Any] | None = None) -> None:
        """List :attr:`next_part`, which is whole and holds ``frames`` frames."""
        self.parts.append({"frames": frames, "state": dict(state or {})})
        self._save()

    def merge(self, join: Callable[[Sequence[Path], Path], None]) -> None:
        """Make the final file with ``join(parts, target)`` and delete the parts; no file when there are no frames."""
        paths = self._paths()
        if not paths:
            return
        try:
            join(paths, self._temporary)
            with storage_errors(self.final):
                os.replace(self._temporary, self.final)
        except BaseException:
            self._temporary.unlink(missing_ok=True)
            raise
        self.parts, self._merged = [{"frames": self.frames, "state": self.state}], True
        self._save()
        with storage_errors(self.folder):
            for path in paths:
                path.unlink()

    def _shorten(self, limit: int, cut: Cut | None) -> None:
        self._separate()
        while self.parts and self.frames - self.parts[-1]["frames"] >= limit:
            self.parts.pop()
        excess = self.frames - limit
        if self.parts and excess > 0:
            part = self.parts.pop()
            if cut is not None:
                temporary = self.next_part.with_suffix(".tmp")
                cut(self.next_part, part["frames"] - excess, temporary)
                with storage_errors(self.folder):
                    os.replace(temporary, self.next_part)
                self.complete(part["frames"] - excess, part["state"])

    def _separate(self) -> None:
        """Make the final file of a complete run the first part again."""
        if self._merged:
            with storage_errors(self.folder):
                os.replace(self.final, self._path(0))
            self._merged = False

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}{self.final.suffix}"

    def _paths(self) -> list[Path]:
        return [self._path(i) for i in range(len(self.parts))]

    def _load(self) -> None:
        listing = self.folder / "parts.json"
        self.parts, self._merged = [], False
        if not listing.exists():
            return
        try:
            data = json.loads(listing.read_bytes())
            parts = [{"frames": int(part["frames"]), "state": dict(part["state"])} for part in data["parts"]]
            merged = bool(data["merged"])
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise InputError(listing, "", "a list of parts of an earlier run", repr(error)) from error
        if merged:
            self.parts, self._merged = (parts, True) if self.final.exists() else ([], False)
            return
        for number, part in enumerate(parts):
            if not self._path(number).exists():
                break
            self.parts.append(part)

    def _save(self) -> None:
        data = {"merged": self._merged, "parts": self.parts}
        write_file(self.folder / "parts.json", json.dumps(data, indent=1).encode())
