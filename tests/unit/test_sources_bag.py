"""Whole drives of messages: frames, synchronisation, calibration, poses and what goes wrong."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from mcap.writer import Writer as McapWriter
from rosbags.typesys import Stores, get_typestore

from perception.errors import InputError, PerceptionError, UnknownNameError
from perception.geometry import rotation_from_euler
from perception.sources import open_drive, source_for
from perception.structures import Camera, Frame

MS = 1_000_000
BEGIN = 1_700_000_000_000 * MS
STORE = get_typestore(Stores.ROS2_HUMBLE)
T = {name.split("/")[-1]: kind for name, kind in STORE.types.items()}
PICTURE = np.full((48, 64, 3), (200, 60, 20), np.uint8)
JPEG = cv2.imencode(".jpg", PICTURE[..., ::-1])[1].ravel()


class Ros2Drive:
    """Write messages at (log time, header stamp) in milliseconds from BEGIN."""

    def __init__(self, path: Path) -> None:
        self.path, self._stream, self._channels = path, path.open("wb"), {}
        self._writer = McapWriter(self._stream, chunk_size=20_000)
        self._writer.start()

    def header(self, stamp_ms: float, frame: str) -> Any:
        stamp = BEGIN + round(stamp_ms * MS) if stamp_ms is not None else 0
        return STORE.types["std_msgs/msg/Header"](T["Time"](stamp // 10**9, stamp % 10**9), frame)

    def add(self, topic: str, kind: str, message: Any, log_ms: float) -> None:
        data = message if isinstance(message, bytes) else bytes(STORE.serialize_cdr(message, kind))
        if topic not in self._channels:
            schema = self._writer.register_schema(kind, "ros2msg", b"")
            self._channels[topic] = self._writer.register_channel(topic, "cdr", schema)
        log_ns = BEGIN + round(log_ms * MS)
        self._writer.add_message(self._channels[topic], log_ns, data, log_ns)

    def camera(self, name: str, stamp_ms: float, log_ms: float | None = None, data: Any = JPEG) -> None:
        kind = "sensor_msgs/msg/CompressedImage"
        message = T["CompressedImage"](self.header(stamp_ms, f"{name}_optical"), "jpeg", np.frombuffer(data, np.uint8))
        self.add(f"/{name}/image_raw/compressed", kind, message, stamp_ms if log_ms is None else log_ms)

    def info(self, name: str, width: int = 64, height: int = 48) -> None:
        k = np.array([50.0, 0, 32, 0, 50, 24, 0, 0, 1])
        roi = T["RegionOfInterest"](0, 0, 0, 0, False)
        message = T["CameraInfo"](self.header(0, f"{name}_optical"), height, width, "plumb_bob", np.zeros(5), k,
                                  np.eye(3).ravel(), np.zeros(12), 0, 0, roi)  # fmt: skip
        self.add(f"/{name}/camera_info", "sensor_msgs/msg/CameraInfo", message, 0)

    def lidar(self, stamp_ms: float, points: np.ndarray) -> None:
        fields = [T["PointField"](n, 4 * i, 7, 1) for i, n in enumerate("xyz")]
        data = np.ascontiguousarray(points, np.float32).view(np.uint8).ravel()
        message = T["PointCloud2"](self.header(stamp_ms, "top"), 1, len(points), fields, False, 12, 12 * len(points),
                                   data, False)  # fmt: skip
        self.add("/lidar/top/points", "sensor_msgs/msg/PointCloud2", message, stamp_ms)

    def transform(self, topic: str, stamp_ms: float, parent: str, child: str, x: float, yaw: float = 0) -> None:
        turn = T["Quaternion"](0, 0, float(np.sin(yaw / 2)), float(np.cos(yaw / 2)))
        edge = T["Transform"](T["Vector3"](x, 0, 0), turn)
        item = T["TransformStamped"](self.header(stamp_ms, parent), child, edge)
        self.add(topic, "tf2_msgs/msg/TFMessage", T["TFMessage"]([item]), stamp_ms)

    def finish(self) -> Path:
        self._writer.finish()
        self._stream.close()
        return self.path


@pytest.fixture
def drive(tmp_path: Path) -> Ros2Drive:
    return Ros2Drive(tmp_path / "drive.mcap")


def read(path: Path, **options: Any) -> list[Frame]:
    with open_drive(path, **options) as source:
        frames = list(source)
        assert len(source) >= len(frames)
        return frames


def kinds(frame: Frame) -> list[tuple[str, str]]:
    return [(fault.where, fault.kind) for fault in frame.faults]


def milliseconds(frames: list[Frame]) -> list[int]:
    return [round((frame.timestamp_ns - BEGIN) / MS) for frame in frames]


def test_cameras_and_lidar_are_joined_by_header_stamp(drive: Ros2Drive) -> None:
    for step in range(10):
        drive.camera("CAM_FRONT", step * 100, step * 100 + 5)
        if step != 4:
            drive.camera("CAM_BACK", step * 100 + 20, step * 100 + 40)
        drive.lidar(step * 100 - 30, np.full((5, 3), step))
    frames = read(drive.finish())
    assert milliseconds(frames) == list(range(0, 1000, 100)) and [f.index for f in frames] == list(range(10))
    assert [set(frame.images) for frame in frames] == [{"front", "back"} if i != 4 else {"front"} for i in range(10)]
    assert [kinds(frame) for frame in frames] == [[] if i != 4 else [("back", "missing")] for i in range(10)]
    assert [frame.clouds["top"].points[0, 0] for frame in frames] == list(range(10))
    assert frames[3].clouds["top"].timestamp_ns == BEGIN + 270 * MS
    assert np.abs(frames[0].images["front"].astype(int) - PICTURE).max() < 8
    assert frames[2].provenance.record == "/CAM_FRONT/image_raw/compressed#2"


def test_reference_and_tolerance_come_from_the_mapping(drive: Ros2Drive, tmp_path: Path) -> None:
    for step in range(6):
        drive.camera("CAM_FRONT", step * 100)
        if step % 2 == 0:
            drive.lidar(step * 100 + 30, np.zeros((1, 3)))
    path = drive.finish()
    mapping: dict[str, Any] = {
        "cameras": {"main": {"image": "/CAM_FRONT/image_raw/compressed"}},
        "lidars": {"roof": "/lidar/top/points"},
        "sync": {"reference": "roof", "tolerance_ms": 20},
    }
    file = tmp_path / "mapping.yaml"
    file.write_text(yaml.safe_dump(mapping))
    frames = read(path, mapping=file)
    assert milliseconds(frames) == [30, 230, 430] and all(kinds(f) == [("main", "missing")] for f in frames)
    mapping["sync"]["tolerance_ms"] = 31
    assert [list(frame.images) for frame in read(path, mapping=mapping)] == [["main"]] * 3
    mapping["cameras"]["main"]["image"] = "/CAM_FRONT/image_raw/compresed"
    with pytest.raises(UnknownNameError, match="did you mean"):
        open_drive(path, mapping=mapping)
    mapping["cameras"]["main"]["image"] = "/lidar/top/points"
    with pytest.raises(InputError, match="CompressedImage"):
        open_drive(path, mapping=mapping)


def test_corrupt_images_and_points_become_faults(drive: Ros2Drive) -> None:
    for step in range(4):
        drive.camera("cam", step * 100, data=JPEG[: len(JPEG) // 2] if step == 1 else JPEG)
        points = np.ones((4, 3))
        if step == 2:
            points[1, 0] = np.nan
        drive.lidar(step * 100, points)
    drive.add("/cam/image_raw/compressed", "sensor_msgs/msg/CompressedImage", b"\0\1\0\0junk", 400)
    frames = read(drive.finish())
    assert [kinds(frame) for frame in frames[:4]] == [[], [("front", "corrupt")], [("top", "nonfinite")], []]
    assert [len(frame.images) for frame in frames] == [1, 0, 1, 1, 0]
    assert "1 of 4" in frames[2].faults[0].message and len(frames[2].clouds["top"]) == 3
    assert set(kinds(frames[4])) == {("front", "corrupt"), ("top", "missing")}


def test_calibration_mounting_and_interpolated_pose(drive: Ros2Drive) -> None:
    drive.info("cam")
    drive.transform("/tf_static", 0, "base_link", "cam_optical", 1.5)
    drive.transform("/tf_static", 0, "base_link", "top", 0.5)
    for step in range(40):
        drive.transform("/tf", step * 25, "map", "base_link", step * 0.25, 0.02 * step)
    for step in range(10):
        drive.camera("cam", step * 100 + 12.5 if step else 0)
        drive.lidar(step * 100, np.zeros((1, 3)))
    path = drive.finish()
    frames = read(path)
    camera = frames[0].calibration.cameras["front"]
    assert camera.size == (64, 48) and camera.ego_from_camera is not None and camera.ego_from_camera[0, 3] == 1.5
    assert frames[0].calibration.sensors["top"][0, 3] == 0.5
    assert np.allclose(frames[3].ego_pose[:3, 3], [3.125, 0, 0])
    assert np.allclose(frames[3].ego_pose[:3, :3], rotation_from_euler(0, 0, 0.25))
    assert all(kinds(frame) == [] for frame in frames)
    with open_drive(path) as source:
        info = source.info
    assert info.has_calibration and info.has_pose and info.posed == ("front", "top") and info.mapping.pose == "tf"
    assert info.frames == 10 and info.cameras == {"front": (64, 48)} and 0.9 < info.duration_s < 1.0
    json.dumps(info.to_dict())


def test_pose_gaps_are_faults(drive: Ros2Drive) -> None:
    for step in range(30):
        if not 10 <= step < 20:
            drive.transform("/tf", step * 100, "odom", "base_link", step)
        drive.camera("cam", step * 100)
    frames = read(drive.finish())
    missing = [frame.index for frame in frames if ("ego_pose", "missing") in kinds(frame)]
    assert missing == list(range(11, 19))


def test_odometry_gives_the_pose(drive: Ros2Drive) -> None:
    for step in range(10):
        pose = T["PoseWithCovariance"](T["Pose"](T["Point"](step, 2, 0), T["Quaternion"](0, 0, 0, 1)), np.zeros(36))
        twist = T["TwistWithCovariance"](T["Twist"](T["Vector3"](0, 0, 0), T["Vector3"](0, 0, 0)), np.zeros(36))
        message = T["Odometry"](drive.header(step * 100, "odom"), "base_link", pose, twist)
        drive.add("/odom", "nav_msgs/msg/Odometry", message, step * 100)
        drive.camera("cam", step * 100)
    assert [frame.ego_pose[0, 3] for frame in read(drive.finish())] == list(range(10))


def test_other_image_sizes_leave_the_calibration(drive: Ros2Drive) -> None:
    drive.info("cam", 128, 96)
    drive.camera("cam", 0)
    frame = read(drive.finish())[0]
    assert kinds(frame) == [("front", "size")] and "128x96" in frame.faults[0].message
    assert "front" in frame.images and not frame.calibration.cameras


def test_given_calibration_replaces_that_of_the_drive(drive: Ros2Drive, tmp_path: Path) -> None:
    drive.info("cam")
    drive.transform("/tf_static", 0, "base_link", "cam_optical", 1.5)
    drive.camera("cam", 0)
    path = drive.finish()
    file = tmp_path / "calib.yaml"
    mine = Camera("front", 64, 48, np.array([[77.0, 0, 32], [0, 77, 24], [0, 0, 1]]))
    file.write_text(yaml.safe_dump({"front": mine.to_dict()}))
    camera = read(path, calib=file)[0].calibration.cameras["front"]
    assert camera.intrinsics[0, 0] == 77 and camera.ego_from_camera[0, 3] == 1.5
    with pytest.raises(UnknownNameError, match="did you mean 'front'"):
        open_drive(path, calib={"frnt": mine})
    file.write_text("front: {width: 3}\n")
    with pytest.raises(InputError, match=r"calib\.yaml.*height"):
        open_drive(path, calib=file)


def test_times_that_go_back(drive: Ros2Drive) -> None:
    stamps = [0, 100, 300, 200, 400, 500, 150, 600]
    for number, stamp in enumerate(stamps):
        drive.camera("cam", stamp, number * 100)
    frames = read(drive.finish())
    assert milliseconds(frames) == [0, 100, 200, 300, 400, 500, 600]
    assert [frame.index for frame in frames] == [0, 1, 3, 2, 4, 5, 7]
    reordered, dropped = ([frame for frame in frames if word in str(frame.faults)] for word in ("in order", "dropped"))
    assert milliseconds(reordered) == [200] and len(dropped) == 1 and milliseconds(dropped)[0] in (500, 600)


def test_seeking_keeps_what_lies_behind_a_clock_that_was_set_back(drive: Ros2Drive) -> None:
    stamps = [5000 + i * 100 for i in range(10)] + [i * 100 for i in range(10)]
    for number, stamp in enumerate(stamps):
        drive.camera("cam", stamp, 5000 + number * 100)
    with open_drive(drive.finish()) as source:
        everything = list(source)
        assert milliseconds(everything) == stamps
        source.seek(everything[7].timestamp_ns)
        assert [frame.index for frame in source] == list(range(7, 20))
        source.seek(None)
        assert milliseconds(list(source)) == stamps


def test_missing_stamps_fall_back_to_log_time(drive: Ros2Drive) -> None:
    message = T["CompressedImage"](drive.header(None, "cam"), "jpeg", JPEG)
    for step in range(3):
        drive.add("/cam/image_raw/compressed", "sensor_msgs/msg/CompressedImage", message, step * 100)
    frames = read(drive.finish())
    assert milliseconds(frames) == [0, 100, 200] and ("/cam/image_raw/compressed", "time") in kinds(frames[-1])


@pytest.mark.parametrize("lag_ms", [0, 30, 86_400_000])
def test_ranges_every_and_seek_agree_with_the_whole_drive(drive: Ros2Drive, lag_ms: int) -> None:
    for step in range(50):
        drive.camera("cam", step * 100, step * 100 + lag_ms)
    path = drive.finish()
    everything = read(path)
    with open_drive(path, start=1.0, end=3.0, every=3) as source:
        part = list(source)
        assert [frame.index for frame in part] == list(range(10, 31, 3)) and len(source) == len(part) == 7
        source.seek(everything[17].timestamp_ns)
        assert [frame.index for frame in source] == [19, 22, 25, 28]
    assert [f.timestamp_ns for f in part] == [everything[i].timestamp_ns for i in range(10, 31, 3)]
    with pytest.raises(PerceptionError, match="every"):
        open_drive(path, every=0)
    with pytest.raises(PerceptionError, match="end"):
        open_drive(path, start=5, end=1)
    assert read(path, start=100) == []


def test_cut_off_drive_ends_with_a_fault(drive: Ros2Drive) -> None:
    for step in range(100):
        drive.camera("cam", step * 100)
    path = drive.finish()
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with open_drive(path) as source:
        frames = list(source)
        assert source.faults[0].kind == "corrupt" and not source.info.frames_exact
    assert 50 < len(frames) < 90 and [frame.index for frame in frames] == list(range(len(frames)))
    assert all(not frame.faults for frame in frames[:-1]) and frames[-1].faults[0].kind == "corrupt"


def test_drives_without_camera_or_lidar_list_their_topics(drive: Ros2Drive) -> None:
    drive.transform("/tf", 0, "map", "base_link", 0)
    with pytest.raises(InputError, match=r"drive\.mcap: expected .*camera.*found /tf \(tf2_msgs/TFMessage\)"):
        open_drive(drive.finish())


def test_topics_of_an_unknown_schema_are_listed_and_left_out(drive: Ros2Drive) -> None:
    for step in range(3):
        drive.camera("cam", step * 100)
        drive.add("/radar/points", "vendor_msgs/msg/RadarScan", b"\0\1\0\0\7\7", step * 100)
    with open_drive(drive.finish()) as source:
        assert ("/radar/points", "vendor_msgs/RadarScan", 3) in [(s.name, s.type, s.count) for s in source.info.streams]
        assert [kinds(frame) for frame in source] == [[], [], []]


def test_a_drive_of_unknown_schemas_only_is_refused_with_its_topics(drive: Ros2Drive) -> None:
    drive.add("/radar/points", "vendor_msgs/msg/RadarScan", b"\0\1\0\0\7\7", 0)
    with pytest.raises(InputError, match=r"found /radar/points \(vendor_msgs/RadarScan\)"):
        open_drive(drive.finish())


@pytest.mark.parametrize(("name", "content"), [("a.txt", b"hello"), ("empty.bag", b""), ("folder", None)])
def test_unknown_drives_say_what_was_found(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"hello|empty file|empty folder"):
        source_for(path)
    with pytest.raises(InputError, match="no such file"):
        source_for(tmp_path / "absent")
    with pytest.raises(InputError, match="https"):
        source_for("https://example.org/drive.mcap")


def test_memory_does_not_grow_with_the_drive(tmp_path: Path) -> None:
    def peak(count: int, write: Callable[[Path], Ros2Drive]) -> int:
        drive = write(tmp_path / f"{count}.mcap")
        for step in range(count):
            drive.lidar(step * 100, np.zeros((3000, 3)))
            drive.transform("/tf", step * 100, "map", "base_link", step)
        path = drive.finish()
        with open_drive(path) as source:
            list(zip(range(3), source))
            tracemalloc.start()
            assert sum(1 for _ in source) == count
            _, highest = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return highest

    small, large = peak(30, Ros2Drive), peak(240, Ros2Drive)
    assert large < small * 1.5 + 300_000


def test_damaged_bytes_anywhere_never_crash(drive: Ros2Drive) -> None:
    drive.info("cam")
    for step in range(12):
        drive.camera("cam", step * 100)
        drive.transform("/tf", step * 100, "map", "base_link", step)
    path = drive.finish()
    whole = path.read_bytes()
    rng = np.random.default_rng(5)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), rng.choice([1, 4])):
            data[place] = rng.integers(0, 256)
        path.write_bytes(data[: len(data) if rng.random() < 0.7 else rng.integers(1, len(data))])
        try:
            with open_drive(path) as source:
                assert len(list(source)) <= 12
            outcomes["read"] += 1
        except PerceptionError as error:
            assert "drive.mcap" in str(error)
            outcomes["refused"] += 1
    assert outcomes["read"] > 10
