"""Reading ahead: a thread decodes the next frames while stages work on the present one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

from perception.errors import PerceptionError

__all__ = ["Prefetch"]

T = TypeVar("T")
_POLL_S = 0.1


class Prefetch(Generic[T]):
    """Iterates over ``items`` in another thread, at most ``depth`` items ahead.

    Order, items and errors are those of a plain loop: an error of ``items`` is raised where its item would have come.
    Used as a context manager; at its end the thread has let go of ``items``, so that what they come from can be closed.

    Args:
        items: What to iterate over; touched by the other thread only, until the end of the block.
        depth: Items that may wait; 0 iterates in the calling thread.

    Raises:
        PerceptionError: ``depth`` is negative.
    """

    def __init__(self, items: Iterable[T], depth: int = 2) -> None:
        if depth < 0:
            raise PerceptionError(f"prefetch: expected 0 or more frames, found {depth}")
        self._items, self._depth = items, depth
        self._queue: queue.Queue[tuple[str, T | BaseException | None]] = queue.Queue(max(depth, 1))
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Iterator[T]:
        if not self._depth:
            return iter(self._items)
        self._thread = threading.Thread(target=self._read, name="prefetch", daemon=True)
        self._thread.start()
        return self._take()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _read(self) -> None:
        try:
            for item in self._items:
                if not self._put(("item", item)):
                    return
            self._put(("end", None))
        except BaseException as error:
            self._put(("error", error))

    def _put(self, entry: tuple[str, T | BaseException | None]) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(entry, timeout=_POLL_S)
                return True
            except queue.Full:
                continue
        return False

    def _take(self) -> Iterator[T]:
        while True:
            what, item = self._queue.get()
            if what == "end":
                return
            if what == "error":
                assert isinstance(item, BaseException)
                raise item
            yield item  # type: ignore[misc]
