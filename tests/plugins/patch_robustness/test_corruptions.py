"""Corruptions: seeded, graded, and they leave the original alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perception.attack import AttackSample
from perception.attack_points import PointSample
from perception.errors import PerceptionError, UnknownNameError
from perception.geometry import Camera
from perception.plugins.patch_robustness.corruptions import corrupt, corrupt_image
from perception.plugins.patch_robustness.faults import faulty
from perception.structures import Calibration, Frame
from perception.structures.frame import PointCloud

X, Y = np.meshgrid(np.arange(96), np.arange(64))
MATRIX = np.array([[80, 0, 48], [0, 80, 32], [0, 0, 1]])
IMAGE = np.stack([X * 2, Y * 3, 128 + 40 * np.sin(X / 3)], -1).astype(np.uint8)


@pytest.mark.parametrize("kind", ["fog", "rain", "blur", "noise", "exposure", "jpeg"])
def test_images_get_worse_with_severity(kind):
    errors = [np.abs(corrupt_image(IMAGE, kind, s).astype(float) - IMAGE).mean() for s in (1, 3, 5)]
    assert 0 < errors[0] < errors[1] < errors[2]
    assert np.array_equal(corrupt_image(IMAGE, kind, 3, 7), corrupt_image(IMAGE, kind, 3, 7))


def _frame() -> Frame:
    cameras = {name: Camera(name, 96, 64, MATRIX, ego_from_camera=np.eye(4)) for name in ("front", "left")}
    points = np.random.default_rng(0).normal(size=(1000, 3))
    return Frame(
        timestamp_ns=123,
        images={"front": IMAGE, "left": IMAGE},
        clouds={"lidar": PointCloud(points, {"ring": np.arange(1000)})},
        calibration=Calibration(cameras),
    )


def test_sensors_fail():
    frame = _frame()
    assert len(corrupt(frame, "lost_camera", 1).images) == 1
    assert len(corrupt(frame, "lost_camera", 5).images) == 1  # one is left
    thinned = corrupt(frame, "lidar_dropout", 4).clouds["lidar"]
    assert 320 < len(thinned.points) < 480 and len(thinned.fields["ring"]) == len(thinned.points)
    turned = corrupt(frame, "calibration", 3).calibration.cameras["front"].ego_from_camera
    trace = np.trace(frame.calibration.cameras["front"].ego_from_camera[:3, :3].T @ turned[:3, :3])
    assert np.degrees(np.arccos((trace - 1) / 2)) == pytest.approx(1.0, abs=1e-6)
    assert len(frame.images) == 2 and len(frame.clouds["lidar"].points) == 1000


def test_both_cameras_get_their_own_noise():
    noisy = corrupt(_frame(), "noise", 2)
    assert not np.array_equal(noisy.images["front"], noisy.images["left"])


def test_wrong_names_and_severities():
    with pytest.raises(UnknownNameError, match="did you mean 'fog'"):
        corrupt(_frame(), "fgo", 1)
    with pytest.raises(PerceptionError, match="severity 1 to 5"):
        corrupt_image(IMAGE, "fog", 6)
    with pytest.raises(UnknownNameError, match="corruption of images"):
        corrupt_image(IMAGE, "lost_camera", 1)


# --- samples of an attack's report ------------------------------------------------------------------------------------


def picture(number: int, scene: str = "s", **meta) -> AttackSample:
    image = np.full((8, 8, 3), 10 * number, np.uint8)
    return AttackSample(f"{scene}{number}", image, None, scene, (), {"time_s": 0.1 * number, **meta})


def test_a_camera_that_lags_shows_the_nearest_earlier_sample_of_its_scene():
    samples = [picture(k) for k in range(4)] + [picture(9, "other")]
    shown = [int(one.image[0, 0, 0]) for one in faulty(samples, "camera_lag", 4)]  # 0.2 s
    assert shown == [0, 0, 0, 10, 90]
    assert faulty(samples, "camera_lag", 1)[3].image is samples[3].image, "0.025 s are less than half a step"
    with pytest.raises(PerceptionError, match="expected time_s in meta"):
        faulty([replace(samples[0], meta={})], "camera_lag", 1)


def test_a_wrong_calibration_turns_the_camera_that_measures():
    sample = picture(0, camera=Camera("front", 96, 64, MATRIX, ego_from_camera=np.eye(4)))
    turned = faulty([sample], "calibration", 3, seed=4)[0]
    relative = turned.meta["camera"].ego_from_camera[:3, :3].T @ sample.meta["camera"].ego_from_camera[:3, :3]
    assert np.degrees(np.arccos((np.trace(relative) - 1) / 2)) == pytest.approx(1.0)
    assert np.array_equal(turned.image, sample.image)
    for wrong in ({}, {"camera": "front"}):
        with pytest.raises(PerceptionError, match="expected a camera in meta"):
            faulty([picture(0, **wrong)], "calibration", 3)


def test_lidars_lose_returns_and_lag():
    poses = [np.eye(4), np.eye(4)]
    poses[1][0, 3] = 5.0  # five metres in half a second
    cloud = np.tile(np.array([[10.0, 0, 0]], np.float32), (1000, 1))
    sample = PointSample("a", (cloud, cloud), tuple(poses), (np.zeros(3),) * 2, (0, 500_000_000))
    late = faulty([sample], "lidar_lag", 4)[0]  # 0.2 s
    assert late.clouds[1][0].tolist() == pytest.approx([12, 0, 0]) and late.clouds[0][0].tolist() == [10, 0, 0]
    assert late.poses is sample.poses
    thin = faulty([sample], "lidar_dropout", 2)[0]
    assert 0.65 < len(thin.clouds[0]) / 1000 < 0.75
    assert [len(c) for c in thin.clouds] == [len(c) for c in faulty([sample], "lidar_dropout", 2)[0].clouds]
    for kind in ("fog", "camera_lag"):
        with pytest.raises(UnknownNameError, match="fault of sweeps"):
            faulty([sample], kind, 1)
    with pytest.raises(UnknownNameError, match="fault of pictures"):
        faulty([picture(0)], "lidar_lag", 1)
    with pytest.raises(PerceptionError, match="severity 1 to 5"):
        faulty([sample], "lidar_lag", 6)
