"""Video packets, Velodyne packets and satellite fixes as messages of a drive."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.fuzz.seeds_logs import (
    _header,
    _plain_mcap,
    _ros2,
    _ros2_messages,
    _stamp,
    _video_message,
    velodyne,
    video_packets,
)
from perception.sources import open_drive
from perception.sources.gnss import GnssPoses
from perception.sources.wire import MessageError


def video(path: Path, codec: str, count: int = 9, every: int = 3, lost: tuple[int, ...] = ()) -> Path:
    kind, name = "foxglove_msgs/msg/CompressedVideo", "h265" if codec == "hevc" else codec
    packets = video_packets(codec, count, every)
    assert len(packets) == count
    sent = [(n, _video_message(n, data, name)) for n, data in enumerate(packets) if n not in lost]
    _plain_mcap(path, [("/cam/video", kind, n, message) for n, message in sent])
    return path


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_video_topics_seek_to_a_key_frame(tmp_path: Path, codec: str) -> None:
    with open_drive(video(tmp_path / "a.mcap", codec, 60, 25)) as drive:
        assert drive.info.cameras == {"front": (64, 48)}
        frames = list(drive)
        drive.seek(frames[44].timestamp_ns)
        later = next(iter(drive))
    assert len(frames) == 60 and not any(frame.faults for frame in frames)
    shifts = [int(np.abs(frames[0].images["front"].astype(int) - frame.images["front"]).mean()) for frame in frames[:3]]
    assert shifts[0] == 0 and min(shifts[1:]) > 1  # the picture moves
    assert later.index == 44 and np.array_equal(later.images["front"], frames[44].images["front"])


def test_video_that_begins_without_a_key_frame_says_so(tmp_path: Path) -> None:
    with open_drive(video(tmp_path / "a.mcap", "h264", lost=(0,))) as drive:
        frames = list(drive)
    assert [bool(frame.images) for frame in frames] == [False, False, True, True, True, True, True, True]
    assert [fault.kind for fault in frames[0].faults] == ["corrupt"]


def test_velodyne_packets_become_clouds(tmp_path: Path) -> None:
    pytest.importorskip("velodyne_decoder", reason="velodyne-decoder (extra `drives`) is not installed")
    velodyne(tmp_path)
    with open_drive(tmp_path / "bag") as drive:
        frames = list(drive)
    cloud = next(iter(frames[0].clouds.values()))
    assert len(frames) == 3 and len(cloud) == 5 * 12 * 32 and set(cloud.fields) == {"intensity", "ring", "time"}
    # 10000 units of 2 mm, azimuth 0.16 degrees; the library adds what the beam's origin lies off the axis
    assert np.allclose(np.linalg.norm(cloud.points, axis=1), 20, atol=0.1)
    assert cloud.points[:, 0].min() > 18 and np.unique(cloud.fields["ring"]).tolist() == list(range(16))


def test_velodyne_clouds_equal_the_reference(real_data: Path) -> None:
    pytest.importorskip("velodyne_decoder", reason="velodyne-decoder (extra `drives`) is not installed")
    from scipy.spatial import cKDTree

    for model, bag, index in (("vlp16", "1673400471837873222", 3), ("vlp32", "1713492677464078412", 0)):
        folder = real_data / "rosbag2_velodyne" / model
        with open_drive(next(folder.glob("*.pcd"))) as file, open_drive(folder / bag) as drive:
            wanted = next(iter(next(iter(file)).clouds.values()))
            found = next(iter(list(drive)[index].clouds.values()))
        distance, _ = cKDTree(found.points).query(wanted.points)
        assert abs(len(found) - len(wanted)) < 0.01 * len(wanted)
        assert np.median(distance) < 0.008 and np.quantile(distance, 0.95) < 0.025


class Fix:
    def __init__(self, east_m: float, north_m: float, status: int = 0) -> None:
        self.status = type("Status", (), {"status": status})()
        self.latitude = 0.0 + math.degrees(north_m / 6_335_439.3)  # radius along the meridian at the equator
        self.longitude = math.degrees(east_m / 6_378_137.0)
        self.altitude = 0.0


def test_course_over_ground_gives_the_heading() -> None:
    poses = GnssPoses()
    assert poses.add_fix(0, Fix(0, 0)) == [] and poses.add_fix(1, Fix(0, 0, status=-1)) == []
    known = poses.add_fix(2, Fix(3, 3))
    assert [stamp for stamp, _ in known] == [0, 2]
    assert all(np.allclose(pose[:2, 0], [math.sqrt(0.5)] * 2, atol=1e-6) for _, pose in known)
    assert np.allclose(known[1][1][:3, 3], [3, 3, 0], atol=1e-4)
    (_, still), *_ = poses.add_fix(3, Fix(3.1, 3))
    assert np.allclose(still[:2, 0], [math.sqrt(0.5)] * 2, atol=1e-6)  # standing keeps the course
    with pytest.raises(MessageError, match="latitude and longitude in degrees"):
        poses.add_fix(4, type("Bad", (), {"latitude": math.nan, "longitude": 0.0, "altitude": 0.0})())


def test_a_drive_that_is_read_from_its_middle_has_the_world_of_its_first_fix() -> None:
    poses = GnssPoses(origin=(0.0, 0.0, 0.0))
    poses.add_fix(0, Fix(500, 20))
    known = poses.add_fix(1, Fix(500, 30))
    assert np.allclose([pose[:2, 3] for _, pose in known], [[500, 20], [500, 30]], atol=1e-2)


def imu(yaw: float, known: bool = True) -> Any:
    turn = type("Turn", (), {"x": 0.0, "y": 0.0, "z": math.sin(yaw / 2), "w": math.cos(yaw / 2)})()
    return type("Imu", (), {"orientation": turn, "orientation_covariance": np.full(9, 0.0 if known else -1.0)})()


def test_the_inertial_unit_gives_the_heading_and_the_antenna_is_moved_to_the_ego_origin() -> None:
    antenna = np.eye(4)
    antenna[:3, 3] = [2, 0, 1]
    poses = GnssPoses(antenna)
    poses.add_imu(0, imu(1.0, known=False))
    assert poses.add_fix(0, Fix(0, 0)) == []
    poses.add_imu(10, imu(math.pi / 2))
    known = poses.add_fix(10, Fix(0, 0))
    assert np.allclose(known[-1][1][:3, 3], [0, -2, -1], atol=1e-6) and np.allclose(known[-1][1][:3, 0], [0, 1, 0])


def test_a_drive_without_moving_transforms_takes_its_poses_from_satellites(tmp_path: Path) -> None:
    _plain_mcap(tmp_path / "a.mcap", _ros2_messages())
    with open_drive(tmp_path / "a.mcap") as drive:
        info = drive.info
        frames = list(drive)
    assert info.pose_source == "sensor_msgs/NavSatFix on /fix with the orientation of /imu"
    assert info.mapping.to_dict()["imu"] == "/imu"
    assert info.origin == (49.0, 8.0, 100.0) and {frame.world_origin for frame in frames} == {info.origin}
    places = [frame.ego_pose[0, 3] for frame in frames if frame.ego_pose is not None]
    assert np.allclose(places, [0, 7.3173, 14.6346, 21.9519], atol=1e-3)  # 6390430 m cos(49) 1e-4 degrees


def test_poses_come_from_odometry_before_satellites(tmp_path: Path) -> None:
    types = _ros2().types
    kind, pose = "geometry_msgs/msg/PoseStamped", types["geometry_msgs/msg/Pose"]
    turn = types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)
    extra = []
    for n in range(4):
        at = pose(types["geometry_msgs/msg/Point"](float(n), 2.0, 0.0), turn)
        extra.append(("/pose", kind, n, types[kind](_header(n, "map"), at)))
    _plain_mcap(tmp_path / "a.mcap", [*_ros2_messages(), *extra])
    with open_drive(tmp_path / "a.mcap") as drive:
        assert drive.info.pose_source == "geometry_msgs/PoseStamped on /pose"
        assert [f.ego_pose[0, 3] for f in drive if f.ego_pose is not None] == [0, 1, 2, 3]
    assert _stamp(1).nanosec == 100_000_000
