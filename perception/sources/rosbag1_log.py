"""ROS 1 bags (format 2.0): chunks plain, bz2 or lz4; complete, unindexed or cut off.

Layout after http://wiki.ros.org/Bags/Format/2.0: records of a header (fields ``name=value``) and data.
"""

from __future__ import annotations

import bz2
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import lz4.frame

from perception.errors import InputError
from perception.sources.log import Channel, Record, Segment, SegmentedLog
from perception.sources.wire import decoder_for, schema_name

__all__ = ["ROSBAG1_MAGIC", "Rosbag1Log"]

ROSBAG1_MAGIC = b"#ROSBAG V2.0\n"
_MESSAGE, _BAG_HEADER, _CHUNK, _CHUNK_INFO, _CONNECTION = 2, 3, 5, 6, 7
_LONGEST_HEADER = 1 << 20
_U32, _TIME, _U64 = struct.Struct("<I"), struct.Struct("<II"), struct.Struct("<Q")
_DECOMPRESS: dict[bytes, Callable[[bytes], bytes]] = {
    b"none": bytes,
    b"bz2": bz2.decompress,
    b"lz4": lz4.frame.decompress,
}
_DECOMPRESS_CUT: dict[bytes, Callable[[bytes], bytes]] = {
    b"none": bytes,
    b"bz2": lambda data: bz2.BZ2Decompressor().decompress(data),
    b"lz4": lambda data: lz4.frame.LZ4FrameDecompressor().decompress(data),
}

Header = dict[bytes, bytes]


