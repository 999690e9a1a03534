"""Files of towns: MCAP drives, contact sheets, the command."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from perception.cli import main
from perception.sim import TownDrive
from perception.sim.writers import FORMATS, Request, writer
from perception.sources import open_drive
from perception.structures import Boxes3D

SIZE = (96, 72)


def drives(out, workers):
    request = Request(out, 2, 2, 900_201, "day", SIZE, 5.0, workers, "town", "ring7", 32)
    return list(writer("drive")(request))


def test_drives_with_all_sensors_read_back_and_do_not_depend_on_workers(tmp_path):
    first, second = drives(tmp_path / "one", 1), drives(tmp_path / "two", 2)
    names = ["town_day_0900201.mcap", "town_day_0900202.mcap"]
    assert [path.rsplit("/", 1)[1] for path in first] == names
    for a, b in zip(first, second):
        with open(a, "rb") as one, open(b, "rb") as two:
            assert one.read() == two.read()
    made = TownDrive(900_201, "day", 2, 5.0, "ring7", 32, SIZE)
    with open_drive(first[0]) as drive:
        read = list(drive)
    assert len(read) == 2
    for got, frame in zip(read, made):
        assert set(got.images) == set(frame.images) and len(got.images) == 7
        np.testing.assert_allclose(got.ego_pose, frame.ego_pose, atol=1e-6)
        np.testing.assert_array_equal(got.clouds["lidar"].points, frame.clouds["lidar"].points)
        for field in ("intensity", "ring", "time", "category", "instance"):
            np.testing.assert_array_equal(got.clouds["lidar"].fields[field], frame.clouds["lidar"].fields[field])
        np.testing.assert_allclose(got.calibration.sensors["lidar"], frame.calibration.sensors["lidar"], atol=1e-6)
        assert got.images["ring_front_center"].shape == (96, 72, 3)  # portrait
        assert set(got.truth) == set(frame.truth)
        boxes, wanted = got.truth["ego/boxes_3d"], frame.truth["ego/boxes_3d"]
        assert isinstance(boxes, Boxes3D) and isinstance(wanted, Boxes3D)
        np.testing.assert_array_equal(boxes.track_ids, wanted.track_ids)
        np.testing.assert_array_equal(boxes.velocities, wanted.velocities)


def test_writing_drives_resumes(tmp_path, capsys):
    arguments = ["simulate", str(tmp_path), "--world", "town", "--rig", "dash", "--frames", "1", "--size", "64x48"]
    assert main(arguments) == 0
    (path,) = tmp_path.glob("*.mcap")
    stamp, data = path.stat().st_mtime_ns, path.read_bytes()
    assert main([*arguments, "--scenes", "2"]) == 0
    assert path.stat().st_mtime_ns == stamp and path.read_bytes() == data and len(list(tmp_path.glob("*.mcap"))) == 2
    assert str(path) in capsys.readouterr().out


def test_contact_sheets_show_what_is_asked_for(tmp_path):
    request = Request(tmp_path, 1, 5, 900_300, "day", (96, 64))
    (path,) = writer("sheet")(request)
    sheet = cv2.imread(path)
    assert sheet.shape == (128, 4 * 96, 3) and sheet.std() > 20
    (plain,) = writer("sheet")(Request(tmp_path / "plain", 1, 5, 900_300, "day", (96, 64), options={"show": "nothing"}))
    assert (cv2.imread(plain) != sheet).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--world", "town", "--rig", "ring8"], "did you mean 'ring7'"),
        (["--world", "town", "--lidar", "17"], "32, 64, 128"),
        (["--rig", "ring7"], "need --world town"),
        (["--world", "town", "--option", "x=1"], "unknown option of the format 'x'"),
        (["--world", "town", "--option", "x"], "KEY=VALUE"),
        (["--world", "town", "--size", "mixed"], "--format culane"),
        (["--format", "culane", "--world", "town"], "shows roads"),
        (["--format", "sheet", "--option", "show=cats"], "thing to show"),
        (["--format", "sheet", "--frames", "0"], "frames >= 1"),
        (["--world", "town", "--fps", "0"], "rate_hz > 0"),
    ],
)
def test_the_command_refuses_nonsense(tmp_path, capsys, arguments, words):
    assert main(["simulate", str(tmp_path), "--frames", "1", *arguments]) == 2
    assert words in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_every_format_has_a_writer():
    for name in FORMATS:
        assert callable(writer(name))
