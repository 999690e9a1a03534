"""MCAP files, indexed or not, complete or cut off."""

from __future__ import annotations

import io
import struct
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

import lz4.frame
import numpy as np
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.reader import SeekingReader
from mcap.records import Channel as McapChannel
from mcap.records import Chunk, Message, MessageIndex, Schema
from mcap.stream_reader import breakup_chunk

from perception.errors import InputError
from perception.sources.log import END_OF_TIME, Channel, Record, Segment, SegmentedLog
from perception.sources.wire import decoder_for, schema_name

__all__ = ["MCAP_MAGIC", "McapLog"]

MCAP_MAGIC = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 3, 4, 5, 6, 15
_LOOSE_BYTES = 4 << 20
_LARGEST_CHUNK = 1 << 31
_CHUNK_HEAD = struct.Struct("<QQQII")
_PARSERS: dict[int, Callable[[ReadDataStream], Any]] = {_SCHEMA: Schema.read, _CHANNEL: McapChannel.read}


class McapLog(SegmentedLog):
    """One ``.mcap`` file.

    With an index in its summary only the needed chunks are read. A file without one (the recorder was killed, or the
    copy is incomplete) is scanned once; everything in front of the cut is delivered and the cut is recorded as a fault,
    as are chunks in the middle whose checksum is wrong. A file that is still ``growing`` is read up to its last
    complete record, see :meth:`MessageLog.poll`.

    Raises:
        InputError: The file is no MCAP file, or nothing in it can be read.
    """

    def __init__(self, path: Path, growing: bool = False) -> None:
        super().__init__(path)
        self._growing, self._position, self._totals = growing, len(MCAP_MAGIC), Counter[int]()
        self._by_id: dict[int, Channel] = {}
        self._schemas: dict[int, Schema] = {}
        self._index_offsets: dict[int, dict[int, int]] = {}
        self._chunked: set[int] = set()
        self._file: IO[bytes] = path.open("rb")
        self._size = path.stat().st_size
        if self._file.read(8) != MCAP_MAGIC:
            self.close()
            raise InputError(path, "", "an MCAP file", "other first bytes")
        if not self._read_summary():
            self._scan()
        self.set_times_from_segments()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def segment_count(self, segment: Segment, topic: str) -> int | None:
        """See :meth:`SegmentedLog.segment_count`; reads the chunk's message index."""
        if segment.counts is not None:
            return segment.counts.get(topic, 0)
        if segment.topics is None:
            return None
        total = 0
        try:
            for number, offset in self._index_offsets[segment.offset].items():
                if (channel := self._by_id.get(number)) and channel.topic == topic:
                    total += len(self._message_index(offset).records)
        except (McapError, OSError, ValueError, struct.error):
            return None
        return total

    def times(self) -> dict[str, np.ndarray]:
        """See :meth:`MessageLog.times`; reads the message indexes, and only the chunks that have none."""
        found: dict[str, list[int]] = {topic: [] for topic in self.channels}
        for segment in self.segments:
            for topic, times in self._segment_times(segment):
                found[topic] += times
        return {topic: np.sort(np.array(times, dtype=np.int64)) for topic, times in found.items()}

    def _segment_times(self, segment: Segment) -> Iterator[tuple[str, list[int]]]:
        offsets = self._index_offsets.get(segment.offset)
        if offsets:
            with suppress(McapError, OSError, ValueError, struct.error):
                indexes = [
                    (self._by_id[n].topic, self._message_index(at)) for n, at in offsets.items() if n in self._by_id
                ]
                yield from ((topic, [_time(time) for time, _ in index.records]) for topic, index in indexes)
                return
        for record in self.read_segment(segment):
            yield record.channel.topic, [record.log_ns]

    def _message_index(self, offset: int) -> MessageIndex:
        self._file.seek(offset)
        length = int.from_bytes(self._file.read(9)[1:], "little")
        return MessageIndex.read(ReadDataStream(io.BytesIO(self._file.read(min(length, self._size)))))

    def read_segment(self, segment: Segment) -> list[Record]:
        """See :meth:`SegmentedLog.read_segment`."""
        self._file.seek(segment.offset)
        body = self._file.read(segment.size)
        found: list[Record] = []
        try:
            for record in self._records(segment.offset, body):
                if isinstance(record, Message) and record.channel_id in self._by_id:
                    found.append(Record(self._by_id[record.channel_id], _time(record.log_time), record.data))
        except Exception as error:  # damaged bytes reach zstd, lz4, struct and crc checks, each with errors of its own
            self.damaged(f"chunk at byte {segment.offset}: {_text(error)}")
        return found

    def _records(self, offset: int, body: bytes) -> Iterator[Any]:
        """Records of a segment: a chunk, a chunk whose end is missing, or messages that stand outside chunks."""
        if offset not in self._chunked:
            return _parse(body)
        if len(body) < 9 + int.from_bytes(body[1:9], "little"):
            return _parse(_cut_chunk_data(body[9:]))
        return _unpacked(body[9:])

    def _read_summary(self) -> bool:
        self._file.seek(0)
        try:
            bounded = cast(IO[bytes], _Bounded(self._file, self._size))
            summary = SeekingReader(bounded, record_size_limit=self._size).get_summary()
        except (McapError, OSError, ValueError, KeyError, IndexError, struct.error, StopIteration):
            return False
        if summary is None or summary.statistics is None:
            return False
        if not summary.chunk_indexes and summary.statistics.message_count:
            return False
        if any(chunk.chunk_start_offset + chunk.chunk_length > self._size for chunk in summary.chunk_indexes):
            self.damaged("the index names chunks behind the end of the file")
            return False
        self._schemas.update(summary.schemas)
        for channel in summary.channels.values():
            self._add_channel(channel)
        for chunk in summary.chunk_indexes:
            offsets = dict(chunk.message_index_offsets)
            topics = frozenset(self._by_id[n].topic for n in offsets if n in self._by_id) if offsets else None
            times = _time(chunk.message_start_time), _time(chunk.message_end_time)
            self.segments.append(Segment(chunk.chunk_start_offset, chunk.chunk_length, *times, None, topics))
            self._index_offsets[chunk.chunk_start_offset] = offsets
            self._chunked.add(chunk.chunk_start_offset)
        self._count(Counter(summary.statistics.channel_message_counts))
        self.finished = True
        return True

    def _scan(self) -> None:
        """Build the index of a file that has none by reading it once."""
        end = self._extend()
        if not self._growing:
            if self._position + 9 > self._size or end > self._size:
                self.damaged(f"cut off at byte {self._size}, inside the record at byte {self._position}")
            elif not self._ends_with_magic():
                self.damaged(f"cut off at byte {self._size}, inside the index")
        self._count(self._totals)
        if not self._by_id:
            found = self.faults[0].message if self.faults else "none"
            raise InputError(self.path, "", "an MCAP file with channels", found)

    def poll(self, topics: Collection[str]) -> Iterator[Record]:
        """See :meth:`MessageLog.poll`."""
        self._size = self.path.stat().st_size
        known = len(self.segments)
        self._extend()
        self._count(self._totals)
        self.set_times_from_segments()
        for segment in self.segments[known:]:
            records = self.read_segment(segment)
            yield from sorted((r for r in records if r.channel.topic in topics), key=lambda record: record.log_ns)

    def _extend(self) -> int:
        """Index what lies behind the bytes indexed so far; gives the end of the last record that was begun."""
        totals = self._totals
        loose_start = position = end = self._position
        while position + 9 <= self._size and not self.finished:
            self._file.seek(position)
            head = self._file.read(9)
            opcode, end = head[0], position + 9 + int.from_bytes(head[1:], "little")
            if self._growing and end > self._size:
                break
            if opcode == _CHUNK:
                self._index(loose_start, position, totals)
                self._chunked.add(position)
                self._index(position, min(end, self._size), totals)
                loose_start = end
            elif end - loose_start > _LOOSE_BYTES:
                self._index(loose_start, min(end, self._size), totals)
                loose_start = end
            self.finished = opcode == _DATA_END
            if self.finished or end > self._size:
                break
            position = end
        self._index(loose_start, min(position, self._size), totals)
        self._position = position
        return end

    def _ends_with_magic(self) -> bool:
        self._file.seek(self._size - len(MCAP_MAGIC))
        return self._file.read() == MCAP_MAGIC

    def _index(self, start: int, end: int, totals: Counter[int]) -> None:
        """Add the bytes from ``start`` to ``end`` as a segment, if any message in them can be read."""
        if end <= start:
            return
        times: list[int] = []
        counts: Counter[str] = Counter()
        self._file.seek(start)
        try:
            for record in self._records(start, self._file.read(end - start)):
                if isinstance(record, Schema):
                    self._schemas[record.id] = record
                elif isinstance(record, McapChannel) and record.id not in self._by_id:
                    self._add_channel(record)
                elif isinstance(record, Message) and record.channel_id in self._by_id:
                    times.append(_time(record.log_time))
                    totals[record.channel_id] += 1
                    counts[self._by_id[record.channel_id].topic] += 1
        except Exception as error:  # see read_segment
            self.damaged(f"chunk at byte {start}: {_text(error)}")
        if times:
            self.segments.append(Segment(start, end - start, min(times), max(times), dict(counts)))

    def _add_channel(self, channel: McapChannel) -> None:
        schema = self._schemas.get(channel.schema_id)
        name = schema_name(schema.name) if schema else ""
        definition, kind = (schema.data, schema.encoding) if schema else (b"", "")
        decode = decoder_for(channel.message_encoding, name, definition, kind)
        self._by_id[channel.id] = Channel(channel.topic, name, channel.message_encoding, 0, decode)

    def _count(self, totals: Counter[int]) -> None:
        counts: Counter[str] = Counter()
        for number, count in totals.items():
            if number in self._by_id:
                counts[self._by_id[number].topic] += count
        for item in self._by_id.values():
            self.channels[item.topic] = Channel(item.topic, item.schema, item.encoding, counts[item.topic], item.decode)


