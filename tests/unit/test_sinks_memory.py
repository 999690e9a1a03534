"""Memory and threads of a long run do not grow with its number of frames, whatever the sink."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from perception.sinks import Sink
from tests.unit.test_sinks_resume import faults, frame, make_sinks, results

STATM = Path("/proc/self/statm")
WARM_UP, FRAMES = 100, 400
TOLERANCE_MB = 4.0
"""Growth that is allowed over FRAMES frames: 10 kB a frame."""


def _resident_mb() -> float:
    gc.collect()
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _feed(sink: Sink, start: int, stop: int) -> None:
    for index in range(start, stop):
        sink.append(frame(index), results(index % 20), faults(index), {"lanes": 1.0})


def _makers() -> dict[str, Callable[[Path], Sink]]:
    def maker(number: int) -> Callable[[Path], Sink]:
        return lambda out: make_sinks(out)[number]

    return {type(sink).__name__: maker(number) for number, sink in enumerate(make_sinks(Path()))}


@pytest.mark.slow
@pytest.mark.skipif(not STATM.exists(), reason="no /proc/self/statm: memory cannot be read on this system")
@pytest.mark.parametrize("name", sorted(_makers()))
def test_memory_and_threads_stay(tmp_path: Path, name: str) -> None:
    with _makers()[name](tmp_path) as sink:
        _feed(sink, 0, WARM_UP)
        memory, threads = _resident_mb(), len(os.listdir("/proc/self/task"))
        _feed(sink, WARM_UP, WARM_UP + FRAMES)
        assert _resident_mb() - memory < TOLERANCE_MB
        assert len(os.listdir("/proc/self/task")) <= threads + 2
