"""Recorded message logs as one time-ordered stream, whatever file format they are in."""

from __future__ import annotations

import heapq
import time
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import InputError
from perception.sources.wire import MessageError
from perception.structures import Fault

__all__ = ["ChainedLog", "Channel", "MessageLog", "Record", "Segment", "SegmentedLog"]

END_OF_TIME = 2**63 - 1
_POLL_S = 0.2


@dataclass(frozen=True)
class Channel:
    """One topic.

    Attributes:
        topic: Its name.
        schema: Message type: ``sensor_msgs/Image`` (ROS 1 and 2 alike) or ``foxglove.CompressedImage``.
        encoding: ``cdr``, ``ros1``, ``protobuf`` or ``json``.
        count: Number of messages, -1 when unknown.
        decode: Bytes of a message -> object with the fields of the schema as attributes; raises ``MessageError``.
    """

    topic: str
    schema: str
    encoding: str = ""
    count: int = -1
    decode: Callable[[bytes], Any] = field(default=bytes, repr=False, compare=False)


@dataclass(frozen=True)
class Record:
    """One message as it was logged: its channel, log time in nanoseconds and undecoded bytes."""

    channel: Channel
    log_ns: int
    data: bytes = field(repr=False)

    def message(self) -> Any:
        """The decoded message; raises ``MessageError``."""
        return self.channel.decode(self.data)


class MessageLog(ABC):
    """A container of messages.

    Attributes:
        path: File or folder.
        channels: Topic -> :class:`Channel`.
        start_ns: First log time.
        end_ns: Last log time.
        faults: Damage found so far; reading goes on behind it where the format allows.
        finished: The recorder has closed the file: nothing more will come.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.channels: dict[str, Channel] = {}
        self.start_ns = 0
        self.end_ns = 0
        self.faults: list[Fault] = []
        self.finished = False

    @abstractmethod
    def messages(self, topics: Collection[str], start_ns: int = 0, stop_ns: int = END_OF_TIME) -> Iterator[Record]:
        """Messages of ``topics`` with ``start_ns <= log time < stop_ns``, ascending in log time."""

    def count_before(self, topic: str, log_ns: int) -> int:
        """Number of messages of ``topic`` logged before ``log_ns``."""
        return sum(1 for _ in self.messages([topic], 0, log_ns))

    def follow(self, topics: Collection[str], start_ns: int, idle_s: float) -> Iterator[Record]:
        """All messages from ``start_ns`` on, then those that are written while this runs.

        Ends when the recorder closes the file, or has written nothing for ``idle_s`` seconds.
        """
        yield from self.messages(topics, start_ns)
        last = time.monotonic()
        while not self.finished and time.monotonic() - last < idle_s:
            for record in self.poll(topics):
                last = time.monotonic()
                yield record
            time.sleep(min(_POLL_S, idle_s / 4))

    def poll(self, topics: Collection[str]) -> Iterator[Record]:
        """Messages that were written since the log was opened, or polled last.

        Raises:
            InputError: Files of this format cannot be followed.
        """
        raise InputError(
            self.path, "follow", "an MCAP file or a ROS 2 bag", "a format that is complete when it is closed"
        )

    def times(self) -> dict[str, np.ndarray]:
        """Topic -> (N,) int64 ascending log times of its messages; reads the index where there is one."""
        found: dict[str, array[int]] = {topic: array("q") for topic in self.channels}
        for record in self.messages(list(self.channels)):
            found[record.channel.topic].append(record.log_ns)
        return {topic: np.array(times, dtype=np.int64) for topic, times in found.items()}

    @abstractmethod
    def close(self) -> None:
        """Release the file; closing twice is allowed."""

    def damaged(self, what: str) -> None:
        """Record damage of the file, once for each text."""
        fault = Fault(self.path.name, "corrupt", what)
        if fault not in self.faults:
            self.faults.append(fault)


@dataclass(frozen=True)
class Segment:
    """A stretch of a file that is read at once (a chunk), with its range of log times (end included).

    ``counts`` holds the number of messages of each topic, None when the file does not tell.
    """

    offset: int
    size: int
    start_ns: int
    end_ns: int
    counts: dict[str, int] | None = None
    topics: frozenset[str] | None = None


class SegmentedLog(MessageLog):
    """A log made of chunks. Holds only the chunks that overlap the current moment, however long the file is."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.segments: list[Segment] = []

    @abstractmethod
    def read_segment(self, segment: Segment) -> list[Record]:
        """All readable messages of a segment; damage goes to :meth:`damaged`."""

    def messages(self, topics: Collection[str], start_ns: int = 0, stop_ns: int = END_OF_TIME) -> Iterator[Record]:
        """See :meth:`MessageLog.messages`."""
        wanted = frozenset(topics)
        segments = [s for s in self.segments if s.end_ns >= start_ns and s.start_ns < stop_ns and _holds(s, wanted)]
        segments.sort(key=lambda s: (s.start_ns, s.offset))
        heap: list[tuple[int, int, int, Record]] = []
        for number, segment in enumerate(segments):
            while heap and heap[0][0] < segment.start_ns:
                yield heapq.heappop(heap)[3]
            for place, record in enumerate(self.read_segment(segment)):
                if record.channel.topic in wanted and start_ns <= record.log_ns < stop_ns:
                    heapq.heappush(heap, (record.log_ns, number, place, record))
        while heap:
            yield heapq.heappop(heap)[3]

    def count_before(self, topic: str, log_ns: int) -> int:
        """See :meth:`MessageLog.count_before`; opens only the segments that contain ``log_ns``."""
        total = 0
        for segment in self.segments:
            if segment.start_ns >= log_ns or not _holds(segment, {topic}):
                continue
            known = self.segment_count(segment, topic) if segment.end_ns < log_ns else None
            if known is None:
                records = self.read_segment(segment)
                known = sum(1 for r in records if r.channel.topic == topic and r.log_ns < log_ns)
            total += known
        return total

    def segment_count(self, segment: Segment, topic: str) -> int | None:
        """Messages of ``topic`` in a segment, None when only reading it would tell."""
        return None if segment.counts is None else segment.counts.get(topic, 0)

    def set_times_from_segments(self) -> None:
        """Derive :attr:`start_ns` and :attr:`end_ns`."""
        filled = [s for s in self.segments if s.counts is None or any(s.counts.values())]
        self.start_ns = min((s.start_ns for s in filled), default=0)
        self.end_ns = max((s.end_ns for s in filled), default=0)


