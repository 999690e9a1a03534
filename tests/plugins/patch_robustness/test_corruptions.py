"""Corruptions: seeded, graded, and they leave the original alone."""

from __future__ import annotations

import numpy as np
import pytest

from perception.errors import PerceptionError, UnknownNameError
from perception.geometry import Camera
from perception.plugins.patch_robustness.corruptions import corrupt, corrupt_image
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
