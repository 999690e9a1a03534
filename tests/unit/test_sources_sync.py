"""Synchronisation, transforms and mappings, without files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError, UnknownNameError
from perception.geometry import make_pose, rotation_from_euler
from perception.sources.log import Channel
from perception.sources.mapping import DriveMapping
from perception.sources.messages import Transform
from perception.sources.sync import Group, Partner, Synchronizer
from perception.sources.transforms import PoseTrack, TransformTree

MS = 1_000_000


def run(sync: Synchronizer, events: list[tuple[str, int]]) -> list[Group]:
    """Push (sensor, stamp in ms) in this order; log time is 10 ms a message."""
    groups = []
    ordinal = 0
    for number, (sensor, stamp) in enumerate(events):
        groups += sync.push(sensor, stamp * MS, number * 10 * MS, f"{sensor}@{stamp}", ordinal)
        ordinal += sensor == sync.reference
    return groups + list(sync.finish())


def test_nearest_partner_within_tolerance_joins() -> None:
    sync = Synchronizer("front", {"top": Partner(50 * MS)}, 500 * MS)
    groups = run(sync, [("front", 1000), ("top", 960), ("top", 1030), ("front", 1100), ("top", 1160), ("front", 1200)])
    assert [g.items.get("top") for g in groups] == ["top@1030", None, "top@1160"]
    assert [f.kind for f in groups[1].faults] == ["missing"] and "60.0 ms away" in groups[1].faults[0].message
    assert [g.ordinal for g in groups] == [0, 1, 2]


def test_one_slow_message_serves_several_frames() -> None:
    sync = Synchronizer("front", {"top": Partner(50 * MS)}, 500 * MS)
    groups = run(
        sync, [("front", 1000), ("top", 1030), ("front", 1033), ("front", 1066), ("top", 1130), ("front", 1100)]
    )
    assert [g.items["top"] for g in groups] == ["top@1030", "top@1030", "top@1030", "top@1130"]


def test_neighbours_out_of_order_are_put_in_order() -> None:
    groups = run(Synchronizer("front", {}, 0), [("front", t) for t in (1000, 1200, 1100, 1300)])
    assert [g.stamp_ns // MS for g in groups] == [1000, 1100, 1200, 1300]
    assert [[f.kind for f in g.faults] for g in groups] == [[], ["time"], [], []]


def test_late_and_doubled_messages_are_dropped_with_a_fault_on_the_next_frame() -> None:
    groups = run(Synchronizer("front", {}, 0), [("front", t) for t in (1000, 1100, 1200, 1000, 1200, 1300, 1400)])
    assert [g.stamp_ns // MS for g in groups] == [1000, 1100, 1200, 1300, 1400]
    faults = [fault for g in groups for fault in g.faults]
    assert [f.kind for f in faults] == ["time", "time"] and all("dropped" in f.message for f in faults)


def test_a_clock_that_was_set_back_begins_a_new_time_base() -> None:
    groups = run(Synchronizer("front", {}, 0), [("front", t) for t in (90_000, 90_100, 10, 110, 210)])
    assert [g.stamp_ns // MS for g in groups] == [90_000, 90_100, 10, 110, 210]
    assert [len(g.faults) for g in groups] == [0, 0, 1, 0, 0] and "set back" in groups[2].faults[0].message


def test_memory_stays_bounded_when_sensors_are_silent() -> None:
    sync = Synchronizer("front", {"top": Partner(50 * MS), "rear": Partner(50 * MS)}, 500 * MS)
    worst = given = 0
    for number in range(3000):
        given += len(list(sync.push("front", number * 33 * MS, number * 33 * MS, None, number)))
        worst = max(worst, len(sync._waiting))
    assert worst <= 17 and given >= 2980
    quiet = Synchronizer("front", {"top": Partner(50 * MS)}, 500 * MS)
    for number in range(3000):
        assert list(quiet.push("top", number * 100 * MS, number * 100 * MS, None)) == []
    assert len(quiet._held["top"]) <= 12


def test_optional_partners_do_not_fault() -> None:
    groups = run(
        Synchronizer("front", {"/truth/a": Partner(MS, required=False)}, 0), [("front", 1000), ("front", 1100)]
    )
    assert [g.faults for g in groups] == [[], []]


def test_pose_is_interpolated_and_bounded() -> None:
    track = PoseTrack(capacity=10)
    for step in range(100):
        track.add(step * 50 * MS, make_pose(rotation_from_euler(0, 0, 0.01 * step), np.array([step, 0, 0])))
    assert len(track.times) == 10
    pose = track.at(95 * 50 * MS + 25 * MS)
    assert pose is not None and np.allclose(pose[:3, 3], [95.5, 0, 0])
    assert np.allclose(pose[:3, :3], rotation_from_euler(0, 0, 0.955))
    assert track.at(10 * 50 * MS) is None and track.at(99 * 50 * MS + 200 * MS) is None
    assert track.at(99 * 50 * MS + 90 * MS) is not None


def test_tree_joins_static_and_moving_edges() -> None:
    tree = TransformTree()
    mount = make_pose(rotation_from_euler(0, 0, np.pi / 2), np.array([1.0, 0, 2]))
    tree.add([Transform("base_link", "roof", 0, make_pose(np.eye(3), np.array([0, 0, 1.0])))], static=True)
    tree.add([Transform("roof", "cam", 0, mount)], static=True)
    tree.add([Transform("odom", "base_link", 0, np.eye(4))], static=False, log_ns=1)
    tree.add([Transform("map", "odom", 0, make_pose(np.eye(3), np.array([5.0, 0, 0])))], static=True)
    assert tree.ego_frame() == "base_link" and tree.world_frame("base_link") == "map"
    assert np.allclose(tree.lookup("base_link", "cam")[:3, 3], [1, 0, 3])
    assert np.allclose(tree.lookup("cam", "base_link") @ tree.lookup("base_link", "cam"), np.eye(4))
    assert np.allclose(tree.lookup("map", "base_link", 1)[:3, 3], [5, 0, 0])
    assert tree.lookup("map", "elsewhere") is None
    assert tree.without_motion().lookup("map", "base_link", 1) is None


def test_loops_in_transforms_end() -> None:
    tree = TransformTree()
    tree.add([Transform("a", "b", 0, np.eye(4)), Transform("b", "a", 0, np.eye(4))], static=True)
    assert set(tree.chain("a")) == {"a", "b"}


def channels(*topics: tuple[str, str, int]) -> dict[str, Channel]:
    return {topic: Channel(topic, schema, "cdr", count) for topic, schema, count in topics}


def test_names_are_derived_from_topics() -> None:
    image, info = "sensor_msgs/CompressedImage", "sensor_msgs/CameraInfo"
    mapping = DriveMapping.from_channels(
        channels(
            ("/CAM_BACK/image_raw/compressed", image, 9),
            ("/CAM_FRONT/image_raw/compressed", image, 9),
            ("/CAM_FRONT/camera_info", info, 9),
            ("/CAM_FRONT_LEFT/image_raw/compressed", image, 9),
            ("/CAM_FRONT_LEFT/camera_info", info, 9),
            ("/CAM_FRONT/depth/image_raw", image, 9),
            ("/LIDAR_TOP", "sensor_msgs/PointCloud2", 9),
            ("/odom", "nav_msgs/Odometry", 9),
        )
    )
    assert {name: camera.image for name, camera in mapping.cameras.items()} == {
        "back": "/CAM_BACK/image_raw/compressed",
        "front": "/CAM_FRONT/image_raw/compressed",
        "front_left": "/CAM_FRONT_LEFT/image_raw/compressed",
    }
    assert mapping.cameras["front"].info == "/CAM_FRONT/camera_info" and mapping.cameras["back"].info is None
    assert list(mapping.lidars) == ["top"] and mapping.reference == "front" and mapping.pose == "/odom"


@pytest.mark.parametrize(
    ("topics", "name"),
    [
        (["/usb_cam/image_raw"], "front"),
        (["/sensing/camera/traffic_light/image_raw"], "front"),
        (["/camera/rear/image"], "rear"),
        (["/camera/image_raw", "/camera/image_raw/compressed"], "front"),
    ],
)
def test_a_single_camera_is_the_front_one(topics: list[str], name: str) -> None:
    mapping = DriveMapping.from_channels(channels(*((topic, "sensor_msgs/Image", 5) for topic in topics)))
    assert list(mapping.cameras) == [name] == [mapping.reference]


def test_mapping_files_round_trip_and_name_mistakes(tmp_path: Path) -> None:
    import yaml

    file = tmp_path / "mapping.yaml"
    data = {"cameras": {"front": {"image": "/a", "info": "/b", "frame": "c"}}, "lidars": {"top": {"points": "/l"}},
            "pose": "/odom", "sync": {"reference": "top", "tolerance_ms": 20, "wait_ms": 100}}  # fmt: skip
    file.write_text(yaml.safe_dump(data))
    mapping = DriveMapping.from_yaml(file)
    assert mapping.to_dict() == data and mapping.reference == "top"
    for wrong, text in [
        ({"camera": {}}, "'cameras'"),
        ({"cameras": {"front": {"imgae": "/a"}}}, "'image'"),
        ({"cameras": {"front": {"image": "/a"}}, "sync": {"reference": "frnt"}}, "'front'"),
    ]:
        with pytest.raises(UnknownNameError, match=text):
            DriveMapping.from_dict(wrong)
    file.write_text("- a\n- b\n")
    with pytest.raises(InputError, match=r"mapping\.yaml"):
        DriveMapping.from_yaml(file)
    with pytest.raises(InputError, match=r"missing\.yaml"):
        DriveMapping.from_yaml(tmp_path / "missing.yaml")


def test_mapped_topics_must_exist_and_fit() -> None:
    known = channels(("/front/image", "sensor_msgs/Image", 5), ("/chat", "std_msgs/String", 5))
    with pytest.raises(UnknownNameError, match="did you mean '/front/image'"):
        DriveMapping.from_dict({"cameras": {"front": "/front/imag"}}).check(Path("x.bag"), known)
    with pytest.raises(InputError, match=r"x\.bag: topic /chat: expected .*Image.*found std_msgs/String"):
        DriveMapping.from_dict({"cameras": {"front": "/chat"}}).check(Path("x.bag"), known)
