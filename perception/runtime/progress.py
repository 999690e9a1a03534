"""How far a run is, for people (a bar) and for log files (a line now and then)."""

from __future__ import annotations

import math
import sys
import time
from typing import IO, Any

__all__ = ["Progress", "estimate", "format_duration"]

ESTIMATE_AFTER = 10
COMFORTABLE_S = 300.0
LINE_EVERY_S = 10.0


def format_duration(seconds: float) -> str:
    """``"45 s"``, ``"12 min"``, ``"2 h 5 min"``."""
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def estimate(frames: int, seconds_per_frame: float, every: int = 1) -> str:
    """How long ``frames`` will take, and the ``--every`` that brings a long run down to some five minutes.

    Args:
        frames: Frames to run.
        seconds_per_frame: Measured.
        every: The ``--every`` in use, which the suggestion multiplies.
    """
    total = frames * seconds_per_frame
    text = f"about {format_duration(total)} for {frames:,} frames"
    if total > COMFORTABLE_S:
        factor = math.ceil(total / COMFORTABLE_S)
        text += f"; --every {every * factor} would take {format_duration(total / factor)}"
    return text


class Progress:
    """A progress bar on a terminal, plain lines elsewhere.

    Args:
        total: Frames of the run.
        done: Frames stored by an earlier process.
        every: The ``--every`` in use.
        stream: Where to write; standard error by default, so that standard output stays clean.
    """

    def __init__(self, total: int, done: int = 0, every: int = 1, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._total, self._first, self._every = total, done, every
        self._began = self._last_line = time.monotonic()
        self._bar: Any = None
        if self._stream.isatty():
            self._start_bar(done)

    def message(self, text: str) -> None:
        """Print a line beside the bar."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self._stream, flush=True)

    def update(self, done: int, faults: int) -> None:
        """Tell that ``done`` frames of the whole run are stored, and how many faults there were."""
        now = time.monotonic()
        ran = done - self._first
        pace = (now - self._began) / max(ran, 1)
        if ran == ESTIMATE_AFTER and done < self._total:
            self.message(estimate(self._total - self._first, pace, self._every))
        if self._bar is not None:
            self._bar.update(self._task, completed=done, faults=faults)
        elif now - self._last_line >= LINE_EVERY_S:
            self._last_line = now
            left = format_duration(pace * (self._total - done)) if done < self._total else "0 s"
            self.message(f"{done}/{self._total} frames, {1 / max(pace, 1e-9):.1f} fps, {faults} faults, {left} left")

    def close(self) -> None:
        """Remove the bar's live display."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _start_bar(self, done: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[faults]} faults"),
            TimeRemainingColumn(),
        )
        self._bar = Bar(*columns, console=Console(file=self._stream))
        self._task = self._bar.add_task("frames", total=self._total, completed=done, faults=0)
        self._bar.start()