class ChainedLog(MessageLog):
    """Split recordings: the parts one after the other, ordered by their first log time."""

    def __init__(self, path: Path, parts: Sequence[MessageLog]) -> None:
        super().__init__(path)
        self.parts = sorted(parts, key=lambda part: part.start_ns)
        filled = [part for part in self.parts if any(channel.count for channel in part.channels.values())]
        self.start_ns = min((part.start_ns for part in filled), default=0)
        self.end_ns = max((part.end_ns for part in filled), default=0)
        for part in self.parts:
            for topic, channel in part.channels.items():
                before = self.channels.get(topic)
                count = channel.count if before is None else before.count + channel.count
                self.channels[topic] = Channel(topic, channel.schema, channel.encoding, count, channel.decode)

    def messages(self, topics: Collection[str], start_ns: int = 0, stop_ns: int = END_OF_TIME) -> Iterator[Record]:
        """See :meth:`MessageLog.messages`."""
        for part in self.parts:
            if part.end_ns >= start_ns and part.start_ns < stop_ns:
                yield from part.messages(topics, start_ns, stop_ns)
                self._collect(part)

    def count_before(self, topic: str, log_ns: int) -> int:
        """See :meth:`MessageLog.count_before`."""
        total = 0
        for part in self.parts:
            if part.end_ns < log_ns and topic in part.channels:
                total += part.channels[topic].count
            elif part.start_ns < log_ns:
                total += part.count_before(topic, log_ns)
        return total

    def poll(self, topics: Collection[str]) -> Iterator[Record]:
        """See :meth:`MessageLog.poll`."""
        for part in self.parts:
            if not part.finished:
                yield from part.poll(topics)
        self.finished = all(part.finished for part in self.parts)

    def close(self) -> None:
        """Close all parts."""
        for part in self.parts:
            part.close()

    def _collect(self, part: MessageLog) -> None:
        self.faults.extend(fault for fault in part.faults if fault not in self.faults)


def first_message(log: MessageLog, topic: str) -> Any | None:
    """The first decodable message of a topic among its first ten, or None."""
    for number, record in enumerate(log.messages([topic])):
        try:
            return record.message()
        except MessageError:
            if number >= 9:
                return None
    return None


def _holds(segment: Segment, topics: Collection[str]) -> bool:
    if segment.counts is not None:
        return any(segment.counts.get(topic) for topic in topics)
    return segment.topics is None or not segment.topics.isdisjoint(topics)
