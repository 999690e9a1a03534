"""The records of one frame decoded side by side: image decoders let go of the interpreter lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import cv2

__all__ = ["side_by_side"]

T = TypeVar("T")
_MOST = 8
_pools: list[ThreadPoolExecutor] = []


def side_by_side(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Results of independent calls, in their order; an error is raised once all calls before it are done.

    As many threads work as OpenCV may use (``cv2.setNumThreads``), at most eight; one call, or one thread, is a loop.
    """
    if len(calls) < 2 or cv2.getNumThreads() < 2:
        return [call() for call in calls]
    if not _pools:
        _pools.append(ThreadPoolExecutor(min(cv2.getNumThreads(), _MOST), "decode"))
    return list(_pools[0].map(_called, calls))


def _called(call: Callable[[], T]) -> T:
    return call()


os.register_at_fork(after_in_child=_pools.clear)  # threads do not come along into the child of a fork
