"""Common part of the sinks whose format cannot be appended to: parts that are joined at the end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perception.sinks.base import Sink
from perception.sinks.segments import Segments
from perception.structures import Fault, Frame, Result

__all__ = ["PartsSink"]


class PartsSink(Sink):
    """A sink that writes one file in :class:`perception.sinks.segments.Segments`.

    Args:
        out: Folder of the run.
        name: Name of the final file in it.
        part_frames: Frames in a part: what a killed run has to compute again at most.
    """

    def __init__(self, out: str | Path, name: str, part_frames: int) -> None:
        super().__init__(out)
        self.path = self.out / name
        self.part_frames = max(1, part_frames)
        self._parts = Segments(self.path)
        self._count = 0

    def append(
        self, frame: Frame, results: Mapping[str, Result], faults: Sequence[Fault], timings_ms: Mapping[str, float]
    ) -> None:
        """Write one frame to the part in work, which is begun and ended when it is time."""
        if not self._count:
            self._begin_part(self._parts.next_part)
        self._count += 1
        self._write(frame, results, faults)
        if self._count == self.part_frames:
            self._finish_part()

    def close(self) -> None:
        """Join the parts into the final file."""
        if self._count:
            self._finish_part()
        self._parts.merge(self._join)

    def abort(self) -> None:
        """Leave the part in work; it is not counted and will be written again."""
        if self._count:
            self._count = 0
            self._abandon_part()

    @abstractmethod
    def _begin_part(self, path: Path) -> None:
        """Open a part."""

    @abstractmethod
    def _write(self, frame: Frame, results: Mapping[str, Result], faults: Sequence[Fault]) -> None:
        """Write one frame; ``self._count`` is its number in the part, from 1."""

    @abstractmethod
    def _end_part(self) -> dict[str, Any] | None:
        """Make the part whole; returns what the next part needs to know (``self._parts.state``)."""

    @abstractmethod
    def _abandon_part(self) -> None:
        """Close the part, whatever it holds; raises nothing for a full disk."""

    @abstractmethod
    def _join(self, parts: Sequence[Path], target: Path) -> None:
        """Make the final file."""

    def _cut(self, part: Path, frames: int, target: Path) -> None:
        """Copy the first ``frames`` frames of a part; only called where :meth:`_keep` is told to cut."""
        raise NotImplementedError

    def _keep(self, limit: int | None) -> int:
        self._count = 0
        return self._parts.keep(limit, self._cut if type(self)._cut is not PartsSink._cut else None)

    def _start(self) -> None:
        self._parts.begin()

    def _finish_part(self) -> None:
        state = self._end_part()
        frames, self._count = self._count, 0
        self._parts.complete(frames, state)
