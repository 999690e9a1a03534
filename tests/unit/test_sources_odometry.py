"""Ego poses from clouds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception.cli import main
from perception.sources import open_drive
from perception.sources.odometry import LidarOdometrySource

pytest.importorskip("kiss_icp", reason="kiss-icp (extra `drives`) is not installed")


def street(tmp_path: Path, count: int = 8) -> np.ndarray:
    """Sweeps in a street of walls and posts, driven along x at 1 m a sweep; one sweep is empty. Gives the places."""
    rng = np.random.default_rng(5)
    walls = [
        np.column_stack([rng.uniform(-40, 60, 6000), np.full(6000, y), rng.uniform(0, 4, 6000)]) for y in (-8.0, 9.0)
    ]
    posts = []
    for x in np.arange(-40, 60, 7.0):
        angle = rng.uniform(0, 2 * np.pi, 300)
        side = rng.choice((-6.0, 6.5))
        posts.append(np.column_stack([x + 0.6 * np.cos(angle), side + 0.6 * np.sin(angle), rng.uniform(0, 3, 300)]))
    ground = np.column_stack([rng.uniform(-40, 60, 8000), rng.uniform(-8, 9, 8000), np.zeros(8000)])
    world = np.concatenate([*walls, *posts, ground])
    places = np.arange(count, dtype=float)
    for number, x in enumerate(places):
        local = world - [x, 0, 1.7]
        near = local[np.linalg.norm(local, axis=1) < 45] + rng.normal(0, 0.01, (1, 3))
        table = np.column_stack([near, np.zeros(len(near))]).astype("<f4")
        (tmp_path / f"{number}.bin").write_bytes(b"" if number == 7 else table.tobytes())
    return places


def test_info_counts_on_poses_that_a_run_would_compute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    street(tmp_path, 2)
    assert main(["info", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "ego pose: not found (LiDAR odometry computes it" in text and "lidar_bev.py: runs" in text
    monkeypatch.setattr("perception.sources.odometry.odometry_available", lambda: False)
    assert main(["info", str(tmp_path)]) == 0
    assert "lidar_bev.py: cannot run, because bev: the drive has no ego poses" in capsys.readouterr().out


def test_poses_follow_the_vehicle_also_when_the_run_begins_later(tmp_path: Path) -> None:
    places = street(tmp_path)
    mapping = {"lidars": {"lidar": "lidar"}, "pose": "lidar"}
    with open_drive(tmp_path, mapping) as drive:
        assert isinstance(drive, LidarOdometrySource)
        assert drive.info.pose_source == "LiDAR odometry (kiss-icp) on lidar" and len(drive) == 8
        frames = list(drive)
        drive.seek(frames[6].timestamp_ns)
        later = next(iter(drive))
    assert [frame.index for frame in frames] == list(range(8))
    assert [frame.ego_pose is None for frame in frames] == [False] * 7 + [True]
    assert [fault.where for fault in frames[7].faults][-1] == "ego_pose"
    for frame in frames:
        if frame.ego_pose is not None:
            assert np.allclose(frame.ego_pose[:3, 3], [places[frame.index], 0, 0], atol=0.15)
    assert later.index == 6 and np.allclose(later.ego_pose, frames[6].ego_pose)
    with open_drive(tmp_path, mapping, start=0.2, every=2) as drive:
        assert [frame.index for frame in drive] == [2, 4, 6] and len(drive) == 3
