"""Targets of GANet against numbers worked out by hand (spec ganet section 4)."""

from __future__ import annotations

import numpy as np
import pytest

from perception.plugins.lane_detection.targets import (
    clip_polyline,
    fit_spline,
    lane_samples,
    lane_targets,
    sample_spline,
)

VERTICAL = np.stack([np.full(33, 84.0), np.linspace(0, 128, 33)], axis=1)
"""x = 10.5 cells at stride 8, from the top to the bottom of an image 128 high."""


def test_a_vertical_lane_gives_known_maps():
    maps = lane_targets([VERTICAL], height=128, width=160, stride=8, sample_count=5)
    heat = maps["keypoint_hm"][0]
    assert heat.shape == (16, 20)
    assert (heat[:, 10] == 1).all(), "one keypoint centre in every row of column 10"
    np.testing.assert_allclose(heat[:, 11], np.exp(-1 / (2 * (5 / 6) ** 2)), rtol=1e-6)
    assert (heat[:, [7, 13]] == 0).all(), "the patch reaches two cells"
    assert maps["offset_mask"].sum() == 16
    np.testing.assert_allclose(maps["cell_offset"][0, :, 10], 0.5, atol=1e-6)
    np.testing.assert_allclose(maps["start_offset"][0, :, 10], 0, atol=1e-6)
    # the start point is the lowest vertex inside [0, 15], at y = 15
    lowest_in_row = 15 - maps["start_offset"][1, :, 10]
    np.testing.assert_allclose(lowest_in_row, np.arange(16) + maps["cell_offset"][1, :, 10], atol=1e-5)
    assert (maps["start_weight"][:, :, 10] == 1).all()
    assert np.argwhere(maps["start_hm"][0] == 1).tolist() == [[15, 10]]


def test_samples_are_truncated_and_unused_rows_are_minus_one():
    samples = lane_samples([VERTICAL], height=128, width=160, stride=8, count=5, rows=2)
    assert samples[0].tolist() == [[0, 10], [4, 10], [8, 10], [12, 10], [15, 10]]
    assert (samples[1] == -1).all()


def test_more_lanes_than_rows_keep_the_first():
    lanes = [VERTICAL + (8 * i, 0) for i in range(4)]
    maps = lane_targets(lanes, height=128, width=160, stride=8, sample_count=5, max_lanes=2)
    assert maps["lane_points"].shape == (2, 5, 2)
    assert (maps["keypoint_hm"][0, 8] == 1).sum() == 4, "the maps hold all lanes"


@pytest.mark.parametrize(
    "lane",
    [np.zeros((0, 2)), np.array([[5.0, 5.0]]), np.array([[5.0, 5.0], [5.0, 5.0]]), np.full((4, 2), -3.0)],
    ids=["empty", "one point", "repeated point", "outside"],
)
def test_degenerate_lanes_leave_empty_targets(lane: np.ndarray):
    maps = lane_targets([lane], height=64, width=64, stride=8, sample_count=5)
    assert maps["keypoint_hm"].sum() == 0
    assert maps["offset_mask"].sum() == 0
    assert (maps["lane_points"] == -1).all()


def test_spline_drops_repeated_rows_and_interpolates():
    points = np.array([[1.0, 0.0], [9.0, 0.0], [2.0, 1.0], [3.0, 2.0], [4.0, 3.0]])
    spline = fit_spline(points, height=10, width=10)
    assert spline is not None
    np.testing.assert_allclose(sample_spline(spline, 4), [[1, 0], [2, 1], [3, 2], [4, 3]], atol=1e-12)


def test_clipping_concatenates_parts():
    line = np.array([[1.0, 3.0], [5.0, 2.0], [1.0, 1.0]])  # leaves the square at x = 3 and comes back
    clipped = clip_polyline(line, right=3, bottom=3)
    np.testing.assert_allclose(clipped, [[1, 3], [3, 2.5], [3, 1.5], [1, 1]])
    assert len(clip_polyline(line + (10, 0), right=3, bottom=3)) == 0
