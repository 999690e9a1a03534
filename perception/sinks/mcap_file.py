"""An MCAP file of Foxglove (protobuf) and json channels whose bytes depend on nothing but what is written."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from perception.errors import InputError
from perception.sinks.storage import dump_json, storage_errors

__all__ = ["RESULT_SCHEMA", "McapFile", "cut", "join", "read_messages", "timestamp"]

RESULT_SCHEMA = "perception.Result"
"""Schema name of json channels that hold ``Result.to_dict()``."""

_LIBRARY = "perception"
_JSON_SCHEMA = b'{"type":"object"}'
_CHUNK_BYTES = 1 << 20


class McapFile:
    """Writes messages in order; channels and schemas appear when first used.

    No wall-clock time and no library version enters the file, so equal messages give equal bytes. A chunk goes to disk
    when it reaches 1 MiB and on :meth:`flush`; a file cut off later is readable up to its last whole chunk.

    Args:
        path: File to create; its folder is created too.
        profile: Profile in the header; ``"ros2"`` for a file that ROS 2 tools play.

    Raises:
        PerceptionError: From any method, when the disk is full or not writable.
    """

    def __init__(self, path: str | Path, profile: str = "") -> None:
        from mcap.writer import Writer

        self.path = Path(path)
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = open(self.path, "wb")  # noqa: SIM115 - closed by close() or abandon()
            self._writer = Writer(self._stream, chunk_size=_CHUNK_BYTES)
            self._writer.start(profile, _LIBRARY)
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}

    def proto(self, topic: str, message: Any, time_ns: int, sequence: int = 0) -> None:
        """Append a message of ``foxglove.messages``; ``time_ns`` is its log and publish time."""
        if topic not in self._channels:
            schema = type(message).get_schema()
            self._register(topic, schema.name, schema.encoding, schema.data, "protobuf")
        self._add(topic, message.encode(), time_ns, sequence)

    def json(self, topic: str, payload: Mapping[str, Any], schema: str, time_ns: int, sequence: int = 0) -> None:
        """Append a json object; ``schema`` names its type."""
        if topic not in self._channels:
            self._register(topic, schema, "jsonschema", _JSON_SCHEMA, "json")
        self._add(topic, dump_json(payload).encode(), time_ns, sequence)

    def cdr(self, topic: str, kind: str, definition: str, data: bytes, time_ns: int, sequence: int = 0) -> None:
        """Append a serialized ROS 2 message of type ``kind``, such as ``std_msgs/msg/String``."""
        if topic not in self._channels:
            self._register(topic, kind, "ros2msg", definition.encode(), "cdr")
        self._add(topic, data, time_ns, sequence)

    def copy(self, schema: Any, channel: Any, message: Any) -> None:
        """Append a message of another file unchanged (records as :func:`read_messages` gives them)."""
        if channel.topic not in self._channels:
            self._register(channel.topic, schema.name, schema.encoding, schema.data, channel.message_encoding)
        self._add(channel.topic, message.data, message.log_time, message.sequence)

    def flush(self) -> None:
        """End the chunk and hand everything to the operating system; survives a killed process."""
        with storage_errors(self.path):
            self._writer.flush()

    def close(self) -> None:
        """Write index and footer and close the file."""
        with storage_errors(self.path):
            self._writer.finish()
            self._stream.close()

    def abandon(self) -> None:
        """Close after an error or before deletion; what was flushed stays readable."""
        with suppress(OSError):
            self._stream.close()

    def _register(self, topic: str, name: str, encoding: str, data: bytes, message_encoding: str) -> None:
        with storage_errors(self.path):
            if name not in self._schemas:
                self._schemas[name] = self._writer.register_schema(name, encoding, data)
            self._channels[topic] = self._writer.register_channel(topic, message_encoding, self._schemas[name])

    def _add(self, topic: str, data: bytes, time_ns: int, sequence: int) -> None:
        with storage_errors(self.path):
            self._writer.add_message(self._channels[topic], time_ns, data, time_ns, sequence & 0xFFFFFFFF)


def timestamp(time_ns: int) -> Any:
    """Nanoseconds as ``foxglove.messages.Timestamp``."""
    from foxglove.messages import Timestamp

    return Timestamp(sec=time_ns // 1_000_000_000, nsec=time_ns % 1_000_000_000)


def read_messages(path: str | Path, torn: bool = False) -> Iterator[tuple[Any, Any, Any]]:
    """All (schema, channel, message) records in file order.

    Args:
        path: An MCAP file.
        torn: Accept a file that was cut off, of which the whole chunks are given.

    Raises:
        InputError: The file is broken, or has no end and ``torn`` is not set.
    """
    from mcap.exceptions import McapError
    from mcap.records import Channel, DataEnd, Message, Schema
    from mcap.stream_reader import StreamReader
    from zstandard import ZstdError

    schemas: dict[int, Any] = {}
    channels: dict[int, Any] = {}
    try:
        with open(path, "rb") as stream:
            for record in StreamReader(stream, validate_crcs=True).records:
                if isinstance(record, Schema):
                    schemas[record.id] = record
                elif isinstance(record, Channel):
                    channels[record.id] = record
                elif isinstance(record, Message):
                    channel = channels[record.channel_id]
                    yield schemas.get(channel.schema_id), channel, record
                elif isinstance(record, DataEnd):
                    return
    except (McapError, ZstdError, struct.error, ValueError, KeyError) as error:
        if not torn:
            raise InputError(path, "", "a whole MCAP file", f"{type(error).__name__} {error}".strip()) from error


def join(parts: Sequence[Path], target: Path, profile: str = "") -> None:
    """Copy the messages of ``parts``, in order, into ``target``."""
    out = McapFile(target, profile)
    try:
        for part in parts:
            for schema, channel, message in read_messages(part):
                out.copy(schema, channel, message)
    except BaseException:
        out.abandon()
        raise
    out.close()


def cut(part: Path, frames: int, target: Path, frame_topic: str, profile: str = "") -> None:
    """Copy the first ``frames`` frames of a part; each begins with its message on ``frame_topic``."""
    count = 0
    out = McapFile(target, profile)
    for schema, channel, message in read_messages(part):
        count += channel.topic == frame_topic
        if count > frames:
            break
        out.copy(schema, channel, message)
    out.close()
