"""Overlay pictures, one every so many frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from perception.errors import PerceptionError
from perception.registry import SINKS
from perception.sinks.base import Sink
from perception.sinks.storage import storage_errors, write_png
from perception.structures import Fault, Frame, Result

__all__ = ["PngSink"]


@SINKS.register_module()
class PngSink(Sink):
    """``frames/<frame index, 8 digits>.png`` of the first frame of the run and every ``every``-th after it.

    Args:
        out: Folder of the run.
        every: Frames from one picture to the next.
        cameras: What to show, as in :func:`perception.viz.draw_frame`.
        width: Width of the pictures in pixels; None keeps that of the image.
        show_latency: Write milliseconds into the banner; the pictures of two runs then differ.
    """

    def __init__(
        self,
        out: str | Path,
        every: int = 10,
        cameras: str | Sequence[str] = "",
        width: int | None = None,
        show_latency: bool = False,
    ) -> None:
        super().__init__(out)
        if every < 1:
            raise PerceptionError(f"PngSink.every: expected at least 1, found {every}")
        self.folder = self.out / "frames"
        self.every, self.cameras, self.width, self.show_latency = every, cameras, width, show_latency
        self._count = 0

    def append(
        self, frame: Frame, results: Mapping[str, Result], faults: Sequence[Fault], timings_ms: Mapping[str, float]
    ) -> None:
        """Write the picture of this frame if it is its turn."""
        if self._count % self.every == 0:
            from perception.viz import draw_frame

            timings = timings_ms if self.show_latency else None
            picture = draw_frame(frame, results, faults, timings, self.cameras, self.width)
            write_png(self.folder / f"{frame.index:08d}.png", picture)
        self._count += 1

    def close(self) -> None:
        """Every picture is already in its place."""

    def abort(self) -> None:
        """Every picture is already in its place."""

    def _keep(self, limit: int | None) -> int:
        """The number of pictures says how far the run came: they appear in order, and frames between them need none."""
        paths = sorted(self.folder.glob("*.png"))
        count = len(paths) * self.every
        self._count = count if limit is None else min(count, limit)
        with storage_errors(self.folder):
            for path in [*paths[-(-self._count // self.every) :], *self.folder.glob("*.png.tmp")]:
                path.unlink()
        return self._count

    def _start(self) -> None:
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
