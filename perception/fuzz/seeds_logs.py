"""Small valid message logs: MCAP, rosbag2, ROS 1 bags."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from perception.fuzz.seeds import CHECKED, camera, jpeg
from perception.structures import Calibration, Frame, Lanes2D, PointCloud

__all__ = ["mcap", "mcap_video", "rosbag1", "rosbag2", "velodyne", "video_packets"]

_BEGIN = 1_700_000_000_000_000_000
_STEP = 100_000_000


def mcap(folder: Path) -> None:
    """Foxglove messages in compressed chunks, and ROS 2 messages in plain chunks without checksums."""
    from perception.sinks.mcap_inputs import McapFrameWriter

    writer = McapFrameWriter(folder / "foxglove.mcap", "jpeg")
    lanes = Lanes2D("front", (64, 48), (np.array([[1, 2], [3, 4]], np.float32),), np.ones(1, np.float32))
    for step in range(4):
        cloud = PointCloud(np.ones((9, 3)), {"intensity": np.arange(9, dtype=np.float32)}, _BEGIN, "top")
        rig = Calibration({"front": camera()}, {"top": np.eye(4)})
        at = _BEGIN + step * _STEP
        writer.write(Frame(at, step, {"front": CHECKED}, {"top": cloud}, rig, np.eye(4), {"front/lanes_2d": lanes}))
    writer.close()
    _plain_mcap(folder / "ros2.mcap", _ros2_messages())


def mcap_video(folder: Path) -> None:
    """H.264 and H.265, a packet a message."""
    for codec in ("h264", "hevc"):
        messages = []
        for number, data in enumerate(video_packets(codec, 6)):
            name = "h265" if codec == "hevc" else codec
            messages.append(
                ("/cam/video", "foxglove_msgs/msg/CompressedVideo", number, _video_message(number, data, name))
            )
        _plain_mcap(folder / f"{codec}.mcap", messages)


def rosbag2(folder: Path) -> None:
    """The same messages in sqlite3 and in MCAP storage."""
    from rosbags.rosbag2 import StoragePlugin, Writer

    for plugin in ("SQLITE3", "MCAP"):
        with Writer(folder / plugin.lower(), version=9, storage_plugin=StoragePlugin[plugin]) as writer:
            connections: dict[str, Any] = {}
            for topic, kind, number, message in _ros2_messages():
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=_ros2())
                data = _ros2().serialize_cdr(message, kind)
                writer.write(connections[topic], _BEGIN + number * _STEP, data)


def rosbag1(folder: Path) -> None:
    """Pictures and transforms in plain, lz4 and bz2 chunks."""
    from rosbags.rosbag1 import Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC)
    kind = "sensor_msgs/msg/CompressedImage"
    for compression in ("", "LZ4", "BZ2"):
        writer = Writer(folder / f"{compression.lower() or 'plain'}.bag")
        if compression:
            writer.set_compression(Writer.CompressionFormat[compression])
        with writer:
            connection = writer.add_connection("/cam/image/compressed", kind, typestore=store)
            for number in range(5):
                stamp = store.types["builtin_interfaces/msg/Time"](1_700_000_000, number * _STEP)
                header = store.types["std_msgs/msg/Header"](number, stamp, "cam")
                message = store.types[kind](header, "jpeg", jpeg())
                writer.write(connection, _BEGIN + number * _STEP, store.serialize_ros1(message, kind))


def velodyne(folder: Path) -> None:
    """Packets of a VLP-16 in a sqlite3 bag."""
    from rosbags.rosbag2 import StoragePlugin, Writer

    block = b"\xff\xee" + b"\x10\x00" + np.tile([0x10, 0x27, 0x20], 32).astype(np.uint8).tobytes()
    packet = np.frombuffer(block * 12 + b"\0\0\0\0" + b"\x37\x22", np.uint8)
    kind = "velodyne_msgs/msg/VelodyneScan"
    store = _ros2()
    with Writer(folder / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection("/velodyne_packets", kind, typestore=store)
        for number in range(3):
            packets = [store.types["velodyne_msgs/msg/VelodynePacket"](_stamp(number), packet) for _ in range(5)]
            message = store.types[kind](_header(number, "velodyne"), packets)
            writer.write(connection, _BEGIN + number * _STEP, store.serialize_cdr(message, kind))


def video_packets(codec: str, count: int, every: int = 3) -> list[bytes]:
    """Packets of an H.264 or H.265 video without B-frames; every ``every``-th is a key frame."""
    import av

    encoder = {"h264": "libx264", "hevc": "libx265"}[codec]
    context: Any = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt, context.framerate = 64, 48, "yuv420p", 10
    quiet = {"x265-params": f"log-level=none:keyint={every}:bframes=0:repeat-headers=1"} if codec == "hevc" else {}
    context.options = {"tune": "zerolatency", "preset": "ultrafast", "g": str(every), "bf": "0", **quiet}
    packets = []
    for number in range(count):
        picture = np.roll(np.kron(CHECKED[::8, ::8], np.ones((8, 8, 1), np.uint8)), number, axis=1)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = number
        packets += [bytes(packet) for packet in context.encode(frame)]
    return packets + [bytes(packet) for packet in context.encode(None)]


def _ros2() -> Any:
    from perception.sources.wire import _typestore

    return _typestore("cdr")


def _stamp(number: int) -> Any:
    return _ros2().types["builtin_interfaces/msg/Time"](*divmod(_BEGIN + number * _STEP, 10**9))


def _header(number: int, frame: str) -> Any:
    return _ros2().types["std_msgs/msg/Header"](_stamp(number), frame)


def _video_message(number: int, data: bytes, form: str) -> Any:
    kind = "foxglove_msgs/msg/CompressedVideo"
    return _ros2().types[kind](_stamp(number), "cam", np.frombuffer(data, np.uint8), form)


def _ros2_messages() -> Iterator[tuple[str, str, int, Any]]:
    """(topic, type, number, message) of cameras, a LiDAR, transforms, satellite fixes and an inertial unit."""
    types = _ros2().types

    def make(kind: str, *values: Any) -> Any:
        return types[kind](*values)

    vector: Callable[..., Any] = lambda *v: make("geometry_msgs/msg/Vector3", *v)  # noqa: E731
    turn = make("geometry_msgs/msg/Quaternion", 0.0, 0.0, 0.0, 1.0)
    for n in range(4):
        kind = "sensor_msgs/msg/CompressedImage"
        yield "/cam/image/compressed", kind, n, make(kind, _header(n, "cam"), "jpeg", jpeg())
        kind, roi = "sensor_msgs/msg/CameraInfo", make("sensor_msgs/msg/RegionOfInterest", 0, 0, 0, 0, False)
        k = np.array([60.0, 0, 32, 0, 60, 24, 0, 0, 1])
        yield (
            "/cam/camera_info",
            kind,
            n,
            make(
                kind,
                _header(n, "cam"),
                48,
                64,
                "plumb_bob",
                np.full(5, 0.01),
                k,
                np.eye(3).ravel(),
                np.zeros(12),
                0,
                0,
                roi,
            ),
        )
        kind = "sensor_msgs/msg/PointCloud2"
        fields = [make("sensor_msgs/msg/PointField", name, 4 * i, 7, 1) for i, name in enumerate("xyzi")]
        data = np.ones((9, 4), "<f4").view(np.uint8).ravel()
        yield "/points", kind, n, make(kind, _header(n, "lidar"), 1, 9, fields, False, 16, 144, data, True)
        kind = "sensor_msgs/msg/Image"
        yield "/side/image_raw", kind, n, make(kind, _header(n, "side"), 48, 64, "bgr8", 0, 192, CHECKED.ravel())
        kind = "tf2_msgs/msg/TFMessage"
        move = make("geometry_msgs/msg/Transform", vector(1.0, 0.0, 1.5), turn)
        yield "/tf", kind, n, make(kind, [
            make("geometry_msgs/msg/TransformStamped", _header(n, "base_link"), name, move) for name in ("cam", "lidar")
        ])  # fmt: skip
        kind, status = "sensor_msgs/msg/NavSatFix", make("sensor_msgs/msg/NavSatStatus", 0, 1)
        yield "/fix", kind, n, make(kind, _header(n, "gps"), status, 49.0, 8 + n * 1e-4, 100.0, np.zeros(9), 0)
        kind = "sensor_msgs/msg/Imu"
        yield (
            "/imu",
            kind,
            n,
            make(
                kind,
                _header(n, "imu"),
                turn,
                np.zeros(9),
                vector(0.0, 0.0, 0.0),
                np.zeros(9),
                vector(0.0, 0.0, 9.8),
                np.zeros(9),
            ),
        )


def _plain_mcap(path: Path, messages: Any) -> None:
    """An MCAP file of ROS 2 messages without compression and checksums, so that damage reaches the decoders."""
    from mcap.writer import CompressionType, Writer

    with path.open("wb") as stream:
        writer = Writer(stream, chunk_size=4000, compression=CompressionType.NONE, enable_crcs=False)
        writer.start("ros2")
        channels: dict[str, int] = {}
        for topic, kind, number, message in messages:
            if topic not in channels:
                schema = writer.register_schema(kind, "ros2msg", b"")
                channels[topic] = writer.register_channel(topic, "cdr", schema)
            at = _BEGIN + number * _STEP
            writer.add_message(channels[topic], at, bytes(_ros2().serialize_cdr(message, kind)), at)
        writer.finish()
