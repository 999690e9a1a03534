"""Counting metrics against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from perception.errors import PerceptionError
from perception.metrics.crowd import cell_counts, count_scores, density_cells, game, match_points


def test_count_scores():
    scores = count_scores([10, 4, 1], [8, 4, 0])
    assert scores.mae == pytest.approx(1.0)
    assert scores.rmse == pytest.approx(np.sqrt(5 / 3))
    assert scores.nae == pytest.approx((2 / 8 + 0) / 2)  # the empty picture has no relative error
    assert scores.bias == pytest.approx(1.0) and scores.mean_count == pytest.approx(4.0)
    assert np.isnan(count_scores([0.1], [0]).nae)
    for wrong in (([1], [1, 2]), ([], []), ([np.nan], [1])):
        with pytest.raises(PerceptionError):
            count_scores(*wrong)


def test_cells_share_density_on_their_borders():
    density = np.ones((3, 3))
    assert density_cells(density, 1).tolist() == [[2.25, 2.25], [2.25, 2.25]]
    assert density_cells(density, 0).tolist() == [[9.0]]
    assert cell_counts([[0, 0], [9.9, 4], [5, 5], [10, 10]], (10, 10), 1).tolist() == [[1, 1], [0, 2]]


def test_game_grows_with_its_level():
    density = np.zeros((8, 8))
    density[0, 0] = 1.0
    points = np.array([[60.0, 60.0]])
    assert game(density, points, (64, 64), 0) == pytest.approx(0.0)
    assert game(density, points, (64, 64), 1) == pytest.approx(2.0)
    assert [game(np.zeros((8, 8)), points, (64, 64), level) for level in range(4)] == [1.0, 1.0, 1.0, 1.0]


def test_matching_is_one_to_one_and_as_large_as_possible():
    truth = np.array([[0.0, 0.0], [4.0, 0.0]])
    predicted = np.array([[2.0, 0.0], [-2.5, 0.0]])  # the greedy choice of the nearest would lose one
    assert tuple(match_points(predicted, truth, 3.0)) == (2, 0, 0)
    assert tuple(match_points(predicted[:1], truth, 3.0)) == (1, 0, 1)
    assert tuple(match_points(predicted, truth, np.array([1.0, 3.0]))) == (1, 1, 1)
    assert tuple(match_points(np.zeros((0, 2)), truth, 3.0)) == (0, 0, 2)
    assert tuple(match_points(predicted, np.zeros((0, 2)), 3.0)) == (0, 2, 0)
