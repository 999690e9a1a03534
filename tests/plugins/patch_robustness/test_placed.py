"""Patches placed in drives: every camera of a rig, all frames, consecutive samples; sensors whose clocks disagree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from perception.errors import InputError, PerceptionError, UnknownNameError
from perception.geometry.camera import Camera
from perception.geometry.transforms import CAMERA_AXES_IN_EGO, make_pose
from perception.plugins.patch_robustness.attacks import AttackConfig, as_images, attacked_images
from perception.plugins.patch_robustness.desync import desynchronise
from perception.plugins.patch_robustness.drive_scenes import DriveScenes
from perception.plugins.patch_robustness.occlusion import hidden_by_lidar, occlusion_note
from perception.plugins.patch_robustness.place_command import Placing, place_patch
from perception.plugins.patch_robustness.placement import board_corners, preview, road_corners
from perception.structures import Boxes2D, Calibration, Frame, PointCloud

K = [[100, 0, 60], [0, 100, 40], [0, 0, 1]]


def camera(name: str, yaw: float = 0.0) -> Camera:
    turn = make_pose([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]], [0, 0, 1.5])
    return Camera(name, 120, 80, K, ego_from_camera=turn @ make_pose(CAMERA_AXES_IN_EGO, [0, 0, 0]))


def frame(index: int, x: float | None, **clouds: PointCloud) -> Frame:
    cameras = {"front": camera("front"), "left": camera("left", np.pi / 2)}
    images = {name: np.full((80, 120, 3), 10 * index, np.uint8) for name in cameras}
    pose = None if x is None else make_pose(np.eye(3), [x, 0, 0])
    return Frame(index * 100_000_000, index, images, dict(clouds), Calibration(cameras), pose)


# --- placing ----------------------------------------------------------------------------------------------------------


def test_every_camera_sees_the_same_patch_or_nothing():
    frames = [frame(0, 0.0), frame(1, 5.0)]
    found = list(preview(iter(frames), None, road_corners(12, 0, (2, 2)), (2, 2)))
    assert [(view.index, view.slot, view.surface is not None) for view in found] == [
        (0, "front", True), (0, "left", False), (1, "front", True), (1, "left", False),
    ]  # fmt: skip
    assert found[2].surface.size_px > found[0].surface.size_px, "it comes nearer"
    across = list(preview(iter(frames[:1]), None, road_corners(6, 3, (4, 3)), (4, 3)))
    assert across[0].surface is not None, "a corner beyond the border leaves the rest in the picture"
    assert float(across[0].surface.quad[:, 0].min()) < 0 < float(across[0].surface.quad[:, 0].max())
    side = list(preview(iter(frames[:1]), None, road_corners(0, 10, (2, 2)), (2, 2)))
    assert [view.surface is not None for view in side] == [False, True]
    with pytest.raises(PerceptionError, match="no calibration for camera 'rear'"):
        list(preview(iter(frames), ("rear",), road_corners(12, 0, (2, 2)), (2, 2)))


class Source:
    def __init__(self, frames):
        self.frames = frames

    def __enter__(self):
        return iter(self.frames)

    def __exit__(self, *_):
        return None


def test_placing_draws_into_all_frames_of_all_cameras(tmp_path: Path, monkeypatch, capsys):
    frames = [frame(1, 0.0), frame(2, 4.0), frame(3, 40.0)]
    monkeypatch.setattr("perception.sources.open_drive", lambda drive: Source(frames))
    where = Placing((12.0, 0.0), (2.0, 2.0))
    assert place_patch("d", where, tmp_path) == 0
    text = capsys.readouterr().out
    assert "front: 2 of 3 frames show it" in text and "left: 0 of 3" in text and "fixed in the world" in text
    assert sorted(path.name for path in (tmp_path / "left").iterdir()) == ["00000.png", "00001.png", "00002.png"]
    first, passed = (cv2.imread(str(tmp_path / "front" / f"{k:05d}.png")) for k in (0, 2))
    assert (first != 10).any() and (passed == 30).all()
    assert place_patch("d", replace(where, camera="front", frames=2), tmp_path / "one") == 0
    assert len(list((tmp_path / "one").iterdir())) == 2
    with pytest.raises(PerceptionError, match="none of 3 frames shows the patch in camera 'left'"):
        place_patch("d", replace(where, camera="left"), tmp_path / "none")
    frames[:] = [frame(1, None)]
    place_patch("d", where, tmp_path / "still")
    assert "moves with the vehicle" in capsys.readouterr().out
    frames.clear()
    with pytest.raises(InputError, match="at least one frame"):
        place_patch("d", where, tmp_path / "none")


def test_what_stands_in_front_hides_the_patch(tmp_path: Path, monkeypatch, capsys):
    corners = board_corners(20, 0, (2, 4), below=0.5)  # seen from 1.5 m above the origin
    across = np.stack(np.meshgrid([20.0], np.linspace(-2, 2, 81), np.linspace(0.5, 2.5, 41)), -1).reshape(-1, 3)
    pole = np.stack(np.meshgrid([10.0], np.linspace(0.4, 0.6, 9), np.linspace(0.5, 3, 101)), -1).reshape(-1, 3)
    behind = across + [9, 0, 0]
    hidden = hidden_by_lidar(np.concatenate([across, pole]), corners, camera("front"))
    rows, columns = np.nonzero(hidden)  # the pole is at y = 0.4 to 0.6 at 10 m: u = 60 - 100 * 0.05 = 54 to 56
    assert len(rows) and columns.min() >= 53 and columns.max() <= 57 and hidden[36:42, 55].all()
    for nothing in (np.zeros((0, 3)), across, np.concatenate([across, behind]), across * [1, 1, np.nan]):
        assert not hidden_by_lidar(nothing, corners, camera("front")).any()
    one = frame(1, 0.0, top=PointCloud(np.concatenate([across, pole]).astype(np.float32)))
    monkeypatch.setattr("perception.sources.open_drive", lambda drive: Source([one]))
    board = Placing((20.0, 0.0), (2.0, 4.0), "board", "front")
    place_patch("d", board, tmp_path)
    assert "occlusion from LiDAR in 1 of 1 pictures" in capsys.readouterr().out
    drawn = cv2.imread(str(tmp_path / "00000.png"))
    assert (drawn[36:38, 55] == 10).all() and (drawn[36:38, 60] > 100).all()
    (tmp_path / "masks/front").mkdir(parents=True)
    mask = np.zeros((80, 120), np.uint8)
    mask[:, 60:] = 255
    cv2.imwrite(str(tmp_path / "masks/front/00000.png"), mask)
    place_patch("d", replace(board, occlusion=str(tmp_path / "masks")), tmp_path)
    drawn = cv2.imread(str(tmp_path / "00000.png"))
    assert (drawn[36:38, 60:] == 10).all() and (drawn[36:38, 55] > 100).all()
    place_patch("d", replace(board, occlusion="none"), tmp_path)
    assert "occlusion is ignored" in capsys.readouterr().out
    cv2.imwrite(str(tmp_path / "masks/front/00000.png"), mask[:9])
    with pytest.raises(InputError, match="a mask of 120 x 80 pixels"):
        place_patch("d", replace(board, occlusion=str(tmp_path / "masks")), tmp_path)
    with pytest.raises(PerceptionError, match="lidar, none or a folder"):
        replace(board, occlusion="masks of nobody")


def test_consecutive_samples_of_a_simulated_drive():
    scenes = DriveScenes(seeds=(950_000,), frames=9, every=4, size=(160, 90), ahead=20.0, size_m=(8, 4))
    samples = scenes.samples
    assert len(samples) == len(scenes) >= 2 and samples[0] is scenes[0]
    distances = [sample.meta["distance_m"] for sample in samples]
    assert distances[0] == 20 and distances == sorted(distances, reverse=True)
    assert [sample.meta["time_s"] for sample in samples[:2]] == pytest.approx([0, 0.4])
    assert {sample.scene for sample in samples} == {"drive_0950000"}
    assert samples[0].truth.image_size == (160, 90)
    for wrong in ({}, {"seeds": (1,), "drives": ("x",)}, {"seeds": (1,), "on": "roof"}):
        with pytest.raises(PerceptionError, match="drive scenes"):
            DriveScenes(**wrong)
    with pytest.raises(InputError, match="frames that show the patch"):
        len(DriveScenes(seeds=(950_000,), frames=1, size=(160, 90), ahead=-20.0))


def test_what_stands_in_front_of_a_patch_stays_there_in_evaluations(monkeypatch):
    across = np.stack(np.meshgrid([20.0], np.linspace(-2, 2, 81), np.linspace(0.5, 2.5, 41)), -1).reshape(-1, 3)
    pole = np.stack(np.meshgrid([10.0], np.linspace(0.4, 0.6, 9), np.linspace(0.5, 3, 101)), -1).reshape(-1, 3)
    seen = frame(1, 0.0, top=PointCloud(np.concatenate([across, pole]).astype(np.float32)))
    truth = {"front/boxes_2d": Boxes2D("front", (120, 80), [[40, 30, 70, 50]], [1.0], [0], ("thing",))}
    frames = [replace(seen, truth=truth), replace(frame(2, 1.0), truth=truth)]  # the second without returns
    monkeypatch.setattr("perception.sources.open_drive", lambda drive: Source(frames))
    options = {"drives": ("d",), "truth": "boxes_2d", "ahead": 20.0, "size_m": (2.0, 4.0), "on": "board"}
    samples = DriveScenes(**options).samples
    assert samples[0].hidden[36:42, 55].all() and not samples[0].hidden[:, 60:].any() and samples[1].hidden is None
    config = AttackConfig(size="", width=16)
    shown = attacked_images(as_images(samples), samples, torch.ones(1, 3, 16, 16), config)
    before = as_images(samples)
    assert torch.equal(shown[0, :, 36:42, 55], before[0, :, 36:42, 55]), "the pole at u = 54 to 56"
    assert (shown[0, :, 36:38, 60] > 0.9).all() and (shown[1, :, 36:38, 55:60] > 0.9).all()
    assert occlusion_note(samples) == "from masks or LiDAR in 1 of 2 samples, ignored in the others"
    assert occlusion_note(samples[:1]) == "from masks or LiDAR in 1 of 1 samples"
    assert occlusion_note(DriveScenes(**options, occlusion="none").samples) == "ignored"
    with pytest.raises(UnknownNameError, match="'ldar': did you mean 'lidar'"):
        DriveScenes(**options, occlusion="ldar")
    with pytest.raises(PerceptionError, match=r"sample b: expected hidden \(80, 120\) bool"):
        replace(samples[0], name="b", hidden=np.zeros((8, 12), bool))


# --- clocks -----------------------------------------------------------------------------------------------------------


def test_a_lidar_that_lags_shows_the_world_from_where_the_car_was():
    def wall(x: float) -> PointCloud:
        return PointCloud(np.array([[50 - x, 2, 1]], np.float32))

    frames = [frame(k, 2.0 * k, lidar=wall(2.0 * k)) for k in range(3)]
    late = list(desynchronise(frames, "lidar", 0.05))
    assert [one.clouds["lidar"].points[0, 0] for one in late] == pytest.approx([50, 49, 47])  # 1 m farther than it is
    assert [one.clouds["lidar"].points[0, 0] for one in frames] == [50, 48, 46], "the input stays"
    later = list(desynchronise(frames, "lidar", 0.1))
    assert later[2].clouds["lidar"].points[0].tolist() == pytest.approx([48, 2, 1])
    poses = [one.ego_pose[0, 3] for one in desynchronise(frames, "pose", 0.05)]
    assert poses == pytest.approx([0, 1, 3])


def test_a_camera_that_lags_shows_the_nearest_earlier_picture():
    frames = [frame(k, 2.0 * k) for k in range(4)]
    shown = [one.images["front"][0, 0, 0] for one in desynchronise(iter(frames), "cameras", 0.1)]
    assert shown == [0, 0, 10, 20]
    assert [one.images["front"][0, 0, 0] for one in desynchronise(frames, "cameras", 0.02)] == [0, 10, 20, 30]
    assert [one.timestamp_ns for one in desynchronise(frames, "cameras", 0.1)] == [f.timestamp_ns for f in frames]


def test_clocks_that_make_no_sense():
    with pytest.raises(UnknownNameError):
        desynchronise([], "radar")
    with pytest.raises(PerceptionError, match="delay_s"):
        desynchronise([], "lidar", -1)
    with pytest.raises(PerceptionError, match="expected a pose"):
        list(desynchronise([frame(0, None)], "pose"))
