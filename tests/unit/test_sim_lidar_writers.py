"""Towns in the layouts of nuScenes and RACECAR, read back by the sources."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from perception.cli import main
from perception.sim.writers.racecar import stamp
from perception.sources import drives_in, open_drive


def test_times_are_written_without_leading_zeros():
    assert stamp(1_641_334_200_002_809_198) == "16413342002809198"
    assert stamp(1_641_334_200_000_000_000) == "16413342000"


@pytest.mark.slow
def test_nuscenes_and_racecar(tmp_path: Path):
    common = ["--scenes", "1", "--frames", "7", "--seed", "11", "--lidar", "32"]
    assert main(["simulate", str(tmp_path / "n"), "--format", "nuscenes", *common, "--option", "key_every=2"]) == 0
    assert drives_in(tmp_path / "n") == [str(tmp_path / "n")]
    with open_drive(tmp_path / "n") as drive:
        frames = list(drive)
    assert len(frames) == 7
    assert ["ego/boxes_3d" in frame.truth for frame in frames] == [True, False] * 3 + [True]
    assert ["lidarseg" in frame.clouds["lidar_top"].fields for frame in frames] == [True, False] * 3 + [True]
    assert main(["simulate", str(tmp_path / "r"), "--format", "racecar", *common]) == 0
    with open_drive(tmp_path / "r") as drive:
        cars = list(drive)
    assert np.allclose([frame.ego_pose for frame in cars], [frame.ego_pose for frame in frames])
    assert len(list((tmp_path / "r").rglob("samples/LIDAR_FUSED/*.pcd.bin"))) == 2
    tables = tmp_path / "n" / "v1.0-sim"
    before = (tables / "sample_annotation.json").read_bytes()
    rows = json.loads(before)
    assert {row["prev"] == "" for row in rows} == {True, False} and all(row["num_lidar_pts"] >= 0 for row in rows)
    assert main(["simulate", str(tmp_path / "n"), "--format", "nuscenes", *common, "--option", "key_every=2"]) == 0
    assert (tables / "sample_annotation.json").read_bytes() == before, "a complete scene is kept"
    assert main(["simulate", str(tmp_path / "n"), "--format", "nuscenes", *common]) != 0, "other settings, same folder"
