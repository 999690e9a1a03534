"""Side-by-side timing: our path against a naive implementation, in the same process, one after the other."""

from __future__ import annotations

import fnmatch
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from perception.errors import PerceptionError


@dataclass(frozen=True)
class Pair:
    """Two ways to compute the same thing, ready to be called.

    Attributes:
        ours: Our path.
        naive: What it is compared with.
        units: How many units (``Benchmark.unit``) one call handles.
        check: Tells whether the two results agree; called once, on the results of the warm-up.
    """

    ours: Callable[[], Any]
    naive: Callable[[], Any]
    units: int = 1
    check: Callable[[Any, Any], bool] | None = None


@dataclass(frozen=True)
class Benchmark:
    """A registered comparison.

    Attributes:
        group: ``ops``, ``metrics``, ``models``, ``runtime``, ``render``, ``sim`` or ``train``.
        name: Unique within the group.
        naive: What we compare with, in a few words.
        unit: What a time is stated for: ``"image"``, ``"frame"``, ...
        make: Prepares inputs and returns the pair; its time is not counted.
    """

    group: str
    name: str
    naive: str
    unit: str
    make: Callable[[], Pair]


@dataclass(frozen=True)
class Timing:
    """Outcome of a benchmark; times in milliseconds a unit.

    Attributes:
        group: Group of the benchmark.
        name: Its name.
        naive: What we compare with.
        unit: What the times are for.
        ours_ms: Median time of our path.
        naive_ms: Median time of the other.
        ratio: Median over the repeats of naive / ours.
        ratio_low: Smallest ratio of a repeat.
        ratio_high: Largest ratio of a repeat.
        repeats: Number of repeats.
    """

    group: str
    name: str
    naive: str
    unit: str
    ours_ms: float
    naive_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    repeats: int


BENCHMARKS: dict[tuple[str, str], Benchmark] = {}


def benchmark(
    group: str, name: str, naive: str, unit: str = "call"
) -> Callable[[Callable[[], Pair]], Callable[[], Pair]]:
    """Register a function that prepares a pair; see ``Benchmark`` for the arguments.

    Raises:
        PerceptionError: The name is taken by another function.
    """

    def register(make: Callable[[], Pair]) -> Callable[[], Pair]:
        known = BENCHMARKS.get((group, name))
        if known and (known.make.__module__, known.make.__qualname__) != (make.__module__, make.__qualname__):
            raise PerceptionError(
                f"benchmark {group}/{name} is registered twice: {known.make.__module__}, {make.__module__}"
            )
        BENCHMARKS[group, name] = Benchmark(group, name, naive, unit, make)
        return make

    return register


def measure(entry: Benchmark, repeats: int = 7, min_seconds: float = 0.02) -> Timing:
    """Time one benchmark: warm up, check that both agree, then time both in turn.

    Args:
        entry: What to time.
        repeats: Ratios to take; each times our path and the naive one right after another.
        min_seconds: A timing repeats its call until this much time has passed.

    Returns:
        Medians and the spread of the ratio.

    Raises:
        PerceptionError: The two ways disagree.
    """
    pair = entry.make()
    ours, naive = pair.ours(), pair.naive()
    if pair.check is not None and not pair.check(ours, naive):
        raise PerceptionError(f"benchmark {entry.group}/{entry.name}: our result and the naive one disagree")
    times = [(_seconds(pair.ours, min_seconds), _seconds(pair.naive, min_seconds)) for _ in range(repeats)]
    ratios = [slow / fast for fast, slow in times]
    fast_ms, slow_ms = (1e3 * statistics.median(column) / pair.units for column in zip(*times))
    spread = (statistics.median(ratios), min(ratios), max(ratios))
    return Timing(entry.group, entry.name, entry.naive, entry.unit, fast_ms, slow_ms, *spread, repeats)


def _seconds(call: Callable[[], Any], min_seconds: float) -> float:
    """Seconds a call; a short first call is left out, since it pays for the caches that the other side emptied."""
    start = time.perf_counter()
    call()
    if (first := time.perf_counter() - start) >= min_seconds:
        return first
    calls, start = 0, time.perf_counter()
    while True:
        call()
        calls += 1
        passed = time.perf_counter() - start
        if passed >= min_seconds:
            return passed / calls


def run(group: str | None = None, only: str | None = None, repeats: int = 7) -> Iterator[Timing]:
    """Time the registered benchmarks of a group (all when None) whose name matches the glob ``only``."""
    for entry in sorted(BENCHMARKS.values(), key=lambda entry: (entry.group, entry.name)):
        if (group is None or entry.group == group) and (only is None or fnmatch.fnmatchcase(entry.name, only)):
            yield measure(entry, repeats)


def machine() -> dict[str, Any]:
    """Return what a figure depends on: processor count, versions and the threads each library may use.

    numba is not asked itself: its answer starts its threads, and torch then computes in as many, whatever was set.
    """
    threads: dict[str, int | None] = {"omp": int(os.environ["OMP_NUM_THREADS"]) if _is_set("OMP_NUM_THREADS") else None}
    versions = {"python": platform.python_version()}
    counts: dict[str, Callable[[Any], int]] = {
        "torch": lambda torch: torch.get_num_threads(),
        "cv2": lambda cv2: cv2.getNumThreads(),
        "numba": lambda numba: numba.config.NUMBA_NUM_THREADS,
    }
    for name in ("numpy", *counts):
        module = sys.modules.get(name)
        if module is not None:
            versions[name] = str(module.__version__)
            if name in counts:
                threads[name] = int(counts[name](module))
    return {"processors": os.cpu_count(), "machine": platform.machine(), "threads": threads, "versions": versions}


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").isdecimal()
