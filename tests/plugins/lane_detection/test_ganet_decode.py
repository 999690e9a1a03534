"""Decoding of toy maps (spec ganet section 6)."""

from __future__ import annotations

import numpy as np
import pytest

from perception.plugins.lane_detection.decode import (
    DecodeSettings,
    decode_batch,
    decode_lanes,
    find_keypoints,
    refine_lane,
    to_image,
)

SETTINGS = DecodeSettings(stride=8, kpt_thr=0.4, root_thr=1.0, center_radius=2.0, points_thr=3)


def toy_maps(columns: tuple[int, ...], height: int = 6, width: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertical lanes in the given columns, half a cell to the right, all starting in the lowest row."""
    heat = np.full((height, width), 0.1, np.float32)
    start, cell = np.zeros((2, height, width), np.float32), np.zeros((2, height, width), np.float32)
    for column in columns:
        heat[:, column] = 0.9
        start[1, :, column] = height - 1 - np.arange(height)
        cell[0, :, column] = 0.5
    return heat, start, cell


@pytest.mark.parametrize("columns", [(), (4,), (4, 12), (3, 9, 15)])
def test_lanes_of_a_toy_map(columns: tuple[int, ...]):
    lanes, scores = decode_lanes(*toy_maps(columns), SETTINGS, crop=(0, 100, 160, 148), input_size=(160, 48))
    assert len(lanes) == len(scores) == len(columns)
    for column, lane in zip(columns, lanes):
        assert lane[:, 0].tolist() == [8 * column + 4] * 6
        assert lane[:, 1].tolist() == [100, 108, 116, 124, 132, 140], "top of the image first"
    np.testing.assert_allclose(scores, 0.9)


def test_seeds_are_listed_by_column():
    heat, start, cell = toy_maps((4, 12))
    start[1, 0, 12] = -3  # negative values qualify
    assert find_keypoints(heat[None], start[None], cell[None], SETTINGS).seeds.tolist() == [[4, 5], [12, 0], [12, 5]]


def test_short_groups_are_dropped():
    maps = toy_maps((4,), height=3)
    assert decode_lanes(*maps, SETTINGS, crop=(0, 0, 160, 24), input_size=(160, 24))[0] == []


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_hide_only_their_cell(which: int, bad: float):
    maps = toy_maps((4, 12))
    maps[which][..., 2, 4] = bad
    lanes, _ = decode_lanes(*maps, SETTINGS, crop=(0, 0, 160, 48), input_size=(160, 48))
    assert [len(lane) for lane in lanes] == [5, 6]
    assert np.isfinite(np.concatenate(lanes)).all()


def test_without_center_radius_keypoints_group_by_their_roots():
    settings = DecodeSettings(center_radius=None, cluster_radius=1.0, points_thr=3)
    lanes, _ = decode_lanes(*toy_maps((4, 12)), settings, crop=(0, 0, 160, 48), input_size=(160, 48))
    assert len(lanes) == 2


def test_half_pixels_move_exactly():
    settings = DecodeSettings(stride=1, refine=True, half_pixel=True)
    moved = to_image(np.array([[0.0, 0.0]]), settings, crop=(10, 20, 50, 60), input_size=(10, 10))
    assert moved.tolist() == [[11.5, 21.5]], "the first of ten pixels covers the first four"


def test_refining_keeps_straight_lanes_and_averages_rows():
    y = np.arange(8.0)
    points = np.stack([2 * y + 1, y], axis=1)
    np.testing.assert_allclose(refine_lane(points, y.astype(int), np.ones(8)), points, atol=1e-9)
    doubled = np.concatenate([points, points + (2, 0)])
    averaged = refine_lane(doubled, np.tile(y.astype(int), 2), np.repeat([3.0, 1.0], 8))
    np.testing.assert_allclose(averaged, points + (0.5, 0), atol=1e-9)


def test_refining_dampens_an_outlier():
    y = np.arange(9.0)
    points = np.stack([np.where(y == 4, 3.0, 0.0), y], axis=1)
    assert refine_lane(points, y.astype(int), np.ones(9))[4, 0] < 1.5


def test_a_batch_is_decoded_as_its_images_one_by_one():
    images = [toy_maps(columns) for columns in ((4, 12), (), (3, 9, 15))]
    crops, sizes = [(0, 100 * i, 160, 148 + 100 * i) for i in range(3)], [(160, 48)] * 3
    for settings in (
        SETTINGS,
        DecodeSettings(center_radius=None, points_thr=3),
        DecodeSettings(refine=True, points_thr=3),
    ):
        together = decode_batch(*(np.stack(maps) for maps in zip(*images)), settings, crops, sizes)
        alone = [decode_lanes(*maps, settings, crop, size) for maps, crop, size in zip(images, crops, sizes)]
        assert [len(lanes) for lanes, _ in together] == [2, 0, 3]
        for (lanes, scores), (expected, expected_scores) in zip(together, alone):
            assert all(map(np.array_equal, lanes, expected))
            assert scores.tolist() == expected_scores.tolist()
