"""MCAP output: read back with the public libraries, times, determinism."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory

from perception.errors import InputError, PerceptionError
from perception.geometry import make_pose, quaternion_to_matrix, rotation_from_euler
from perception.geometry.transforms import CAMERA_AXES_IN_EGO
from perception.sinks import McapFrameWriter, McapSink
from perception.sinks.mcap_file import McapFile, join, read_messages
from perception.structures import (
    BevGrid,
    Boxes2D,
    Boxes3D,
    Calibration,
    Camera,
    DensityMap,
    Fault,
    Frame,
    LaneGraph,
    Lanes2D,
    LaneSegments,
    PointCloud,
    result_from_dict,
)

START = 1_700_000_000_123_456_789
MATRIX = np.array([[500.0, 0, 31.5], [0, 510.0, 23.5], [0, 0, 1]])
EGO_POSE = make_pose(rotation_from_euler(0.02, -0.01, 2.5), np.array([10.0, -20.0, 0.5]))
CAMERA_POSE = make_pose(CAMERA_AXES_IN_EGO, np.array([1.5, 0.1, 1.4]))


def frame(index: int = 0) -> Frame:
    rng = np.random.default_rng(index)
    rows, columns = np.mgrid[:48, :64]
    image = np.stack([rows * 5, columns * 3, np.full((48, 64), 20 + index)], axis=2).astype(np.uint8)
    fields = {"intensity": rng.integers(0, 255, 30).astype(np.uint8), "ring": np.arange(30), "time": rng.random(30)}
    cloud = PointCloud(rng.normal(size=(30, 3)).astype(np.float32), fields, START + 7, "top")
    cameras = {
        "front": Camera("front", 64, 48, MATRIX, "plumb_bob", np.array([0.1, 0, 0, 0, 0.0]), CAMERA_POSE),
        "fish": Camera("fish", 64, 48, MATRIX, "equidistant", np.zeros(4), rectified=np.eye(3, 4) * 9),
        "plain": Camera("plain", 64, 48, MATRIX),
    }
    lanes = Lanes2D("front", (64, 48), (np.array([[1.0, 47], [20, 10]]),))
    return Frame(
        START + index * 100_000_000,
        index,
        {"front": image},
        {"top": cloud},
        Calibration(cameras, {"top": make_pose(np.eye(3), np.array([0.0, 0, 2]))}),
        EGO_POSE,
        {"front/lanes_2d": lanes},
    )


def all_results() -> dict[str, Any]:
    line = np.array([[0.0, 0, 0], [5, 0, 0], [10, 1, 0], [15, 2, 0]])
    signs = Boxes2D("front", (64, 48), [[1, 2, 30, 40]], [0.75], [1], ("car", "sign"))
    segment = LaneSegments(
        "ego", (line,), (line + [0, 2, 0],), (line - [0, 2, 0],), [[1, 2]], [0.5], [[0.0]], (line,), [1], [1.0]
    )
    return {
        "lanes": Lanes2D("front", (64, 48), (np.array([[1.0, 47], [20, 10]]), np.array([[5, 5], [np.nan, 3], [7, 9]]))),
        "signs": signs,
        "crowd": DensityMap("front", (64, 48), np.full((6, 8), 0.25), 8.0, [[3.0, 4.0]]),
        "segments": segment,
        "graph": LaneGraph("ego", (line, line + 3), [1.0, 1.0], signs, [[0, 1], [0, 0]], [[1.0], [0.0]]),
        "cars": Boxes3D("ego", [[9, 1, 0.8, 4, 2, 1.6, np.pi / 2]], [1], [0], ("car",), [[5, 0]], [3]),
        "bev": BevGrid("ego", (0, 4), (-1, 2), 0.5, {"semantics": np.arange(48).reshape(8, 6)}, ("road",)),
    }


def decoded(path: Path) -> dict[str, list[tuple[Any, Any, Any]]]:
    found: dict[str, list[tuple[Any, Any, Any]]] = {}
    with open(path, "rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()], validate_crcs=True)
        for schema, channel, message in reader.iter_messages():
            value = (
                json.loads(message.data)
                if channel.message_encoding == "json"
                else DecoderFactory().decoder_for(channel.message_encoding, schema)(message.data)  # type: ignore[misc]
            )
            found.setdefault(channel.topic, []).append((schema, message, value))
    return found


def nanoseconds(stamp: Any) -> int:
    return stamp.seconds * 1_000_000_000 + stamp.nanos


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, Any, Any]]]:
    path = tmp_path_factory.mktemp("inputs") / "drive.mcap"
    with McapFrameWriter(path, image_format="png") as writer:
        for index in range(3):
            writer.write(frame(index))
    return decoded(path)


def test_inputs_have_the_documented_channels(inputs: dict[str, list[tuple[Any, Any, Any]]]) -> None:
    assert {topic: found[0][0].name for topic, found in inputs.items()} == {
        "/tf": "foxglove.FrameTransforms",
        "/camera/front/calibration": "foxglove.CameraCalibration",
        "/camera/fish/calibration": "foxglove.CameraCalibration",
        "/camera/plain/calibration": "foxglove.CameraCalibration",
        "/camera/front/image": "foxglove.CompressedImage",
        "/lidar/top/points": "foxglove.PointCloud",
        "/truth/front/lanes_2d": "perception.Result",
    }
    for found in inputs.values():
        assert [message.log_time for _, message, _ in found] == [START + i * 100_000_000 for i in range(3)]
        assert [message.publish_time for _, message, _ in found] == [message.log_time for _, message, _ in found]


def test_images_come_back(inputs: dict[str, list[tuple[Any, Any, Any]]]) -> None:
    message = inputs["/camera/front/image"][2][2]
    assert (message.frame_id, message.format) == ("front", "png")
    assert nanoseconds(message.timestamp) == START + 200_000_000
    image = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    np.testing.assert_array_equal(image, frame(2).images["front"])


def test_jpeg_images_are_close(tmp_path: Path) -> None:
    with McapFrameWriter(tmp_path / "a.mcap") as writer:
        writer.write(frame())
    message = decoded(tmp_path / "a.mcap")["/camera/front/image"][0][2]
    image = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert message.format == "jpeg"
    assert np.abs(image.astype(int) - frame().images["front"]).max() < 24
    with pytest.raises(PerceptionError, match="'jpeg' or 'png', found 'bmp'"):
        McapFrameWriter(tmp_path / "b.mcap", image_format="bmp")
    assert not (tmp_path / "b.mcap").exists()


def test_calibration_comes_back(inputs: dict[str, list[tuple[Any, Any, Any]]]) -> None:
    front, fish, plain = (inputs[f"/camera/{name}/calibration"][0][2] for name in ("front", "fish", "plain"))
    assert (front.width, front.height, front.frame_id) == (64, 48, "front")
    assert [m.distortion_model for m in (front, fish, plain)] == ["plumb_bob", "kannala_brandt", ""]
    assert (list(front.D), len(fish.D), len(plain.D)) == ([0.1, 0, 0, 0, 0], 4, 0)
    np.testing.assert_array_equal(np.reshape(front.K, (3, 3)), MATRIX)
    np.testing.assert_array_equal(np.reshape(front.P, (3, 4))[:, :3], MATRIX)
    np.testing.assert_array_equal(np.reshape(fish.P, (3, 4)), np.eye(3, 4) * 9)


def test_transforms_come_back(inputs: dict[str, list[tuple[Any, Any, Any]]]) -> None:
    poses = {}
    for transform in inputs["/tf"][0][2].transforms:
        quaternion = [getattr(transform.rotation, axis) for axis in "xyzw"]
        shift = np.array([getattr(transform.translation, axis) for axis in "xyz"])
        poses[transform.parent_frame_id, transform.child_frame_id] = make_pose(quaternion_to_matrix(quaternion), shift)
    assert set(poses) == {("world", "ego"), ("ego", "front"), ("ego", "top")}
    np.testing.assert_allclose(poses["world", "ego"], EGO_POSE, atol=1e-12)
    np.testing.assert_allclose(poses["ego", "front"], CAMERA_POSE, atol=1e-12)


def test_clouds_come_back(inputs: dict[str, list[tuple[Any, Any, Any]]]) -> None:
    message, cloud = inputs["/lidar/top/points"][1][2], frame(1).clouds["top"]
    codes = {1: "u1", 7: "<f4", 8: "<f8"}
    layout = np.dtype(
        {
            "names": [field.name for field in message.fields],
            "formats": [codes[field.type] for field in message.fields],
            "offsets": [field.offset for field in message.fields],
            "itemsize": message.point_stride,
        }
    )
    points = np.frombuffer(message.data, layout)
    assert nanoseconds(message.timestamp) == START + 7
    np.testing.assert_array_equal(np.stack([points[axis] for axis in "xyz"], axis=1), cloud.points)
    for name, column in cloud.fields.items():
        np.testing.assert_array_equal(points[name], column)


def test_truth_comes_back(inputs: dict[str, list[tuple[Any, Any, Any]]]) -> None:
    truth = result_from_dict(inputs["/truth/front/lanes_2d"][0][2])
    assert isinstance(truth, Lanes2D)
    np.testing.assert_array_equal(truth.lanes[0], [[1, 47], [20, 10]])


def test_frames_without_anything_can_be_written(tmp_path: Path) -> None:
    empty = PointCloud(np.zeros((0, 3), np.float32), {"intensity": np.zeros(0, np.float32)}, 1, "top")
    with McapFrameWriter(tmp_path / "a.mcap") as writer:
        writer.write(Frame(5, 0))
        writer.write(Frame(6, 1, clouds={"top": empty}))
    found = decoded(tmp_path / "a.mcap")
    assert list(found) == ["/lidar/top/points"] and found["/lidar/top/points"][0][2].data == b""


def test_equal_frames_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with McapFrameWriter(tmp_path / f"{name}.mcap") as writer:
            for index in range(12):
                writer.write(frame(index))
        with McapSink(tmp_path / name, copy_inputs=True, part_frames=5) as sink:
            for index in range(12):
                sink.append(frame(index), all_results(), [Fault("lidar", "missing", "x")], {"lanes": len(name) * 2.0})
    assert (tmp_path / "a.mcap").read_bytes() == (tmp_path / "b.mcap").read_bytes()
    assert (tmp_path / "a/predictions.mcap").read_bytes() == (tmp_path / "b/predictions.mcap").read_bytes()


@pytest.fixture(scope="module")
def predictions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, Any, Any]]]:
    out = tmp_path_factory.mktemp("predictions")
    with McapSink(out, part_frames=2) as sink:
        for index in range(3):
            sink.append(frame(index), all_results(), [Fault("lidar", "missing", "gone")], {})
    return decoded(out / "predictions.mcap")


def test_predictions_have_the_documented_channels(predictions: dict[str, list[tuple[Any, Any, Any]]]) -> None:
    assert {topic: found[0][0].name for topic, found in predictions.items()} == {
        "/perception/frame": "perception.Frame",
        "/perception/lanes/lanes_2d": "perception.Result",
        "/perception/lanes/annotations": "foxglove.ImageAnnotations",
        "/perception/signs/boxes_2d": "perception.Result",
        "/perception/signs/annotations": "foxglove.ImageAnnotations",
        "/perception/crowd/density_map": "perception.Result",
        "/perception/crowd/annotations": "foxglove.ImageAnnotations",
        "/perception/segments/lane_segments": "perception.Result",
        "/perception/segments/annotations": "foxglove.ImageAnnotations",
        "/perception/segments/scene": "foxglove.SceneUpdate",
        "/perception/graph/lane_graph": "perception.Result",
        "/perception/graph/annotations": "foxglove.ImageAnnotations",
        "/perception/graph/scene": "foxglove.SceneUpdate",
        "/perception/cars/boxes_3d": "perception.Result",
        "/perception/cars/scene": "foxglove.SceneUpdate",
        "/perception/bev/bev_grid": "perception.Result",
        "/perception/bev/grid": "foxglove.Grid",
    }
    for found in predictions.values():
        assert [message.log_time for _, message, _ in found] == [START + i * 100_000_000 for i in range(3)]
    fault = {"where": "lidar", "kind": "missing", "message": "gone"}
    assert predictions["/perception/frame"][1][2] == {
        "index": 1,
        "timestamp_ns": START + 100_000_000,
        "faults": [fault],
    }


@pytest.mark.parametrize("stage", list(all_results()))
def test_raw_results_come_back(predictions: dict[str, list[tuple[Any, Any, Any]]], stage: str) -> None:
    wanted = all_results()[stage]
    found = result_from_dict(predictions[f"/perception/{stage}/{wanted.KIND}"][0][2])
    assert type(found) is type(wanted)
    arrays = found.arrays()
    assert arrays.keys() == wanted.arrays().keys() and arrays
    for name, array in wanted.arrays().items():
        np.testing.assert_array_equal(arrays[name], array)


def test_annotations_lie_on_the_picture(predictions: dict[str, list[tuple[Any, Any, Any]]]) -> None:
    lanes = predictions["/perception/lanes/annotations"][0][2]
    assert [[(p.x, p.y) for p in line.points] for line in lanes.points] == [[(1, 47), (20, 10)], [(5, 5), (7, 9)]]
    assert nanoseconds(lanes.timestamp) == START and lanes.points[0].outline_color.a == 1
    signs = predictions["/perception/signs/annotations"][0][2]
    assert [(p.x, p.y) for p in signs.points[0].points] == [(1, 2), (30, 2), (30, 40), (1, 40)]
    assert signs.texts[0].text == "sign 0.75"
    assert predictions["/perception/crowd/annotations"][0][2].texts[0].text == "12.0 people"
    assert len(predictions["/perception/graph/annotations"][0][2].points) == 1


def test_scene_lines_are_in_the_ego_frame(predictions: dict[str, list[tuple[Any, Any, Any]]]) -> None:
    entity = predictions["/perception/segments/scene"][0][2].entities[0]
    assert (entity.frame_id, entity.id, len(entity.lines)) == ("ego", "segments", 4)
    first = entity.lines[1].points[0]
    assert (first.x, first.y, first.z) == (0, 2, 0)
    assert [line.type for line in entity.lines] == [0, 0, 2, 0]
    graph = predictions["/perception/graph/scene"][0][2].entities[0]
    assert len(graph.lines) == 3


def test_grid_cells_keep_their_place(predictions: dict[str, list[tuple[Any, Any, Any]]]) -> None:
    message, result = predictions["/perception/bev/grid"][0][2], all_results()["bev"]
    values = np.frombuffer(message.data, "<f4").reshape(-1, message.column_count)
    for row, column in ((0, 0), (3, 5), (7, 2)):
        x, y = (row + 0.5) * 0.5, -1 + (column + 0.5) * 0.5
        at = int((y - message.pose.position.y) / message.cell_size.y), int((x - message.pose.position.x) / 0.5)
        assert values[at] == result.layers["semantics"][row, column]
    assert message.row_stride == 4 * message.column_count


def test_boxes_in_space_are_cubes(predictions: dict[str, list[tuple[Any, Any, Any]]]) -> None:
    (cube,) = predictions["/perception/cars/scene"][0][2].entities[0].cubes
    assert (cube.pose.position.x, cube.pose.position.y, cube.size.x, cube.size.y) == (9, 1, 4, 2)
    assert (cube.pose.orientation.z, cube.pose.orientation.w) == pytest.approx((0.5**0.5, 0.5**0.5))


def test_empty_results_clear_the_view(tmp_path: Path) -> None:
    empty = {"lanes": Lanes2D("front", (64, 48)), "graph": LaneGraph("ego"), "segments": LaneSegments("ego")}
    with McapSink(tmp_path) as sink:
        sink.append(frame(), empty, [], {})
    found = decoded(tmp_path / "predictions.mcap")
    assert len(found["/perception/lanes/annotations"][0][2].points) == 0
    for stage in ("graph", "segments"):
        (entity,) = found[f"/perception/{stage}/scene"][0][2].entities
        assert entity.id == stage and len(entity.lines) == 0


def test_a_file_cut_off_anywhere_yields_its_whole_chunks(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with McapFrameWriter(path, flush_every=2) as writer:
        for index in range(8):
            writer.write(frame(index))
    data, counts = path.read_bytes(), []
    for share in np.linspace(0, 1, 30):
        path.write_bytes(data[: int(share * len(data))])
        counts.append(sum(channel.topic == "/tf" for _, channel, _ in read_messages(path, torn=True)))
    assert counts == sorted(counts) and set(counts) == {0, 2, 4, 6, 8}
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"a\.mcap.*whole MCAP file"):
        join([path], tmp_path / "b.mcap")


def test_joined_files_equal_one_written_at_once(tmp_path: Path) -> None:
    for name, numbers in (("a", range(4)), ("b", range(4, 9)), ("all", range(9))):
        with McapFrameWriter(tmp_path / f"{name}.mcap", flush_every=100) as writer:
            for index in numbers:
                writer.write(frame(index))
    join([tmp_path / "a.mcap", tmp_path / "b.mcap"], tmp_path / "joined.mcap")
    assert (tmp_path / "joined.mcap").read_bytes() == (tmp_path / "all.mcap").read_bytes()


def test_extra_json_channels(tmp_path: Path) -> None:
    file = McapFile(tmp_path / "deep" / "a.mcap")
    file.json("/note", {"value": float("nan")}, "some.Note", 5, sequence=2**32 + 3)
    file.close()
    schema, message, value = decoded(tmp_path / "deep" / "a.mcap")["/note"][0]
    assert (schema.name, message.sequence, value) == ("some.Note", 3, {"value": None})
