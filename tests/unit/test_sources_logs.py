"""Containers of messages: ROS 1, ROS 2 and MCAP files, complete and damaged."""

from __future__ import annotations

import bz2
import json
import shutil
import sqlite3
import struct
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
import zstandard
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag1 import Writer as Rosbag1Writer
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Rosbag2Writer
from rosbags.typesys import Stores, get_typestore

from perception.errors import InputError
from perception.sources import rosbag2_log
from perception.sources.bag import open_log
from perception.sources.log import MessageLog
from perception.sources.mcap_log import McapLog

COUNT = 60
STEP = 100_000_000
PAYLOAD = np.random.default_rng(0).integers(0, 256, 2000, dtype=np.uint8)


def image(store, number: int):
    types = store.types
    extra = {"seq": number} if "seq" in types["std_msgs/msg/Header"].__dataclass_fields__ else {}
    stamp = types["builtin_interfaces/msg/Time"](number * STEP // 10**9, number * STEP % 10**9)
    header = types["std_msgs/msg/Header"](stamp=stamp, frame_id="cam", **extra)
    return types["sensor_msgs/msg/CompressedImage"](header, "jpeg", PAYLOAD)


def write_ros1(path: Path, compression: str = "none") -> Path:
    store = get_typestore(Stores.ROS1_NOETIC)
    kind = "sensor_msgs/msg/CompressedImage"
    writer = Rosbag1Writer(path)
    writer.chunk_threshold = 8000
    if compression != "none":
        writer.set_compression(Rosbag1Writer.CompressionFormat[compression.upper()])
    with writer:
        one, two = (writer.add_connection(topic, kind, typestore=store) for topic in ("/a", "/b"))
        for number in range(COUNT):
            data = store.serialize_ros1(image(store, number), kind)
            writer.write(one if number % 3 else two, number * STEP + 1, data)
    return path


def write_ros2(path: Path, storage: str) -> Path:
    store = get_typestore(Stores.ROS2_HUMBLE)
    kind = "sensor_msgs/msg/CompressedImage"
    with Rosbag2Writer(path, version=9, storage_plugin=StoragePlugin[storage]) as writer:
        one, two = (writer.add_connection(topic, kind, typestore=store) for topic in ("/a", "/b"))
        for number in range(COUNT):
            data = store.serialize_cdr(image(store, number), kind)
            writer.write(one if number % 3 else two, number * STEP + 1, data)
    return path


def write_mcap(path: Path, compression: str = "zstd", chunked: bool = True, indexed: bool = True) -> Path:
    store = get_typestore(Stores.ROS2_HUMBLE)
    with path.open("wb") as stream:
        writer = McapWriter(
            stream,
            chunk_size=8000,
            compression=CompressionType[compression.upper()],
            use_chunking=chunked,
            use_summary_offsets=indexed,
            use_statistics=indexed,
        )
        writer.start()
        schema = writer.register_schema("sensor_msgs/msg/CompressedImage", "ros2msg", b"")
        topics = [writer.register_channel(topic, "cdr", schema) for topic in ("/a", "/b")]
        for number in range(COUNT):
            data = bytes(store.serialize_cdr(image(store, number), "sensor_msgs/msg/CompressedImage"))
            writer.add_message(topics[number % 3 == 0], number * STEP + 1, data, number * STEP + 1)
        writer.finish()
    return path


def stamps(log: MessageLog, *topics: str, **limits: int) -> list[int]:
    records = list(log.messages(topics or ("/a", "/b"), **limits))
    for record in records:
        message = record.message()
        assert bytes(message.data) == PAYLOAD.tobytes()
        assert message.header.stamp.sec * 10**9 + message.header.stamp.nanosec + 1 == record.log_ns
    return [record.log_ns // STEP for record in records]


@pytest.fixture(
    params=[
        "ros1",
        "ros1-bz2",
        "ros1-lz4",
        "sqlite",
        "folder-mcap",
        "mcap",
        "mcap-lz4",
        "mcap-none",
        "loose",
        "no-index",
    ]
)
def drive(request, tmp_path: Path) -> Path:  # fmt: skip
    kind, _, variant = request.param.partition("-")
    if kind == "ros1":
        return write_ros1(tmp_path / "drive.bag", variant or "none")
    if kind in ("sqlite", "folder"):
        return write_ros2(tmp_path / "bag", "MCAP" if variant else "SQLITE3")
    if kind == "no":
        return write_mcap(tmp_path / "x.mcap", indexed=False)
    return write_mcap(tmp_path / "drive.mcap", variant or "zstd", chunked=kind != "loose")


def test_all_messages_ranges_and_counts(drive: Path) -> None:
    log = open_log(drive)
    try:
        assert {topic: channel.count for topic, channel in log.channels.items()} == {"/a": 40, "/b": 20}
        assert {channel.schema for channel in log.channels.values()} == {"sensor_msgs/CompressedImage"}
        assert (log.start_ns, log.end_ns) == (1, 59 * STEP + 1) and log.faults == []
        assert stamps(log) == list(range(COUNT))
        assert stamps(log, "/b") == list(range(0, COUNT, 3))
        assert stamps(log, start_ns=20 * STEP, stop_ns=30 * STEP) == list(range(20, 30))
        assert stamps(log, "/c") == []
        for border in (0, 17, 18, 59, 60, 99):
            assert log.count_before("/b", border * STEP) == len(range(0, min(border, COUNT), 3))
        assert stamps(log) == list(range(COUNT))
    finally:
        log.close()
        log.close()


@pytest.mark.parametrize("share", [0.35, 0.71, 0.99])
@pytest.mark.parametrize("kind", ["zstd", "lz4", "none", "loose", "bag", "bag-bz2", "bag-lz4"])
def test_cut_off_files_give_what_is_in_front_of_the_cut(tmp_path: Path, kind: str, share: float) -> None:
    if kind.startswith("bag"):
        path = write_ros1(tmp_path / "drive.bag", kind[4:] or "none")
    else:
        path = write_mcap(tmp_path / "drive.mcap", "none" if kind == "loose" else kind, chunked=kind != "loose")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    log = open_log(path)
    found = stamps(log)
    assert found == list(range(len(found))) and len(found) >= int(COUNT * share) - 6
    assert sum(channel.count for channel in log.channels.values()) == len(found)
    assert log.faults and log.faults[0].kind == "corrupt"
    log.close()


def test_a_cut_inside_the_only_chunk_still_gives_messages(tmp_path: Path) -> None:
    path = tmp_path / "drive.mcap"
    with path.open("wb") as stream:
        writer = McapWriter(stream, compression=CompressionType.NONE)
        writer.start()
        channel = writer.register_channel("/chat", "json", writer.register_schema("chat", "jsonschema", b"{}"))
        for number in range(100):
            writer.add_message(channel, number, json.dumps({"n": number, "pad": "x" * 100}).encode(), number)
        writer.finish()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    log = open_log(path)
    numbers = [record.message().n for record in log.messages(["/chat"])]
    assert numbers == list(range(len(numbers))) and 30 < len(numbers) < 100
    log.close()


def test_damaged_chunks_are_skipped_and_recorded(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / "drive.mcap")
    log = McapLog(path)
    middle = log.segments[len(log.segments) // 2]
    log.close()
    data = bytearray(path.read_bytes())
    data[middle.offset + middle.size // 2] ^= 0xFF
    path.write_bytes(data)
    log = open_log(path)
    found = stamps(log)
    assert 40 < len(found) < COUNT and found == sorted(found)
    assert len(log.faults) == 1 and str(middle.offset) in log.faults[0].message
    stamps(log)
    assert len(log.faults) == 1
    log.close()


def test_truncated_databases_give_the_readable_part(tmp_path: Path) -> None:
    bag = write_ros2(tmp_path / "bag", "SQLITE3")
    file = next(bag.glob("*.db3"))
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.6)])
    log = open_log(bag)
    found = stamps(log)
    assert found == list(range(len(found))) and len(found) > 5
    assert any(fault.kind == "corrupt" for fault in log.faults)
    log.close()


def test_messages_without_a_time_are_left_out_and_named(tmp_path: Path) -> None:
    bag = write_ros2(tmp_path / "bag", "SQLITE3")
    with sqlite3.connect(next(bag.glob("*.db3"))) as database:
        database.execute("UPDATE messages SET timestamp = x'313233' WHERE id = 3")
    database.close()
    log = open_log(bag)
    assert stamps(log) == [number for number in range(COUNT) if number != 2]
    assert isinstance(log.end_ns, int) and sum(map(len, log.times().values())) == COUNT - 1
    assert [fault.message for fault in log.faults] == ["messages whose topic or time is no number are left out"]
    log.close()


def test_bags_without_metadata_missing_parts_and_names_that_point_outside(tmp_path: Path) -> None:
    bag = write_ros2(tmp_path / "bag", "SQLITE3")
    metadata = (bag / "metadata.yaml").read_text()
    (bag / "metadata.yaml").unlink()
    with_parts = open_log(bag)
    assert stamps(with_parts) == list(range(COUNT))
    with_parts.close()
    bare = open_log(next(bag.glob("*.db3")))
    assert stamps(bare) == list(range(COUNT))
    bare.close()
    secret = tmp_path / "secret.db3"
    shutil.copy(next(bag.glob("*.db3")), secret)
    (bag / "metadata.yaml").write_text(metadata.replace("bag.db3", "../secret.db3"))
    files, missing, _ = rosbag2_log.bag_files(bag)
    assert files == [] and missing == ["secret.db3"]
    with pytest.raises(InputError, match=r"secret\.db3"):
        open_log(bag)


def test_split_bags_are_chained_and_name_missing_parts(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    bag.mkdir()
    store = get_typestore(Stores.ROS2_HUMBLE)
    for part in range(3):
        with (bag / f"p_{part}.mcap").open("wb") as stream:
            writer = McapWriter(stream)
            writer.start()
            schema = writer.register_schema("sensor_msgs/msg/CompressedImage", "ros2msg", b"")
            channel = writer.register_channel("/a", "cdr", schema)
            for number in range(part * 10, part * 10 + 10):
                data = bytes(store.serialize_cdr(image(store, number), "sensor_msgs/msg/CompressedImage"))
                writer.add_message(channel, number * STEP + 1, data, number * STEP + 1)
            writer.finish()
    names = "".join(f"    - p_{part}.mcap\n" for part in (2, 0, 1, 7))
    (bag / "metadata.yaml").write_text(f"rosbag2_bagfile_information:\n  relative_file_paths:\n{names}")
    log = open_log(bag)
    assert stamps(log, "/a") == list(range(30)) and log.channels["/a"].count == 30
    assert log.count_before("/a", 25 * STEP) == 25
    assert [fault.message for fault in log.faults] == ["p_7.mcap is named in metadata.yaml and does not exist"]
    log.close()


@pytest.mark.parametrize("mode", ["file", "message"])
def test_zstd_bags(tmp_path: Path, mode: str) -> None:
    bag = write_ros2(tmp_path / "bag", "SQLITE3")
    file = next(bag.glob("*.db3"))
    packer = zstandard.ZstdCompressor()
    metadata = (bag / "metadata.yaml").read_text()
    if mode == "file":
        (bag / f"{file.name}.zstd").write_bytes(packer.compress(file.read_bytes()))
        file.unlink()
        metadata = metadata.replace(file.name, f"{file.name}.zstd")
    else:
        with sqlite3.connect(file) as database:
            for number, data in database.execute("SELECT id, data FROM messages").fetchall():
                database.execute("UPDATE messages SET data = ? WHERE id = ?", (packer.compress(data), number))
        database.close()
    lines = [line for line in metadata.splitlines() if "compression" not in line]
    lines.insert(1, f"  compression_mode: {mode.upper()}\n  compression_format: zstd")
    (bag / "metadata.yaml").write_text("\n".join(lines))
    log = open_log(bag)
    assert stamps(log) == list(range(COUNT))
    scratch = getattr(log, "_scratch", None)
    log.close()
    assert scratch is None or not Path(scratch.name).exists()


def record(fields: dict[str, bytes], data: bytes) -> bytes:
    header = b"".join(struct.pack("<I", len(k) + 1 + len(v)) + k.encode() + b"=" + v for k, v in fields.items())
    return struct.pack("<I", len(header)) + header + struct.pack("<I", len(data)) + data


@pytest.mark.parametrize(("name", "pack"), [("bz2", bz2.compress), ("lz4", lz4.frame.compress)])
def test_an_unindexed_bag_written_by_hand(tmp_path: Path, name: str, pack) -> None:
    u32 = struct.Struct("<I").pack
    connection = record({"type": b"std_msgs/String", "topic": b"/chat"}, b"")[4:-4]
    inner = record({"op": b"\x07", "conn": u32(5), "topic": b"//chat/"}, connection)
    for number in range(3):
        inner += record({"op": b"\x02", "conn": u32(5), "time": struct.pack("<II", number, 7)}, u32(2) + b"hi")
    head = record({"op": b"\x03", "index_pos": bytes(8), "conn_count": u32(0), "chunk_count": u32(0)}, b" " * 100)
    packed = pack(inner)
    chunk = record({"op": b"\x05", "compression": name.encode(), "size": u32(len(inner))}, packed)
    path = tmp_path / "x.bag"
    path.write_bytes(b"#ROSBAG V2.0\n" + head + chunk + chunk[:30])
    log = open_log(path)
    assert [(r.log_ns, r.message().data) for r in log.messages(["/chat"])] == [(n * 10**9 + 7, "hi") for n in range(3)]
    assert log.channels["/chat"].schema == "std_msgs/String" and "no index" in log.faults[0].message
    log.close()


@pytest.mark.parametrize(
    "head", [b"", b"\x89MCAP0\r\n", b"#ROSBAG V2.0\n", b"SQLite format 3\0", b"#ROSBAG V2.0\n" + b"\xff" * 64]
)
def test_files_with_nothing_to_read_are_refused_by_name(tmp_path: Path, head: bytes) -> None:  # fmt: skip
    path = tmp_path / "broken.bin"
    path.write_bytes(head)
    with pytest.raises(InputError, match=r"broken\.bin"):
        open_log(path)


def test_metadata_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metadata.yaml").write_text("name: something\n")
    with pytest.raises(InputError, match="rosbag2_bagfile_information"):
        open_log(tmp_path)
