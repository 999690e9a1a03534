"""tools/ego_lines.py: errors follow the labels, also when the picture is moved."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from perception.structures import Lanes2D

LABELS = {
    "size": [160, 120],
    "rows": [70, 90, 110],
    "sets": {"pictures": {"a.png": {"left": [60, 50, 40], "right": [100, 110, 120]}}},
}


@pytest.fixture(scope="module")
def tool(repository: Path):
    spec = importlib.util.spec_from_file_location("ego_lines_tool", repository / "tools/ego_lines.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _stage(shift_x: float, shift_y: float = 0.0):
    lanes = tuple(
        np.array([[x + shift_x, y + shift_y] for x, y in zip(xs, (110, 90, 70))], np.float32)
        for xs in ((40, 50, 60), (120, 110, 100))
    )
    return SimpleNamespace(detect=lambda image: Lanes2D("front", image.shape[1::-1], lanes))


def test_errors_are_those_of_the_worse_line_and_follow_a_moved_picture(tool, tmp_path):
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures/a.png"), np.full((120, 160, 3), 90, np.uint8))
    ((error, key, picture),) = tool.measure(_stage(3.0), LABELS, "pictures", tmp_path, "none")
    assert key == "a.png" and error == pytest.approx(3.0) and picture.shape == (120, 160, 3)
    assert picture.max() == 255, "the label is drawn in white"
    ((error, _, _),) = tool.measure(_stage(0.0, 12.0), LABELS, "pictures", tmp_path, "down")
    assert error == pytest.approx(0.0)
    nothing = SimpleNamespace(detect=lambda image: Lanes2D("front", image.shape[1::-1]))
    assert tool.measure(nothing, LABELS, "pictures", tmp_path, "dark")[0][0] == np.inf


def test_changes_keep_the_size_and_do_what_they_say(tool):
    image = np.full((120, 160, 3), (90, 60, 30), np.uint8)
    changed = {name: change(image) for name, (change, _) in tool.CHANGES.items()}
    assert all(each.shape == image.shape and each.dtype == np.uint8 for each in changed.values())
    assert changed["dark"].mean() < 30 < image.mean() < changed["bright"].mean()
    assert (
        np.ptp(changed["grey"][0, 0]) == 0 and (changed["down"][:11] == 60).all() and (changed["up"][-11:] == 60).all()
    )
