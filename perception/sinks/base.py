"""What stores or shows the results of a run. Sinks hold no model code; they see frames, results and faults."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from perception.structures import Fault, Frame, Result

__all__ = ["Sink", "resume_all"]


class Sink(ABC):
    """A consumer of results that survives being killed and can be continued.

    Life of a sink: ``resume`` (only to continue an earlier run; :func:`resume_all` does it for several sinks), then
    ``open``, ``append`` for every frame in order, then ``close`` when the run is complete or ``abort`` when it ends
    early. As a context manager it opens, and closes or aborts.

    Whatever happens to the process, a later ``resume`` finds a whole number of frames, and the run that continues from
    there stores what an undisturbed run would have stored.

    Args:
        out: Folder of the run; a sink writes only files named after itself in it.
    """

    def __init__(self, out: str | Path) -> None:
        self.out = Path(out)
        self._resumed = False

    def open(self) -> None:
        """Get ready to append: after the frames that ``resume`` kept, else from nothing (earlier output is removed)."""
        if not self._resumed:
            self._keep(0)
        self._resumed = False
        self._start()

    def resume(self, limit: int | None = None) -> int:
        """Find out how much of an earlier run is stored and make ``open`` continue after it.

        Torn tails are cut off. Some sinks store frames in groups, so that fewer than ``limit`` may be kept.

        Args:
            limit: Keep at most this many frames and drop what lies after them; None keeps all.

        Returns:
            The number of frames kept, counted from the first frame of the run.
        """
        self._resumed = True
        return self._keep(limit)

    @abstractmethod
    def append(
        self, frame: Frame, results: Mapping[str, Result], faults: Sequence[Fault], timings_ms: Mapping[str, float]
    ) -> None:
        """Store one frame.

        Args:
            frame: The drive's frame, cameras by their names in the drive.
            results: Stage name -> result; image results carry a camera of ``frame`` as ``frame_id``.
            faults: All faults of this frame, of sensors and of stages.
            timings_ms: Stage name -> milliseconds.

        Raises:
            PerceptionError: The disk is full or not writable.
        """

    @abstractmethod
    def close(self) -> None:
        """Finish the output of a complete run."""

    @abstractmethod
    def abort(self) -> None:
        """End early: release the files and leave what ``resume`` needs. Raises nothing for a full disk."""

    @abstractmethod
    def _keep(self, limit: int | None) -> int:
        """Implement :meth:`resume`; ``_keep(0)`` removes everything."""

    @abstractmethod
    def _start(self) -> None:
        """Open files for appending after the kept frames."""

    def __enter__(self) -> Sink:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def resume_all(sinks: Sequence[Sink]) -> int:
    """Bring sinks of a stopped run to the same frame.

    Returns:
        Number of frames all of them keep; the run continues with the frame after them. 0 without sinks.
    """
    if not sinks:
        return 0
    kept = [sink.resume() for sink in sinks]
    while min(kept) != max(kept):
        kept = [sink.resume(min(kept)) for sink in sinks]
    return kept[0]
