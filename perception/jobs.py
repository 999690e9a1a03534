"""Work on many independent files in several processes; the result never depends on how many."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from perception.errors import PerceptionError
from perception.memory import keep_freed_memory


def run_jobs(work: Callable[[Any], Any], jobs: Sequence[Any], workers: int) -> Iterator[Any]:
    """Results of ``work(job)`` in the order of ``jobs``.

    Args:
        work: A function of a module, so that other processes can import it.
        jobs: Its arguments, picklable.
        workers: Number of processes; 0 or 1 works in this one.

    Raises:
        PerceptionError: ``workers`` is negative, or a job failed.
    """
    if workers < 0:
        raise PerceptionError(f"workers: expected 0 or more, found {workers}")
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield work(job)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(workers, len(jobs)), _prepare_worker) as pool:
        for result, error in pool.imap(_Guarded(work), jobs):
            if error is not None:
                raise PerceptionError(error)
            yield result


def _prepare_worker() -> None:
    """Keep libraries of a worker from starting threads of their own, and its memory for the next job."""
    keep_freed_memory()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


class _Guarded:
    """Calls a function and returns errors as text, since not every exception can cross processes."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.work = work

    def __call__(self, job: Any) -> tuple[Any, str | None]:
        try:
            return self.work(job), None
        except PerceptionError as error:
            return None, str(error)
        except Exception as error:
            return None, f"{type(error).__name__}: {error} (job {job})"
