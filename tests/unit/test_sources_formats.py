"""Drives in every message format: our own recordings, Foxglove protobuf and json, ROS 1."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import foxglove
import numpy as np
import pytest
from foxglove.channels import RawImageChannel
from foxglove.messages import RawImage, Timestamp
from mcap.writer import Writer as McapWriter
from rosbags.rosbag1 import Writer as Rosbag1Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from perception.geometry import make_pose, rotation_from_euler
from perception.geometry.transforms import CAMERA_AXES_IN_EGO
from perception.sinks.mcap_inputs import McapFrameWriter
from perception.sources import open_drive
from perception.structures import Calibration, Camera, Frame, Lanes2D, PointCloud

MS = 1_000_000
BEGIN = 1_700_000_000_000 * MS
PICTURE = np.full((48, 64, 3), (200, 60, 20), np.uint8)
JPEG = cv2.imencode(".jpg", PICTURE[..., ::-1])[1].ravel()


def read(path: Path, **options: Any) -> list[Frame]:
    with open_drive(path, **options) as source:
        frames = list(source)
        assert len(source) == len(frames)
        return frames


def our_frames() -> list[Frame]:
    rng = np.random.default_rng(3)
    pose = make_pose(CAMERA_AXES_IN_EGO, np.array([1.5, 0, 1.4]))
    k = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
    rig = {name: Camera(name, 64, 48, k, "plumb_bob", np.full(5, 0.01), pose) for name in ("front", "rear")}
    lanes = Lanes2D("front", (64, 48), (np.array([[1, 2], [3, 4]], np.float32),), np.ones(1, np.float32))
    lidar = make_pose(np.eye(3), np.array([0, 0, 2.0]))
    return [
        Frame(
            BEGIN + step * 100 * MS,
            step,
            {name: rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for name in rig},
            {"top": PointCloud(rng.normal(size=(9, 3)), {"intensity": np.arange(9, dtype=np.float32)}, BEGIN, "top")},
            Calibration(rig, {"top": lidar}),
            make_pose(rotation_from_euler(0, 0, 0.1 * step), np.array([step, 0, 0])),
            {"front/lanes_2d": lanes} if step % 2 == 0 else {},
        )
        for step in range(5)
    ]


def test_our_own_recordings_come_back_as_they_were(tmp_path: Path) -> None:
    written = our_frames()
    writer = McapFrameWriter(tmp_path / "sim.mcap", "png")
    for frame in written:
        writer.write(frame)
    writer.close()
    frames = read(tmp_path / "sim.mcap")
    assert len(frames) == 5
    for want, have in zip(written, frames):
        assert (have.timestamp_ns, have.index) == (want.timestamp_ns, want.index)
        assert all(np.array_equal(have.images[name], want.images[name]) for name in ("front", "rear"))
        assert np.allclose(have.ego_pose, want.ego_pose)
        for name, camera in want.calibration.cameras.items():
            assert np.allclose(have.calibration.cameras[name].intrinsics, camera.intrinsics)
            assert np.allclose(have.calibration.cameras[name].ego_from_camera, camera.ego_from_camera)
            assert have.calibration.cameras[name].lens == "plumb_bob"
        assert np.allclose(have.calibration.sensors["top"], want.calibration.sensors["top"])
        assert set(have.truth) == set(want.truth)
    assert np.array_equal(frames[0].truth["front/lanes_2d"].lanes[0], [[1, 2], [3, 4]])
    assert np.array_equal(frames[0].clouds["top"].points, written[0].clouds["top"].points)
    assert np.array_equal(frames[0].clouds["top"].fields["intensity"], np.arange(9))


def test_foxglove_raw_images_written_by_the_sdk(tmp_path: Path) -> None:
    path = tmp_path / "raw.mcap"
    context = foxglove.Context()
    with foxglove.open_mcap(path, context=context):
        channel = RawImageChannel("/camera/left/image", context=context)
        for step in range(3):
            ns = BEGIN + step * 100 * MS
            message = RawImage(timestamp=Timestamp(ns // 10**9, ns % 10**9), frame_id="left", width=64, height=48,
                               encoding="bgr8", step=192, data=PICTURE[..., ::-1].tobytes())  # fmt: skip
            channel.log(message, log_time=ns)
    frames = read(path)
    assert [frame.timestamp_ns - BEGIN for frame in frames] == [0, 100 * MS, 200 * MS] and all(
        np.array_equal(f.images["left"], PICTURE) for f in frames
    )


def test_foxglove_json_drives(tmp_path: Path) -> None:
    path = tmp_path / "json.mcap"
    with path.open("wb") as stream:
        writer = McapWriter(stream)
        writer.start()
        channels = {}
        for topic, kind in {
            "/cam/image": "CompressedImage",
            "/tf": "FrameTransform",
            "/cam/calibration": "CameraCalibration",
            "/points": "PointCloud",
            "/pose": "PoseInFrame",
        }.items():
            schema = writer.register_schema(f"foxglove.{kind}", "jsonschema", b"{}")
            channels[topic] = writer.register_channel(topic, "json", schema)
        turn, pixels = {"x": 0, "y": 0, "z": 0, "w": 1}, base64.b64encode(JPEG.tobytes()).decode()
        cloud = {"point_stride": 12, "fields": [{"name": n, "offset": 4 * i, "type": 7} for i, n in enumerate("xyz")],
                 "pose": {"position": {"x": 0, "y": 0, "z": 2}, "orientation": turn},
                 "data": base64.b64encode(np.ones((5, 3), np.float32).tobytes()).decode()}  # fmt: skip
        for step in range(3):
            ns = BEGIN + step * 100 * MS
            head = {"timestamp": {"sec": ns // 10**9, "nsec": ns % 10**9}, "frame_id": "cam"}
            place = {"x": step, "y": 0, "z": 0}
            content = {
                "/cam/calibration": {**head, "width": 64, "height": 48, "distortion_model": "", "D": [],
                                     "K": [50, 0, 32, 0, 50, 24, 0, 0, 1], "R": [], "P": []},
                "/tf": {**head, "parent_frame_id": "ego", "child_frame_id": "cam", "rotation": turn,
                        "translation": {"x": 1, "y": 0, "z": 0}},
                "/pose": {**head, "pose": {"position": place, "orientation": turn}},
                "/points": {**head, **cloud},
                "/cam/image": {**head, "format": "jpeg", "data": pixels},
            }  # fmt: skip
            for topic, message in content.items():
                writer.add_message(channels[topic], ns, json.dumps(message).encode(), ns)
        writer.finish()
    frames = read(path, mapping={"cameras": {"front": {"image": "/cam/image", "info": "/cam/calibration"}},
                                 "lidars": {"top": "/points"}, "pose": "/pose"})  # fmt: skip
    assert [frame.ego_pose[0, 3] for frame in frames] == [0, 1, 2] and all(not frame.faults for frame in frames)
    assert frames[0].calibration.cameras["front"].ego_from_camera[0, 3] == 1
    assert np.array_equal(frames[2].clouds["top"].points, np.tile([1, 1, 3], (5, 1)))


@pytest.mark.parametrize("container", ["bag", "mcap"])
def test_ros1_messages_in_bags_and_in_mcap(tmp_path: Path, container: str) -> None:
    store = get_typestore(Stores.ROS1_NOETIC)
    store.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", "tf2_msgs/msg/TFMessage"))
    kinds_ = {name.split("/")[-1]: kind for name, kind in store.types.items()}
    roi = kinds_["RegionOfInterest"](0, 0, 0, 0, False)
    k = np.array([50.0, 0, 32, 0, 50, 24, 0, 0, 1])
    path = tmp_path / f"drive.{container}"
    messages = []
    for step in range(4):
        header = kinds_["Header"](step, store.types["builtin_interfaces/msg/Time"](100 + step, 0), "/cam")
        edge = kinds_["Transform"](kinds_["Vector3"](1.5, 0, 0), kinds_["Quaternion"](0, 0, 0, 1))
        root = kinds_["Header"](step, store.types["builtin_interfaces/msg/Time"](100 + step, 0), "/base_link")
        image = kinds_["Image"](header, 48, 64, "rgb8", 0, 192, PICTURE.ravel())
        info = kinds_["CameraInfo"](
            header, 48, 64, "plumb_bob", np.zeros(5), k, np.eye(3).ravel(), np.zeros(12), 0, 0, roi
        )
        tree = kinds_["TFMessage"]([kinds_["TransformStamped"](root, "/cam", edge)])
        items = [
            ("/cam/camera_info", "sensor_msgs/msg/CameraInfo", info),
            ("/cam/image_raw", "sensor_msgs/msg/Image", image),
            ("/tf", "tf2_msgs/msg/TFMessage", tree),
        ]
        messages += [
            (topic, kind, bytes(store.serialize_ros1(m, kind)), (100 + step) * 10**9) for topic, kind, m in items
        ]
    if container == "bag":
        with Rosbag1Writer(path) as bag:
            known = {topic: bag.add_connection(topic, kind, typestore=store) for topic, kind, _, _ in messages[:3]}
            for topic, _, data, time in messages:
                bag.write(known[topic], time, data)
    else:
        with path.open("wb") as stream:
            writer = McapWriter(stream)
            writer.start()
            ids = {}
            for topic, kind, _, _ in messages[:3]:
                schema = writer.register_schema(kind.replace("/msg/", "/"), "ros1msg", b"")
                ids[topic] = writer.register_channel(topic, "ros1", schema)
            for topic, _, data, time in messages:
                writer.add_message(ids[topic], time, data, time)
            writer.finish()
    frames = read(path)
    assert [frame.timestamp_ns for frame in frames] == [n * 10**9 for n in range(100, 104)]
    assert all(np.array_equal(frame.images["front"], PICTURE) and not frame.faults for frame in frames)
    camera = frames[0].calibration.cameras["front"]
    assert camera.lens == "plumb_bob" and camera.ego_from_camera[0, 3] == 1.5 and frames[0].ego_pose is None