class Rosbag1Log(SegmentedLog):
    """One ``.bag`` file; a bag without index, or cut off, is scanned once and its readable chunks are delivered.

    Raises:
        InputError: No bag of version 2.0, encrypted, or without a readable chunk.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._by_id: dict[int, Channel] = {}
        self._file: IO[bytes] = path.open("rb")
        self._size = path.stat().st_size
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read_segment(self, segment: Segment) -> list[Record]:
        """See :meth:`SegmentedLog.read_segment`."""
        try:
            return list(self._messages(self._chunk_data(segment.offset)))
        except Exception as error:  # bz2, lz4 and struct each have errors of their own for damaged bytes
            self.damaged(f"chunk at byte {segment.offset}: {error or type(error).__name__}")
            return []

    def _open(self) -> None:
        if self._file.read(len(ROSBAG1_MAGIC)) != ROSBAG1_MAGIC:
            raise InputError(self.path, "", "a ROS 1 bag of version 2.0", "other first bytes")
        found = self._record(len(ROSBAG1_MAGIC))
        if found is None or _op(found[0]) != _BAG_HEADER:
            raise InputError(self.path, "bag header", "a bag header record", "other or missing bytes")
        header, _, end = found
        if encryptor := header.get(b"encryptor"):
            raise InputError(self.path, "bag header", "an unencrypted bag", f"encryptor {encryptor!r}")
        if not self._read_index(header):
            self._by_id.clear()
            self.segments.clear()
            self._scan(end)
        counts: Counter[str] = Counter()
        for segment in self.segments:
            counts.update(segment.counts or {})
        for item in self._by_id.values():
            self.channels[item.topic] = Channel(item.topic, item.schema, item.encoding, counts[item.topic], item.decode)
        self.set_times_from_segments()

    def _record(self, position: int) -> tuple[Header, tuple[int, int], int] | None:
        """Header, (offset, size) of the data and end of the record at a position; None if the header is cut off.

        Of a record whose data is cut off, the size is that of what is there, and the end lies behind that of the file.
        """
        self._file.seek(position)
        raw = self._file.read(4)
        if len(raw) < 4 or (length := _U32.unpack(raw)[0]) > _LONGEST_HEADER:
            return None
        body = self._file.read(length + 4)
        if len(body) < length + 4:
            return None
        size = _U32.unpack(body[length:])[0]
        start = position + 8 + length
        return _fields(body[:length]), (start, min(size, self._size - start)), start + size

    def _read_index(self, header: Header) -> bool:
        """Connections and chunks from the end of the file; False if that part is missing or damaged."""
        try:
            position = _U64.unpack(header[b"index_pos"])[0]
            return position > 0 and self._read_index_at(position, header)
        except (KeyError, ValueError, struct.error):
            return False

    def _read_index_at(self, position: int, header: Header) -> bool:
        connections, chunks = (_U32.unpack(header[key])[0] for key in (b"conn_count", b"chunk_count"))
        infos: list[tuple[Header, bytes]] = []
        while position < self._size:
            found = self._record(position)
            if found is None or found[2] > self._size:
                return False
            fields, (start, size), position = found
            self._file.seek(start)
            data = self._file.read(size)
            if _op(fields) == _CONNECTION:
                self._add_connection(fields, data)
            elif _op(fields) == _CHUNK_INFO:
                infos.append((fields, data))
        for fields, data in infos:
            counts: Counter[str] = Counter()
            for number, count in struct.iter_unpack("<II", data):
                if number in self._by_id:
                    counts[self._by_id[number].topic] += count
            times = _nanoseconds(fields[b"start_time"]), _nanoseconds(fields[b"end_time"])
            self.segments.append(Segment(_U64.unpack(fields[b"chunk_pos"])[0], 0, *times, dict(counts)))
        return len(infos) == chunks and len(self._by_id) == connections

    def _scan(self, position: int) -> None:
        while position < self._size:
            found = self._record(position)
            if found is None:
                break
            if _op(found[0]) == _CHUNK:
                self._scan_chunk(position)
            position = found[2]
        self.damaged(f"no index, cut off at byte {self._size}" if position > self._size else "no index")
        if not self.segments:
            raise InputError(self.path, "", "a bag with readable chunks", f"none in {self._size} bytes")

    def _scan_chunk(self, position: int) -> None:
        times: list[int] = []
        counts: Counter[str] = Counter()
        try:
            for record in self._messages(self._chunk_data(position)):
                times.append(record.log_ns)
                counts[record.channel.topic] += 1
        except Exception as error:  # see read_segment
            self.damaged(f"chunk at byte {position}: {error or type(error).__name__}")
        if times:
            self.segments.append(Segment(position, 0, min(times), max(times), dict(counts)))

    def _chunk_data(self, position: int) -> bytes:
        found = self._record(position)
        if found is None or _op(found[0]) != _CHUNK:
            raise ValueError("expected a chunk record")
        header, (start, size), end = found
        compression = header.get(b"compression", b"none")
        if compression not in _DECOMPRESS:
            raise ValueError(f"expected compression none, bz2 or lz4, found {compression!r}")
        self._file.seek(start)
        return (_DECOMPRESS_CUT if end > self._size else _DECOMPRESS)[compression](self._file.read(size))

    def _messages(self, data: bytes) -> Iterator[Record]:
        position = 0
        while position + 4 <= len(data):
            length = _U32.unpack_from(data, position)[0]
            start = position + 8 + length
            if start > len(data):
                return
            fields = _fields(data[position + 4 : start - 4])
            size = _U32.unpack_from(data, start - 4)[0]
            body = data[start : start + size]
            if len(body) < size:
                return
            if _op(fields) == _CONNECTION:
                self._add_connection(fields, body)
            elif _op(fields) == _MESSAGE and (channel := self._by_id.get(_U32.unpack(fields[b"conn"])[0])):
                yield Record(channel, _nanoseconds(fields[b"time"]), body)
            position = start + size

    def _add_connection(self, fields: Header, data: bytes) -> None:
        number = _U32.unpack(fields[b"conn"])[0]
        if number not in self._by_id:
            topic = "/" + "/".join(part for part in fields[b"topic"].decode().split("/") if part)
            schema = schema_name(_fields(data).get(b"type", b"").decode())
            self._by_id[number] = Channel(topic, schema, "ros1", 0, decoder_for("ros1", schema))


def _fields(data: bytes) -> Header:
    fields: Header = {}
    position = 0
    while position + 4 <= len(data):
        length = _U32.unpack_from(data, position)[0]
        name, _, value = data[position + 4 : position + 4 + length].partition(b"=")
        fields[name] = value
        position += 4 + length
    return fields


def _op(fields: Header) -> int:
    return (fields.get(b"op") or b"\0")[0]


def _nanoseconds(value: bytes) -> int:
    seconds, nanoseconds = _TIME.unpack(value)
    return seconds * 10**9 + nanoseconds
