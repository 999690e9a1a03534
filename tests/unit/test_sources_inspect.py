"""Gaps, thumbnails, implausible calibrations, camera slots by direction, and the drives of the network."""

from __future__ import annotations

import functools
import http.server
import json
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.cli import main
from perception.errors import InputError
from perception.fuzz import seeds, seeds_logs
from perception.geometry import Camera, make_pose, rotation_from_euler
from perception.runtime.slots import assign_cameras
from perception.runtime.stage import StageNeeds
from perception.sources import DriveMapping, open_drive
from perception.sources.calibration_checks import camera_faults, lidar_image_faults
from perception.sources.inspect import stream_gaps
from perception.structures import Calibration


def test_gaps_are_steps_of_three_times_the_median() -> None:
    times = np.array([0, 1, 2, 3, 10, 11, 12, 15.5, 16, 17]) * 1e9
    found = stream_gaps({"a": times.astype(np.int64), "b": times[:2].astype(np.int64), "c": np.zeros(9, np.int64)})
    assert {name: [(gap.start_s, gap.length_s) for gap in gaps] for name, gaps in found.items()} == {
        "a": [(3, 7), (12, 3.5)]
    }


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"intrinsics": np.diag([5.0, 5.0, 1])}, "a focal length between 13 and 384 pixels"),
        ({"intrinsics": np.array([[60, 0, 32], [0, 25, 24], [0, 0, 1.0]])}, "nearly square"),
        ({"intrinsics": np.array([[60, 0, 320], [0, 60, 24], [0, 0, 1.0]])}, "a principal point inside 64x48"),
        ({"ego_from_camera": np.diag([2.0, 1, 1, 1])}, "a rotation as mounting pose"),
        ({"ego_from_camera": make_pose(np.eye(3), np.array([500.0, 0, 0]))}, "a camera on the vehicle"),
    ],
)
def test_numbers_that_no_camera_has(change: dict[str, np.ndarray], text: str) -> None:
    good = seeds.camera()
    assert camera_faults(good, (64, 48)) == [] and camera_faults(good, (64, 50))[0].kind == "size"
    faults = camera_faults(replace(good, **change))  # type: ignore[arg-type]
    assert any(text in fault.message for fault in faults) and all(fault.kind == "calibration" for fault in faults)


def test_a_drive_with_an_impossible_calibration_has_a_fault(tmp_path: Path) -> None:
    seeds.images(tmp_path)
    camera = Camera("front", 64, 48, np.array([[6000.0, 0, 32], [0, 6000.0, 24], [0, 0, 1]]))
    (tmp_path / "png" / "calibration.yaml").write_text(json.dumps({"front": camera.to_dict()}))
    with open_drive(tmp_path / "png") as drive:
        frames = list(drive)
    assert [fault.kind for fault in frames[-1].faults] == ["calibration"]


def turned(frames: list, degrees: float) -> list:
    turn = make_pose(rotation_from_euler(0, -math.radians(degrees), 0), np.zeros(3))
    changed = []
    for frame in frames:
        cameras = {
            n: replace(c, ego_from_camera=c.ego_from_camera @ turn) for n, c in frame.calibration.cameras.items()
        }
        changed.append(replace(frame, calibration=Calibration(cameras, frame.calibration.sensors)))
    return changed


def test_clouds_tell_cameras_that_are_turned(real_data: Path) -> None:
    with open_drive(real_data / "drives_repackaged/nuscenes_frame_ros2.mcap") as drive:
        frames = list(drive)
    assert lidar_image_faults(frames) == []
    faults = lidar_image_faults(turned(frames, 3.0))
    assert len(faults) >= 2 and all("-2.5 degrees of yaw" in fault.message for fault in faults)
    assert len(lidar_image_faults(turned(frames, -2.0))) >= 2


def test_slots_are_filled_by_direction() -> None:
    needs = StageNeeds(
        slots=("ring_front_center", "ring_front_left"), optional_slots=("ring_rear_left", "ring_side_left")
    )
    yaws = {"a": 0.02, "b": math.radians(55), "c": math.radians(110), "d": math.radians(180)}
    found = assign_cameras("s", needs, list(yaws), None, yaws)
    assert found == {"ring_front_center": "a", "ring_front_left": "b", "ring_side_left": "c"}
    chosen = assign_cameras("s", needs, list(yaws), {"ring_front_left": "c"}, yaws)
    assert chosen == {"ring_front_center": "a", "ring_front_left": "c"}


def test_info_shows_all_of_it_and_its_mapping_is_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds_logs._plain_mcap(tmp_path / "a.mcap", seeds_logs._ros2_messages())
    strip, mapping = tmp_path / "strip.png", tmp_path / "mapping.yaml"
    drive = str(tmp_path / "a.mcap")
    assert main(["info", drive, "--thumbnails", str(strip), "--write-mapping", str(mapping), "--samples", "3"]) == 0
    text = capsys.readouterr().out
    assert "base_link\n    cam (moving)" in text and "ego pose: found (sensor_msgs/NavSatFix on /fix" in text
    assert "pipelines/lanes_front.py: " in text
    assert cv2.imread(str(strip)).shape == (240, 480, 3)  # two cameras, three frames of 160x120
    with open_drive(drive) as derived, open_drive(drive, str(mapping)) as given:
        assert DriveMapping.from_yaml(mapping).to_dict() == derived.mapping.to_dict() == given.mapping.to_dict()
        pairs = list(zip(derived, given))
    assert len(pairs) == 4
    for one, two in pairs:
        assert one.timestamp_ns == two.timestamp_ns and list(one.images) == list(two.images)
        assert (one.ego_pose is None) == (two.ego_pose is None) and np.array_equal(one.ego_pose, two.ego_pose)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            return

    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_address[1]}"
        found.shutdown()


def test_drives_on_a_server_are_fetched_once(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp", reason="aiohttp (extra `drives`) is not installed")
    monkeypatch.setenv("PERCEPTION_CACHE", str(tmp_path / "cache"))
    (tmp_path / "served").mkdir()
    served = tmp_path / "served" / "a.mcap"
    seeds_logs._plain_mcap(served, seeds_logs._ros2_messages())
    with open_drive(f"{server}/a.mcap") as drive:
        assert len(list(drive)) == 4
    copies = list((tmp_path / "cache").rglob("a.mcap"))
    changed = copies[0].stat().st_mtime_ns
    with open_drive(f"{server}/a.mcap") as drive:
        assert len(drive) == 4
    assert len(copies) == 1 and copies[0].stat().st_mtime_ns == changed
    with pytest.raises(InputError, match=r"missing\.mcap: expected a file or folder that can be fetched"):
        open_drive(f"{server}/missing.mcap")
    with pytest.raises(InputError, match="the unsupported scheme ftpx://"):
        open_drive("ftpx://somewhere/a.mcap")


def test_folders_of_a_store_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec", reason="fsspec (extra `drives`) is not installed")
    monkeypatch.setenv("PERCEPTION_CACHE", str(tmp_path / "cache"))
    store = fsspec.filesystem("memory")
    for number in range(3):
        store.pipe(f"/drives/clouds/{number}.bin", np.ones((5, 4), "<f4").tobytes())
    with open_drive("memory://drives/clouds") as drive:
        assert [len(frame.clouds["lidar"]) for frame in drive] == [5, 5, 5]
