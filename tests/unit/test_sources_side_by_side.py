"""Records of a frame decoded by several threads."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from functools import partial

import cv2
import pytest

from perception.sources.side_by_side import side_by_side


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    yield
    cv2.setNumThreads(before)


@pytest.mark.usefixtures("two_threads")
def test_calls_run_at_once_and_results_keep_their_order() -> None:
    both = threading.Barrier(2, timeout=10)  # passes only when two calls wait at it

    def call(number: int) -> int:
        both.wait()
        return number

    assert side_by_side([partial(call, number) for number in range(4)]) == [0, 1, 2, 3]
    assert side_by_side([partial(call, 1)][:0]) == []


def test_one_thread_is_a_loop() -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        names = side_by_side([threading.current_thread, threading.current_thread])
    finally:
        cv2.setNumThreads(before)
    assert names == [threading.current_thread()] * 2


@pytest.mark.usefixtures("two_threads")
def test_errors_come_through_and_later_calls_still_work() -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side([lambda: 1 // 0, lambda: 2])
    assert side_by_side([lambda: 1, lambda: 2]) == [1, 2]


@pytest.mark.usefixtures("two_threads")
def test_a_forked_process_has_threads_of_its_own() -> None:
    side_by_side([lambda: 1, lambda: 2])
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(
        target=lambda: theirs.send(side_by_side([lambda: 3, lambda: 4])), daemon=True
    )
    child.start()
    try:
        assert ours.poll(20) and ours.recv() == [3, 4]
    finally:
        child.kill()
        child.join()
