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
from perception.sources import drives_in, open_drive

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


class Recorder:
    """Writes an MCAP file, a picture a message."""

    def __init__(self, path: Path) -> None:
        self.stream = path.open("wb")
        self.writer = Writer(self.stream, chunk_size=500)
        self.writer.start("ros2")
        self.channel = self.writer.register_channel(
            "/cam/image", "cdr", self.writer.register_schema(IMAGE, "ros2msg", b"")
        )
        self.stream.flush()

    def add(self, number: int) -> None:
        at = BEGIN + number * STEP
        self.writer.add_message(self.channel, at, images()[number % 4], at)
        self.stream.flush()

    def close(self) -> None:
        self.writer.finish()
        self.stream.close()


def recorded(path: Path, numbers: range) -> None:
    recorder = Recorder(path)
    for number in numbers:
        recorder.add(number)
    recorder.close()


def test_files_a_recorder_begins_meanwhile_are_read_on(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    bag.mkdir()
    first = Recorder(bag / "bag_0.mcap")
    first.add(0)
    done = []

    def write() -> None:
        first.add(1)
        first.close()
        time.sleep(0.5)  # a closed file is not the end of the bag
        second = Recorder(bag / "bag_1.mcap")
        for number in (2, 3):
            second.add(number)
            time.sleep(0.3)
        second.close()
        (bag / "metadata.yaml").write_text(
            "rosbag2_bagfile_information:\n  relative_file_paths: [bag_0.mcap, bag_1.mcap]\n"
        )
        done.append(time.monotonic())

    with open_drive(bag, follow=5.0) as drive:
        writer = threading.Thread(target=write)
        writer.start()
        found = [frame.timestamp_ns for frame in drive]
        ended = time.monotonic()
    writer.join()
    assert len(found) == 4 and ended - done[0] < 3  # ends with the metadata, not after the whole time of waiting


def test_independent_recordings_in_a_folder_are_drives_of_their_own(tmp_path: Path) -> None:
    for name in ("city.mcap", "highway.mcap"):
        recorded(tmp_path / name, range(4))
    assert [Path(drive).name for drive in drives_in(tmp_path)] == ["city.mcap", "highway.mcap"]
    with pytest.raises(InputError, match=r"drives inside it: city\.mcap, highway\.mcap"):
        open_drive(tmp_path)


@pytest.mark.parametrize(
    ("second", "text"), [(range(2, 40), r"overlap by 1\.[5-9] s"), (range(3000, 3004), r"lie 29\d s apart")]
)
def test_files_named_alike_that_are_no_parts_are_refused(tmp_path: Path, second: range, text: str) -> None:
    recorded(tmp_path / "run_1.mcap", range(20))
    recorded(tmp_path / "run_2.mcap", second)
    with pytest.raises(InputError, match=rf"run_1\.mcap and run_2\.mcap, which {text}: give each file"):
        open_drive(tmp_path)
    names = "[run_1.mcap, run_2.mcap]"
    (tmp_path / "metadata.yaml").write_text(f"rosbag2_bagfile_information:\n  relative_file_paths: {names}\n")
    open_drive(tmp_path).close()


def test_parts_without_metadata_are_one_recording_and_a_lost_one_is_told(tmp_path: Path) -> None:
    for part in (0, 1, 3):
        recorded(tmp_path / f"bag_{part}.mcap", range(4 * part, 4 * part + 4))
    with open_drive(tmp_path) as drive:
        assert len(drive) == 12 and drives_in(tmp_path) == [str(tmp_path)]
        assert [fault.message for fault in drive.faults] == ["bag_1.mcap is followed by bag_3.mcap: 1 missing"]


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
