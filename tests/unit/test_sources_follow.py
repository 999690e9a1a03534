"""Drives that are still being written."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from mcap.writer import CompressionType, Writer

from perception.errors import InputError
from perception.fuzz.seeds_logs import _ros2, _ros2_messages, rosbag1
from perception.sources import open_drive

BEGIN = 1_700_000_000_000_000_000
STEP = 100_000_000
IMAGE = "sensor_msgs/msg/CompressedImage"


def images() -> list[bytes]:
    return [bytes(_ros2().serialize_cdr(m, kind)) for _, kind, _, m in _ros2_messages() if kind == IMAGE]


def follow(path: Path, write: Callable[[], None], idle_s: float = 3.0) -> tuple[list[int], float]:
    writer = threading.Thread(target=write)
    with open_drive(path, follow=idle_s) as drive:
        writer.start()
        found = [frame.index for frame in drive]
        ended = time.monotonic()
    writer.join()
    return found, ended


@pytest.mark.parametrize("compression", [CompressionType.NONE, CompressionType.ZSTD])
def test_an_mcap_file_is_followed_until_it_is_closed(tmp_path: Path, compression: CompressionType) -> None:
    path = tmp_path / "a.mcap"
    stream = path.open("wb")
    writer = Writer(stream, chunk_size=500, compression=compression)
    writer.start("ros2")
    channel = writer.register_channel("/cam/image", "cdr", writer.register_schema(IMAGE, "ros2msg", b""))
    data, done = images(), []

    def add(number: int) -> None:
        writer.add_message(channel, BEGIN + number * STEP, data[number], BEGIN + number * STEP)
        stream.flush()

    add(0)
    add(1)

    def write() -> None:
        for number in (2, 3):
            time.sleep(0.3)
            add(number)
        writer.finish()
        stream.close()
        done.append(time.monotonic())

    found, ended = follow(path, write)
    assert found == [0, 1, 2, 3] and ended - done[0] < 2  # not the whole time of waiting
    with open_drive(path) as drive:
        assert [frame.index for frame in drive] == found and not drive.faults


def test_a_sqlite_bag_is_followed_until_nothing_comes(tmp_path: Path) -> None:
    path = tmp_path / "a.db3"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT)")
        database.execute(
            "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB)"
        )
        database.execute("INSERT INTO topics VALUES (1, '/cam/image', ?, 'cdr')", (IMAGE,))
    data = images()

    def add(number: int) -> None:
        with sqlite3.connect(path) as database:
            row = (1, BEGIN + number * STEP, data[number])
            database.execute("INSERT INTO messages(topic_id, timestamp, data) VALUES (?, ?, ?)", row)

    add(0)

    def write() -> None:
        for number in (1, 2, 3):
            time.sleep(0.2)
            add(number)

    assert follow(path, write, 1.0)[0] == [0, 1, 2, 3]


def test_a_folder_of_pictures_is_followed(tmp_path: Path) -> None:
    def add(number: int) -> None:
        cv2.imwrite(str(tmp_path / f"{number:03d}.png"), np.zeros((48, 64, 3), np.uint8))

    add(0)

    def write() -> None:
        for number in (1, 2):
            time.sleep(0.3)
            add(number)

    assert follow(tmp_path, write, 1.0)[0] == [0, 1, 2]


def test_other_formats_say_that_they_cannot_be_followed(tmp_path: Path) -> None:
    rosbag1(tmp_path)
    with (
        open_drive(tmp_path / "plain.bag", follow=1.0) as drive,
        pytest.raises(InputError, match="expected an MCAP file"),
    ):
        list(drive)
