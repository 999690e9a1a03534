"""The ROS 2 recording, read back with rosbags and with mcap-ros2-support, neither of which wrote its layout."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.highlevel import AnyReader

from perception.sinks.ros2_messages import message
from perception.sinks.ros2_sink import Ros2Sink
from perception.sources import open_drive
from perception.structures import result_from_dict
from tests.fixtures.all_results import START_NS, STEP_NS, frame, results, write


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    write(Ros2Sink(out, copy_inputs=True, part_frames=5), 12)
    return out / "ros2.mcap"


@pytest.fixture(scope="module")
def first(recording):
    """Topic -> message of the first frame, as mcap-ros2-support decodes it from the embedded definition."""
    with open(recording, "rb") as file:
        found = {}
        for _, channel, record, decoded in make_reader(
            file, decoder_factories=[DecoderFactory()]
        ).iter_decoded_messages():
            found.setdefault(channel.topic, (record.log_time, decoded))
        return found


def test_every_topic_has_one_message_a_frame_in_the_time_of_the_drive(recording):
    with AnyReader([recording]) as reader:
        kinds = {connection.topic: (connection.msgtype, connection.msgcount) for connection in reader.connections}
        stamps = []
        for connection, time, raw in reader.messages():
            decoded = reader.deserialize(raw, connection.msgtype)
            if connection.topic == "/perception/frame":
                stamps.append(time)
            head = getattr(decoded, "header", None)
            if head is not None and connection.topic != "/lidar/top/points":
                assert head.stamp.sec * 10**9 + head.stamp.nanosec == time
    assert stamps == [START_NS + i * STEP_NS for i in range(12)]
    assert kinds["/perception/objects/detections"] == ("vision_msgs/msg/Detection3DArray", 12)
    assert kinds["/perception/ground/grid/semantics"][0] == "nav_msgs/msg/OccupancyGrid"
    assert kinds["/tf"] == ("tf2_msgs/msg/TFMessage", 12)
    for stage in ("lanes", "objects", "segments", "graph"):
        assert kinds[f"/perception/{stage}/markers"][0] == "visualization_msgs/msg/MarkerArray"


def test_results_read_back_without_loss(first):
    for stage, result in results(0).items():
        assert result_from_dict(json.loads(first[f"/perception/{stage}/result"][1].data)).to_dict() == result.to_dict()


def test_boxes_grids_and_densities(first):
    car, person = first["/perception/objects/detections"][1].detections
    assert (car.bbox.center.position.x, car.bbox.size.x, car.bbox.size.z, car.id) == (8, 4, 1.5, "7")
    assert (car.bbox.center.orientation.z, car.bbox.center.orientation.w) == pytest.approx((0.5**0.5, 0.5**0.5))
    assert person.results[0].hypothesis.class_id == "person" and person.id == ""
    (stop, _) = first["/perception/signs/detections"][1].detections
    assert (stop.bbox.center.position.x, stop.bbox.center.position.y, stop.bbox.size_y) == (10, 16, 20)
    grid = first["/perception/ground/grid/semantics"][1]
    cells = np.array(grid.data).reshape(grid.info.height, grid.info.width)
    assert (grid.info.width, grid.info.height, grid.info.origin.position.y) == (4, 6, -3)
    assert np.array_equal(cells.T, results(0)["ground"].layers["semantics"])
    assert set(first["/perception/ground/grid/occupied"][1].data) == {25}
    image = first["/perception/crowd/density"][1]
    density = np.frombuffer(bytes(image.data), "<f4").reshape(image.height, image.width)
    assert np.array_equal(density, results(0)["crowd"].density)
    assert first["/perception/crowd/count"][1].data == pytest.approx(9.6)


def test_markers_replace_those_before_and_lie_where_the_results_are(first, recording):
    markers = first["/perception/segments/markers"][1].markers
    assert markers[0].action == 3 and [marker.id for marker in markers[1:]] == list(range(1, len(markers)))
    assert [(point.x, point.y) for point in markers[1].points] == [(0, 0), (10, 1), (20, 3)]
    assert all(marker.header.frame_id == "ego" for marker in markers)
    cubes = [marker for marker in first["/perception/objects/markers"][1].markers if marker.type == 1]
    assert [cube.scale.x for cube in cubes] == pytest.approx([4, 0.6])
    lane = first["/perception/lanes/markers"][1].markers[1]  # pixels laid onto the road: below the horizon, ahead
    assert lane.points and all(abs(point.z) < 1e-6 and point.x > 0 for point in lane.points)
    with open(recording, "rb") as file:
        decoded = [
            (record.log_time, found)
            for _, channel, record, found in make_reader(
                file, decoder_factories=[DecoderFactory()]
            ).iter_decoded_messages(topics=["/perception/segments/markers"])
        ]
    empty = dict(decoded)[START_NS + 4 * STEP_NS]  # nothing found: the clearing marker alone
    assert [marker.action for marker in empty.markers] == [3]


def test_the_file_is_a_drive_again(recording):
    with open_drive(str(recording)) as drive:
        frames = list(drive)
    assert len(frames) == 12
    assert np.allclose(frames[2].ego_pose, frame(2).ego_pose)
    again, original = frames[0], frame(0)
    (camera,) = again.calibration.cameras.values()
    assert np.allclose(camera.intrinsics, original.calibration.cameras["front"].intrinsics)
    (cloud,) = again.clouds.values()
    assert np.allclose(cloud.points, original.clouds["top"].points)


def test_unknown_fields_are_refused():
    with pytest.raises(TypeError, match="no field dat"):
        message("std_msgs/msg/String", dat="x")
