"""Reading drives: decoding and joining sensors against a plain loop with the same libraries, and reading ahead."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from perception.bench.core import Pair, benchmark
from perception.errors import PerceptionError
from perception.geometry import Camera, make_pose
from perception.geometry.transforms import CAMERA_AXES_IN_EGO, rotation_from_euler
from perception.structures import Calibration, Frame, PointCloud

_FRAMES = 40
_STAGE_S = 0.05
_YAWS = {
    "front": 0,
    "front_left": 50,
    "front_right": -50,
    "left": 99,
    "right": -99,
    "back_left": 150,
    "back_right": -150,
}


@benchmark("runtime", "read_rig", naive="mcap + cv2 + numpy in a loop", unit="frame")
def read_rig() -> Pair:
    """Seven cameras and a LiDAR, 10 Hz, joined by header stamp with calibration and poses."""
    path = _rig_drive()
    return Pair(lambda: _ours(path), lambda: _plain_foxglove(path), _FRAMES, _same_count)


@benchmark("runtime", "read_rig_one_thread", naive="mcap + cv2 + numpy in a loop, all on one thread", unit="frame")
def read_rig_one_thread() -> Pair:
    """The same on one thread, as the loop beside it: what joining, calibration, poses and checks cost."""
    path = _rig_drive()
    return Pair(_on_one_thread(_ours, path), _on_one_thread(_plain_foxglove, path), _FRAMES, _same_count)


@benchmark("runtime", "read_nuscenes_frame", naive="mcap + rosbags + cv2 in a loop", unit="frame")
def read_nuscenes_frame() -> Pair:
    """The nuScenes key frame as a ROS 2 recording; ``PERCEPTION_REAL`` names the folder of real recordings."""
    root = Path(os.environ.get("PERCEPTION_REAL") or Path(__file__).resolve().parents[3].parent / "shared" / "real")
    path = root / "drives_repackaged" / "nuscenes_frame_ros2.mcap"
    if not path.is_file():
        raise PerceptionError(f"{path}: set PERCEPTION_REAL to the folder of real recordings")
    return Pair(lambda: _ours(path), lambda: _plain_ros2(path), 1, _same_count)


@benchmark("runtime", "read_ahead", naive="a stage of 50 ms alone, nothing to read", unit="frame")
def read_ahead() -> Pair:
    """Reading ahead behind a stage that waits 50 ms a frame, as one on a GPU: a ratio of 1 hides reading completely."""
    return _behind(lambda: time.sleep(_STAGE_S))


@benchmark("runtime", "read_ahead_cpu", naive="a stage of 50 ms on one core alone, nothing to read", unit="frame")
def read_ahead_cpu() -> Pair:
    """Reading ahead behind a stage that computes for about 50 ms on one thread of torch."""
    image, kernel = torch.rand(1, 32, 128, 128), torch.rand(32, 32, 3, 3)
    layer = partial(torch.nn.functional.conv2d, image, kernel, padding=1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        layer()
        begin = time.perf_counter()
        for _ in range(20):
            layer()
        count = max(round(20 * _STAGE_S / (time.perf_counter() - begin)), 1)
    finally:
        torch.set_num_threads(threads)

    def stage() -> None:
        torch.set_num_threads(1)
        try:
            for _ in range(count):
                layer()
        finally:
            torch.set_num_threads(threads)

    return _behind(stage)


def _behind(stage: Callable[[], None]) -> Pair:
    """The stage on every frame of the open drive against the stage alone; the wait for the first frame counts."""
    from perception.runtime.prefetch import Prefetch

    path = _rig_drive()

    def staged(items: Iterable[Any]) -> int:
        count = 0
        for _ in items:
            stage()
            count += 1
        return count

    def ours() -> int:
        with Prefetch(iter(_opened(path)), 2) as frames:
            return staged(frames)

    return Pair(ours, lambda: staged(range(_FRAMES)), _FRAMES, _same_count)


def _on_one_thread(read: Callable[[Path], tuple[int, int]], path: Path) -> Callable[[], tuple[int, int]]:
    def call() -> tuple[int, int]:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            return read(path)
        finally:
            cv2.setNumThreads(threads)

    return call


def _ours(path: Path) -> tuple[int, int]:
    """Images and clouds delivered."""
    images = clouds = 0
    for frame in _opened(path):
        images += len(frame.images)
        clouds += len(frame.clouds)
    return images, clouds


@cache
def _opened(path: Path) -> Any:
    """The drive, opened once, as the loops beside it keep what they know of the file."""
    from perception.sources import open_drive

    return open_drive(path)


def _same_count(ours: Any, naive: Any) -> bool:
    return ours == naive


@cache
def _reader(path: Path) -> tuple[Any, Any]:
    from mcap.reader import make_reader
    from mcap_protobuf.decoder import DecoderFactory

    stream = path.open("rb")
    return stream, make_reader(stream, decoder_factories=[DecoderFactory()])


def _plain_foxglove(path: Path) -> tuple[int, int]:
    """Decode in file order and keep what has one stamp together, as a loop written for this recording would."""
    images = clouds = stamp = 0
    group: dict[str, Any] = {}
    for schema, channel, _, message in _reader(path)[1].iter_decoded_messages():
        if schema.name not in ("foxglove.CompressedImage", "foxglove.PointCloud"):
            continue
        at = message.timestamp.seconds * 10**9 + message.timestamp.nanos
        if at != stamp:
            group, stamp = {}, at
        if schema.name == "foxglove.CompressedImage":
            group[channel.topic] = _plain_image(np.frombuffer(message.data, np.uint8))
            images += 1
        else:
            group[channel.topic] = _plain_cloud(np.frombuffer(message.data, np.float32), message.point_stride)
            clouds += 1
    return images, clouds


def _plain_ros2(path: Path) -> tuple[int, int]:
    from perception.sources.wire import _typestore

    store = _typestore("cdr")
    group: dict[str, Any] = {}
    images = clouds = 0
    for schema, channel, record in _reader(path)[1].iter_messages():
        message = store.deserialize_cdr(record.data, schema.name)
        if schema.name == "sensor_msgs/msg/CompressedImage":
            group[channel.topic] = _plain_image(message.data)
            images += 1
        elif schema.name == "sensor_msgs/msg/PointCloud2":
            group[channel.topic] = _plain_cloud(message.data.view(np.float32), message.point_step)
            clouds += 1
    return images, clouds


def _plain_image(data: np.ndarray) -> np.ndarray:
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert image is not None
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _plain_cloud(data: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    table = data.reshape(-1, stride // 4)
    return np.ascontiguousarray(table[:, :3]), np.ascontiguousarray(table[:, 3])


@cache
def _rig_drive() -> Path:
    """A recording of seven 1024x768 cameras and a LiDAR of 60,000 points, written once for this process."""
    from perception.sinks.mcap_inputs import McapFrameWriter

    folder = tempfile.TemporaryDirectory(prefix="perception-bench-")
    _KEPT.append(folder)
    path = Path(folder.name) / "rig.mcap"
    writer = McapFrameWriter(path, "jpeg")
    for frame in _rig_frames():
        writer.write(frame)
    writer.close()
    return path


_KEPT: list[Any] = []


def _rig_frames() -> Iterator[Frame]:
    rng = np.random.default_rng(0)
    size = (1024, 768)
    cameras = {}
    for name, yaw in _YAWS.items():
        turn = rotation_from_euler(0, 0, np.radians(yaw)) @ CAMERA_AXES_IN_EGO
        matrix = np.array([[800.0, 0, 511.5], [0, 800, 383.5], [0, 0, 1]])
        cameras[name] = Camera(name, *size, matrix, ego_from_camera=make_pose(turn, np.array([1.5, 0, 1.5])))
    small = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    picture = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)
    for number in range(_FRAMES):
        at = 1_700_000_000_000_000_000 + number * 100_000_000
        points = rng.uniform(-50, 50, (60_000, 3)).astype(np.float32)
        cloud = PointCloud(points, {"intensity": np.zeros(60_000, np.float32)}, at, "top")
        images = {name: np.roll(picture, 8 * number, axis=1) for name in cameras}
        pose = make_pose(np.eye(3), np.array([float(number), 0, 0]))
        yield Frame(at, number, images, {"top": cloud}, Calibration(cameras, {"top": np.eye(4)}), pose)
