"""Bytes of one message -> object with its fields, for CDR (ROS 2), ROS 1, protobuf and json.

ROS messages are read with the layouts that ship with ``rosbags``, never with a definition found in the file, so that no
code is generated from what a drive contains; custom ROS types are therefore not decoded (and not needed).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ParamSpec, TypeVar

from perception.errors import PerceptionError

__all__ = ["MessageError", "decoder_for", "fitting", "schema_name"]

P = ParamSpec("P")
T = TypeVar("T")

RESULT_SCHEMA = "perception.Result"
_ALIASES = {"tf/tfMessage": "tf2_msgs/TFMessage", "foxglove_msgs/CompressedVideo": "foxglove.CompressedVideo"}
_ROS_NAMES = {"foxglove.CompressedVideo": "foxglove_msgs/CompressedVideo"}
_MORE_TYPES = {
    "tf2_msgs/msg/TFMessage": "geometry_msgs/TransformStamped[] transforms",
    "velodyne_msgs/msg/VelodynePacket": "{time} stamp\nuint8[1206] data",
    "velodyne_msgs/msg/VelodyneScan": "std_msgs/Header header\nvelodyne_msgs/VelodynePacket[] packets",
    "foxglove_msgs/msg/CompressedVideo": "{time} timestamp\nstring frame_id\nuint8[] data\nstring format",
}
"""Layouts beside those of ``rosbags``."""


class MessageError(PerceptionError):
    """The content of one message cannot be used; the frame gets a fault and the run goes on."""


def fitting(read: Callable[P, T]) -> Callable[P, T]:
    """Decorates what reads the fields of a message: one that lacks them, or holds others, is a ``MessageError``.

    A schema is only a name: json carries whatever was written into it, and protobuf brings its own definition.
    """

    @functools.wraps(read)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except MessageError:
            raise
        except PerceptionError as error:
            raise MessageError(str(error)) from error
        except (AttributeError, TypeError, ValueError, LookupError, OverflowError) as error:
            raise MessageError(f"expected the fields of the message type, found others: {error!r}") from error

    return guarded


def schema_name(name: str) -> str:
    """``sensor_msgs/msg/Image`` and ``sensor_msgs/Image`` -> the latter; other names unchanged."""
    name = name.replace("/msg/", "/")
    return _ALIASES.get(name, name)


def decoder_for(
    encoding: str, schema: str, definition: bytes = b"", schema_encoding: str = ""
) -> Callable[[bytes], Any]:
    """A function that decodes messages of a channel.

    Args:
        encoding: Message encoding: ``cdr``, ``ros1``, ``protobuf`` or ``json``.
        schema: Normalised schema name, see :func:`schema_name`.
        definition: Schema data; needed for protobuf (a FileDescriptorSet).
        schema_encoding: Encoding of ``definition``.

    Returns:
        ``bytes -> message``; it raises :class:`MessageError` for bytes it cannot read.
    """
    read: Callable[[bytes], Any]
    if encoding in ("cdr", "ros1"):
        read = functools.partial(_ros, encoding, schema)
    elif encoding == "protobuf":
        read = _protobuf(schema, definition, schema_encoding)
    elif encoding == "json":
        read = json.loads if schema == RESULT_SCHEMA else _json
    else:
        read = functools.partial(_unreadable, encoding)
    return functools.partial(_guarded, read, schema)


def _guarded(read: Callable[[bytes], Any], schema: str, data: bytes) -> Any:
    try:
        return read(data)
    except MessageError:
        raise
    except Exception as error:  # the libraries raise struct.error, IndexError, AssertionError, ... for damaged bytes
        raise MessageError(f"expected a {schema} message, found bytes that do not decode: {error!r}") from error


@functools.cache
def _typestore(encoding: str) -> Any:
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE if encoding == "cdr" else Stores.ROS1_NOETIC)
    for name, text in _MORE_TYPES.items():
        if name not in store.types:
            stamp = "builtin_interfaces/Time" if encoding == "cdr" else "time"
            store.register(get_types_from_msg(text.format(time=stamp), name))
    return store


def _ros(encoding: str, schema: str, data: bytes) -> Any:
    store = _typestore(encoding)
    name = _ROS_NAMES.get(schema, schema).replace("/", "/msg/", 1)
    if name not in store.types:
        raise MessageError(f"message type {schema} is not one that can be decoded")
    return store.deserialize_cdr(data, name) if encoding == "cdr" else store.deserialize_ros1(data, name)


def _protobuf(schema: str, definition: bytes, schema_encoding: str) -> Callable[[bytes], Any]:
    made: list[Callable[[bytes], Any]] = []

    def read(data: bytes) -> Any:
        if not made:
            from mcap.records import Schema
            from mcap_protobuf.decoder import DecoderFactory

            record = Schema(id=1, name=schema, encoding=schema_encoding or "protobuf", data=definition)
            decoder = DecoderFactory().decoder_for("protobuf", record)
            if decoder is None:
                raise MessageError(f"{schema}: expected a protobuf schema, found encoding {schema_encoding!r}")
            made.append(decoder)
        return made[0](data)

    return read


def _json(data: bytes) -> Any:
    return json.loads(data, object_hook=lambda fields: SimpleNamespace(**fields))


def _unreadable(encoding: str, data: bytes) -> Any:
    raise MessageError(f"expected message encoding cdr, ros1, protobuf or json, found {encoding!r}")
