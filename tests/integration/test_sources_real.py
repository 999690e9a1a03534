"""Real recordings as drives."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.cli import main
from perception.errors import InputError
from perception.sources import open_drive
from perception.sources.bag import open_log
from perception.sources.messages import transforms_of


@pytest.mark.parametrize(
    ("drive", "source", "count", "size", "last_ns"),
    [
        ("road_video/solidWhiteRight.mp4", "VideoSource", 221, (960, 540), 8_800_000_000),
        ("road_video/nuscenes_mini_front.mp4", "VideoSource", 40, (800, 450), 1_950_000_000),
        ("udacity_lanes", "ImageFolderSource", 6, (960, 540), 500_000_000),
        ("drives_repackaged/front_camera_ros2.mcap", "BagSource", 20, (800, 450), 1_900_000_000),
        ("drives_repackaged/front_camera_ros1.bag", "BagSource", 23, (960, 540), 8_800_000_000),
    ],
)
def test_camera_drives(
    real_data: Path, drive: str, source: str, count: int, size: tuple[int, int], last_ns: int
) -> None:
    with open_drive(real_data / drive) as opened:
        frames = list(opened)
        info = opened.info
        assert type(opened).__name__ == source and len(opened) == len(frames) == info.frames == count
    assert info.cameras == {"front": size} and not info.has_calibration and not info.has_pose
    assert [frame.index for frame in frames] == list(range(count))
    assert frames[-1].timestamp_ns - frames[0].timestamp_ns == last_ns
    assert all(frame.images["front"].shape == (size[1], size[0], 3) and not frame.faults for frame in frames)
    assert all(frame.images["front"].std() > 10 for frame in frames)


def test_bag_and_video_show_the_same_road(real_data: Path) -> None:
    with (
        open_drive(real_data / "road_video/solidWhiteRight.mp4") as video,
        open_drive(real_data / "drives_repackaged/front_camera_ros1.bag") as bag,
    ):
        begin = bag.info.start_ns
        bag_frame = next(frame for frame in bag if frame.timestamp_ns - begin == 4_000_000_000)
        video.seek(4_000_000_000)
        video_frame = next(iter(video))
    assert video_frame.timestamp_ns == 4_000_000_000 and video_frame.index == 100
    difference = video_frame.images["front"].astype(int) - bag_frame.images["front"]
    assert np.abs(difference).mean() < 4


def test_video_colours_agree_with_opencv(real_data: Path) -> None:
    path = real_data / "road_video/solidWhiteRight.mp4"
    with open_drive(path, end=0.0) as source:
        ours = next(iter(source)).images["front"]
    theirs = cv2.VideoCapture(str(path)).read()[1][..., ::-1]
    assert np.abs(ours.astype(int) - theirs).mean() < 2


def test_a_full_rig_with_lidar(real_data: Path) -> None:
    with open_drive(real_data / "drives_repackaged/nuscenes_frame_ros2.mcap") as source:
        (frame,) = source
        info = source.info
    names = {"front", "front_left", "front_right", "back", "back_left", "back_right"}
    assert set(frame.images) == set(frame.calibration.cameras) == names and not frame.faults
    assert info.has_calibration and info.has_pose and set(info.posed) == names | {"top"}
    cloud = frame.clouds["top"]
    assert len(cloud) == 34688 and set(cloud.fields) == {"intensity", "ring"}
    yaws = {}
    for name, camera in frame.calibration.cameras.items():
        look = camera.ego_from_camera[:3, 2]
        yaws[name] = round(float(np.degrees(np.arctan2(look[1], look[0]))))
    assert abs(yaws["front"]) < 3 and 40 < yaws["front_left"] < 70 and abs(abs(yaws["back"]) - 180) < 3
    pose = frame.calibration.sensors["top"]
    _, visible = frame.calibration.cameras["front"].project_ego(cloud.points @ pose[:3, :3].T + pose[:3, 3])
    assert visible.sum() > 2000
    assert np.allclose(frame.ego_pose[:2, 3], [411.304, 1180.890], atol=0.01)


def test_lidar_only(real_data: Path) -> None:
    with open_drive(real_data / "drives_repackaged/kitti_lidar_rosbag2") as source:
        (frame,) = source
    cloud = frame.clouds["lidar"]
    assert len(cloud) > 50_000 and np.isfinite(cloud.points).all() and 0 <= cloud.fields["intensity"].max() <= 1
    assert not frame.images and not frame.faults


@pytest.mark.parametrize(
    ("drive", "topic"),
    [
        ("rosbag1/example-bz2.bag", "/turtle1/pose"),
        ("rosbag1/example-lz4.bag", "/tf_static"),
        ("rosbag2_mcap/wbag", "AAA"),
    ],
)
def test_drives_without_cameras_list_their_topics(real_data: Path, drive: str, topic: str) -> None:
    with pytest.raises(InputError, match=topic):
        open_drive(real_data / drive)


@pytest.mark.parametrize("name", ["example-bz2.bag", "example-lz4.bag"])
def test_ros1_transforms_of_a_real_bag(real_data: Path, name: str) -> None:
    log = open_log(real_data / "rosbag1" / name)
    try:
        assert sum(channel.count for channel in log.channels.values()) == 8647
        records = list(log.messages(["/tf", "/tf_static"]))
        edges = {(item.parent, item.child) for record in records for item in transforms_of(record.message())}
        half = records[len(records) // 2].log_ns
        assert log.count_before("/tf", half) == sum(r.log_ns < half and r.channel.topic == "/tf" for r in records)
    finally:
        log.close()
    assert len(records) == 2689 and not log.faults
    assert edges == {("turtle1", "carrot"), ("world", "turtle1"), ("world", "turtle2")}


def test_a_split_bag(real_data: Path) -> None:
    log = open_log(real_data / "rosbag2_mcap/wbag")
    try:
        counts = {topic: channel.count for topic, channel in log.channels.items()}
        records = list(log.messages(list(counts)))
        texts = {record.message().data[:1] for record in records if record.channel.topic == "AAA"}
    finally:
        log.close()
    assert sum(counts.values()) == len(records) == 6074 and counts["AAA"] == 804 and len(texts) >= 1
    assert [record.log_ns for record in records] == sorted(record.log_ns for record in records)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("name", ["front_camera_ros1.bag", "front_camera_ros2.mcap"])
def test_cut_off_recordings(real_data: Path, tmp_path: Path, name: str, share: float) -> None:
    data = (real_data / "drives_repackaged" / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(len(data) * share)])
    with open_drive(path) as source:
        frames = list(source)
        assert source.faults
    whole = 23 if name.endswith("bag") else 20
    assert 0.5 * share * whole <= len(frames) <= whole and any(f.kind == "corrupt" for f in frames[-1].faults)
    assert [frame.index for frame in frames] == list(range(len(frames)))


def test_seek_into_the_clip(real_data: Path) -> None:
    with open_drive(real_data / "road_video/solidWhiteRight.mp4", start=2, end=3, every=5) as source:
        indices = [frame.index for frame in source]
        assert indices == list(range(50, 76, 5)) and len(source) == 6
        source.seek(2_500_000_000)
        assert [frame.index for frame in source] == [65, 70, 75]


def test_info_command(real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drive = str(real_data / "drives_repackaged/nuscenes_frame_ros2.mcap")
    mapping = tmp_path / "mapping.yaml"
    assert main(["info", drive, "--json", "--write-mapping", str(mapping)]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["mapping"]["cameras"]["front_left"]["info"] == "/CAM_FRONT_LEFT/camera_info"
    assert main(["info", drive, "--mapping", str(mapping)]) == 0
    assert "camera back_right: 1600x900, calibrated, mounting pose known" in capsys.readouterr().out
