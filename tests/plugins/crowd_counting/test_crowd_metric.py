"""Scores of a data set, computed by hand for three small pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perception.plugins.crowd_counting.metric import CrowdMetric

SIZE = (8, 8)


def picture(points: list[tuple[float, float]], cells: dict[tuple[int, int], float]) -> dict[str, Any]:
    """A predicted picture of 8 x 8 pixels whose density has the given cells (row, column); heads where people are."""
    density = np.zeros(SIZE, np.float32)
    for cell, people in cells.items():
        density[cell] = people
    truth = np.array(points, np.float32).reshape(-1, 2)
    return {"density": density, "gt_points": truth, "image_size": SIZE, "heads": truth}


def scores(pictures: list[dict[str, Any]], **options: Any) -> dict[str, float]:
    metric = CrowdMetric(bands=(0, 1), **options)
    for one in pictures:
        metric.process(None, [one])
    return metric.compute_metrics(metric.results)


@pytest.fixture
def pictures() -> list[dict[str, Any]]:
    nobody = picture([], {(0, 0): 0.5})
    one = picture([(1.0, 1.0)], {(7, 7): 1.0})  # the right count in the wrong place
    three = picture([(1.0, 1.0), (5.0, 1.0), (5.0, 5.0)], {(1, 1): 1.0, (1, 5): 1.0})
    three["heads"] = three["heads"][:2]  # one of four people is missed
    nobody["heads"] = np.array([[4.0, 4.0]], np.float32)  # and one of four heads is nobody's
    return [nobody, one, three]


def test_bands_have_their_own_errors(pictures: list[dict[str, Any]]) -> None:
    out = scores(pictures)
    assert out["MAE"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert out["GAME2"] == pytest.approx((0.5 + 2 + 1) / 3)
    assert out["empty"] == pytest.approx(0.5)
    assert [out[f"{name}[1-1]"] for name in ("MAE", "GAME2", "mean")] == pytest.approx([0, 2, 1])
    assert [out[f"{name}[2-]"] for name in ("MAE", "GAME2", "mean")] == pytest.approx([1, 1, 3])
    assert [out[name] for name in ("precision", "recall", "F1")] == pytest.approx([0.75, 0.75, 0.75])


def test_bands_without_pictures_and_levels_left_out_are_absent(pictures: list[dict[str, Any]]) -> None:
    out = scores(pictures[1:2], levels=(0, 1))
    assert "GAME1" in out and "GAME2" not in out
    assert [name for name in out if "[" in name] == ["MAE[1-1]", "mean[1-1]"]
    assert "empty" not in out