def _time(unsigned: int) -> int:
    """A time of the file as one that fits into 64 bits with a sign."""
    return min(unsigned, END_OF_TIME - 1)


class _Bounded:
    """A file that never reserves room for more than is left of it, whatever length a damaged record states."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size = file, size
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, count: int = -1) -> bytes:
        left = max(self._size - self._file.tell(), 0)
        return self._file.read(left if count < 0 else min(count, left))


def _unpacked(body: bytes) -> Iterator[Any]:
    """Records of a complete chunk; ``body`` begins behind opcode and length."""
    chunk = Chunk.read(ReadDataStream(io.BytesIO(body)))
    stated = chunk.uncompressed_size
    if chunk.compression == "zstd":
        stated = max(stated, zstandard.frame_content_size(chunk.data))
    if stated > _LARGEST_CHUNK:
        raise ValueError(f"expected a chunk of at most {_LARGEST_CHUNK} bytes, found one of {stated}")
    return iter(breakup_chunk(chunk, validate_crc=True))


def _parse(data: bytes) -> Iterator[Any]:
    """Schemas, channels and messages of a run of records; a record without its end stops it."""
    position = 0
    while position + 9 <= len(data):
        length = int.from_bytes(data[position + 1 : position + 9], "little")
        body = data[position + 9 : position + 9 + length]
        if len(body) < length:
            return
        stream = ReadDataStream(io.BytesIO(body))
        if data[position] == _MESSAGE:
            yield Message.read(stream, length)
        elif data[position] in _PARSERS:
            yield _PARSERS[data[position]](stream)
        position += 9 + length


def _cut_chunk_data(body: bytes) -> bytes:
    """What can be decompressed of a chunk whose end is missing; ``body`` begins behind opcode and length."""
    if len(body) < _CHUNK_HEAD.size:
        return b""
    start = _CHUNK_HEAD.size + _CHUNK_HEAD.unpack_from(body)[4]
    compression, data = body[_CHUNK_HEAD.size : start], body[start + 8 :]
    if compression == b"zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    if compression == b"lz4":
        return lz4.frame.LZ4FrameDecompressor().decompress(data)
    return data


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
