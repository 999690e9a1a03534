"""Decoding of single messages: pixels, clouds, calibration, transforms."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace as Message

import cv2
import numpy as np
import pytest

from perception.sources import messages
from perception.sources.clouds import decode_cloud
from perception.sources.gnss import GnssPoses
from perception.sources.pixels import decode_compressed, decode_raw
from perception.sources.wire import MessageError, decoder_for, schema_name

RGB = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


def packed(image: np.ndarray, pad: int = 0) -> tuple[bytes, int]:
    rows = image.reshape(image.shape[0], -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, pad)), constant_values=255)
    return rows.tobytes(), rows.shape[1]


@pytest.mark.parametrize("pad", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "image"),
    [
        ("rgb8", RGB),
        ("bgr8", RGB[..., ::-1]),
        ("8UC3", RGB[..., ::-1]),
        ("rgba8", np.dstack([RGB, np.full((4, 6), 7, np.uint8)])),
        ("bgra8", np.dstack([RGB[..., ::-1], np.full((4, 6), 7, np.uint8)])),
        ("rgb16", RGB.astype(np.uint16) * 256 + 99),
    ],
)
def test_colour_encodings_give_the_same_rgb(encoding: str, image: np.ndarray, pad: int) -> None:
    data, step = packed(np.ascontiguousarray(image), pad)
    assert np.array_equal(decode_raw(data, 6, 4, encoding, step), RGB)


@pytest.mark.parametrize(("encoding", "big"), [("mono8", False), ("mono16", False), ("16UC1", True), ("8UC1", False)])
def test_grey_encodings_are_repeated_and_keep_the_high_byte(encoding: str, big: bool) -> None:
    grey = RGB[..., 0]
    wide = (grey.astype(np.uint16) << 8 | 0x5A).astype(">u2" if big else "<u2")
    data = (wide if "16" in encoding else grey).tobytes()
    assert np.array_equal(decode_raw(data, 6, 4, encoding, big_endian=big), np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize(("pattern", "cells"), [("rggb", "rggb"), ("bggr", "bggr"), ("gbrg", "gbrg"), ("grbg", "grbg")])
def test_bayer_patterns_restore_a_flat_colour(pattern: str, cells: str) -> None:
    colour = {"r": 200, "g": 90, "b": 20}
    tile = np.array([[colour[cells[0]], colour[cells[1]]], [colour[cells[2]], colour[cells[3]]]], np.uint8)
    data = np.tile(tile, (4, 4)).tobytes()
    image = decode_raw(data, 8, 8, f"bayer_{pattern}8")
    assert np.array_equal(image[4, 4], [200, 90, 20])


@pytest.mark.parametrize(("encoding", "order"), [("yuv422", (1, 0)), ("uyvy", (1, 0)), ("yuyv", (0, 1))])
def test_yuv_grey_stays_grey(encoding: str, order: tuple[int, int]) -> None:
    image = np.zeros((2, 4, 2), np.uint8)
    image[..., order[0]], image[..., order[1]] = 126, 128
    assert np.abs(decode_raw(image.tobytes(), 4, 2, encoding).astype(int) - 128).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((b"\0" * 10, 6, 4, "rgb8"), "expected 72 bytes"),
        ((b"\0" * 96, 6, 4, "32FC1"), "32FC1"),
        ((b"", 0, 4, "rgb8"), "rows"),
    ],
)
def test_bad_raw_images_are_refused(arguments: tuple, text: str) -> None:
    with pytest.raises(MessageError, match=text):
        decode_raw(*arguments)


def test_compressed_images_of_all_depths_become_rgb() -> None:
    big = cv2.resize(RGB, (64, 48), interpolation=cv2.INTER_NEAREST)
    assert np.array_equal(decode_compressed(cv2.imencode(".png", big[..., ::-1])[1].tobytes()), big)
    alpha = np.dstack([big[..., ::-1], np.zeros((48, 64), np.uint8)])
    assert np.array_equal(decode_compressed(cv2.imencode(".png", alpha)[1].tobytes()), big)
    deep = big[..., ::-1].astype(np.uint16) << 8
    assert np.array_equal(decode_compressed(cv2.imencode(".png", deep)[1].tobytes()), big)
    grey = decode_compressed(cv2.imencode(".png", big[..., 0])[1].tobytes())
    assert np.array_equal(grey, np.repeat(big[..., :1], 3, axis=2))


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_cut_off_pictures_are_refused(suffix: str) -> None:
    data = cv2.imencode(suffix, cv2.resize(RGB, (64, 48)))[1].tobytes()
    assert decode_compressed(data).shape == (48, 64, 3)
    for part in (data[: len(data) * 2 // 3], b"", b"hello"):
        with pytest.raises(MessageError):
            decode_compressed(part)


def cloud_message(points: np.ndarray, height: int, pad: int, big: bool) -> tuple[Message, bytes]:
    order = ">" if big else "<"
    formats = [f"{order}{code}" for code in ("f4", "f4", "f4", "f4", "u2", "u4")]
    layout = {"names": ["x", "y", "z", "i", "ring", "t"], "formats": formats, "offsets": [0, 4, 8, 16, 20, 24]}
    dtype = np.dtype({**layout, "itemsize": 32})
    table = np.zeros(len(points), dtype)
    table["x"], table["y"], table["z"] = points.T
    table["i"], table["ring"], table["t"] = np.arange(len(points)), 3, np.arange(len(points)) * 1000
    rows = table.reshape(height, -1).view(np.uint8)
    data = np.pad(rows, ((0, 0), (0, pad))).tobytes()
    types = {"x": 7, "y": 7, "z": 7, "i": 7, "ring": 4, "t": 6}
    fields = [Message(name=n, offset=dtype.fields[n][1], datatype=types[n], count=1) for n in dtype.names]
    width = len(points) // height
    message = Message(fields=fields, point_step=32, row_step=width * 32 + pad, height=height, width=width,
                      is_bigendian=big, is_dense=False)  # fmt: skip
    return message, data


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(("height", "pad"), [(1, 0), (3, 0), (3, 12)])
def test_point_cloud2_layouts(height: int, pad: int, big: bool) -> None:
    points = np.random.default_rng(1).normal(size=(12, 3)).astype(np.float32)
    points[4, 1] = np.nan
    points[7, 2] = np.inf
    cloud, removed = decode_cloud(*cloud_message(points, height, pad, big), 5, "top")
    keep = np.isfinite(points).all(1)
    assert removed == 2 and cloud.sensor == "top" and cloud.timestamp_ns == 5
    assert np.array_equal(cloud.points, points[keep])
    assert np.array_equal(cloud.fields["intensity"], np.arange(12, dtype=np.float32)[keep])
    assert np.array_equal(cloud.fields["ring"], np.full(10, 3)) and cloud.fields["ring"].dtype == np.uint16
    assert np.allclose(cloud.fields["time"], np.arange(12)[keep] * 1e-6)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.array([1_700_000_000.25, 1_700_000_000.5]), 8),
        (np.array([0.25, 0.5], np.float32), 7),
        (np.array([250_000_000, 500_000_000], np.uint32), 6),
    ],
)
def test_time_of_points_is_relative_whatever_its_unit(values: np.ndarray, code: int) -> None:
    dtype = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("timestamp", values.dtype)])
    table = np.zeros(2, dtype)
    table["timestamp"] = values
    fields = [Message(name=n, offset=dtype.fields[n][1], datatype=7, count=1) for n in "xyz"]
    fields.append(Message(name="timestamp", offset=12, datatype=code, count=1))
    message = Message(fields=fields, point_step=dtype.itemsize, row_step=0, height=1, width=2, is_bigendian=False)
    cloud, _ = decode_cloud(message, table.tobytes(), 1_700_000_000 * 10**9, "top")
    assert np.allclose(cloud.fields["time"], [0.25, 0.5], atol=1e-6)


def test_damaged_clouds_are_refused() -> None:
    message, data = cloud_message(np.zeros((4, 3), np.float32), 1, 0, False)
    with pytest.raises(MessageError, match="expected 128 bytes for 1 x 4 points, found 100"):
        decode_cloud(message, data[:100], 0, "top")
    message.fields[1].count = 3
    with pytest.raises(MessageError, match="one number a point"):
        decode_cloud(message, data, 0, "top")
    message.fields[1].count = 1
    message.fields[2].offset = 30
    with pytest.raises(MessageError, match="'z'"):
        decode_cloud(message, data, 0, "top")
    del message.fields[2]
    with pytest.raises(MessageError, match="x, y and z"):
        decode_cloud(message, data, 0, "top")


def camera_info(model: str, d: list[float], **changes: object) -> Message:
    fields = {"width": 640, "height": 480, "distortion_model": model, "d": d, "r": np.eye(3).ravel(),
              "k": [500, 0, 320, 0, 510, 240, 0, 0, 1], "p": [450, 0, 320, 0, 0, 460, 240, 0, 0, 0, 1, 0]}  # fmt: skip
    return Message(**{**fields, **changes})


@pytest.mark.parametrize(
    ("model", "count", "lens"),
    [
        ("plumb_bob", 5, "plumb_bob"),
        ("rational_polynomial", 8, "rational_polynomial"),
        ("equidistant", 4, "equidistant"),
        ("fisheye", 4, "equidistant"),
        ("kannala_brandt", 4, "equidistant"),
        ("plumb_bob", 0, "none"),
        ("", 0, "none"),
        ("", 5, "plumb_bob"),
    ],
)
def test_lens_models_of_camera_info(model: str, count: int, lens: str) -> None:
    camera = messages.camera_of(camera_info(model, [0.01] * count), "front")
    assert camera is not None and camera.lens == lens and len(camera.distortion) == count
    assert camera.intrinsics[1, 1] == 510 and camera.rectified is not None and camera.rectified[0, 0] == 450


def test_ros1_spelling_unset_calibration_and_unknown_lens() -> None:
    info = camera_info("plumb_bob", [])
    upper = Message(width=640, height=480, distortion_model="plumb_bob", D=[], K=info.k, R=info.r, P=info.p)
    assert np.array_equal(messages.camera_of(upper, "front").intrinsics, messages.camera_of(info, "front").intrinsics)
    assert messages.camera_of(camera_info("plumb_bob", [], k=[0.0] * 9), "front") is None
    with pytest.raises(MessageError, match="mystery"):
        messages.camera_of(camera_info("mystery", [0.1] * 5), "front")


def test_region_of_interest_and_binning_change_the_camera() -> None:
    roi = Message(x_offset=100, y_offset=40, width=400, height=400)
    camera = messages.camera_of(camera_info("plumb_bob", [], roi=roi, binning_x=2, binning_y=2), "front")
    assert camera.size == (200, 200)
    assert np.allclose(camera.intrinsics[:2, 2], [(220 + 0.5) / 2 - 0.5, (200 + 0.5) / 2 - 0.5])


def test_foxglove_json_is_read_like_protobuf() -> None:
    pixels = base64.b64encode(RGB.tobytes()).decode()
    fields = {"frame_id": "front", "width": 6, "height": 4, "encoding": "rgb8", "step": 18, "data": pixels}
    text = json.dumps({"timestamp": {"sec": 3, "nsec": 7}, **fields})
    message = decoder_for("json", "foxglove.RawImage")(text.encode())
    assert messages.stamp_of(message) == 3_000_000_007 and messages.frame_of(message) == "front"
    assert np.array_equal(messages.image_of(message), RGB)


def test_bytes_that_do_not_decode_raise_message_errors() -> None:
    known = [(encoding, "sensor_msgs/Image") for encoding in ("cdr", "ros1", "json", "protobuf")]
    for encoding, schema in [*known, ("cdr", "vendor_msgs/Packet"), ("xml", "a")]:
        with pytest.raises(MessageError):
            decoder_for(encoding, schema)(b"\0\1\0\0garbage")


def test_messages_without_the_fields_of_their_schema_are_refused() -> None:
    """Names and definitions of a damaged file may claim any schema for any message."""
    empty, half = Message(), Message(transforms=[Message(parent_frame_id="a", translation=None, rotation=None)])
    readers = (messages.image_of, lambda m: messages.cloud_of(m, 0, "top"), lambda m: messages.camera_of(m, "front"))
    gnss = GnssPoses()
    for read in (*readers, messages.pose_of, lambda m: gnss.add_imu(0, m), lambda m: gnss.add_fix(0, m)):
        with pytest.raises(MessageError, match="expected"):
            read(empty)
    with pytest.raises(MessageError, match="child_frame_id"):
        messages.transforms_of(half)
    assert messages.frame_of(Message(header=Message())) == ""


def test_only_the_wanted_transforms_are_read() -> None:
    zero, turn = Message(x=0.0, y=0.0, z=0.0), Message(x=0.0, y=0.0, z=0.0, w=1.0)
    broken = Message(x=float("nan"), y=0.0, z=0.0)
    edges = [
        Message(parent_frame_id="map", child_frame_id=child, translation=move, rotation=turn)
        for child, move in (("/base_link", zero), ("mast", broken))
    ]
    assert [edge.child for edge in messages.transforms_of(Message(transforms=edges), {"base_link"})] == ["base_link"]
    with pytest.raises(MessageError, match="finite"):
        messages.transforms_of(Message(transforms=edges))


def test_schema_names() -> None:
    assert schema_name("sensor_msgs/msg/Image") == schema_name("sensor_msgs/Image") == "sensor_msgs/Image"
    assert schema_name("tf/msg/tfMessage") == "tf2_msgs/TFMessage"
    assert schema_name("foxglove.RawImage") == "foxglove.RawImage"


def test_video_frames_in_images_are_named_in_the_error() -> None:
    with pytest.raises(MessageError, match="h264"):
        messages.image_of(Message(format="h264", data=b"\0\0\0\1"))


@pytest.mark.parametrize("encoding", ["cdr", "ros1"])
def test_every_ros_type_with_a_role_has_a_layout(encoding: str) -> None:
    from perception.sources.wire import _typestore

    for schema in messages.ROLES:
        if "/" in schema:
            assert schema.replace("/", "/msg/") in _typestore(encoding).types, schema
