"""Homographies: hand-computed maps, and outlines that carry no picture."""

from __future__ import annotations

import pytest
import torch

from perception.errors import PerceptionError
from perception.geometry.homography import apply_homography, check_quads, solve_homography

UNIT = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]])


def test_four_points_give_the_exact_projective_map():
    matrix = torch.tensor([[[2.0, 0.5, 3.0], [0.1, 1.5, -1.0], [0.02, 0.01, 1.0]]])
    target = apply_homography(matrix, UNIT)
    assert torch.allclose(solve_homography(UNIT, target), matrix, atol=1e-5)


def test_three_points_give_an_affine_map_in_any_mode():
    target = torch.tensor([[[10.0, 20.0], [12.0, 20.0], [12.0, 23.0]]])
    matrix = solve_homography(UNIT[:, :3], target)
    assert torch.allclose(matrix, torch.tensor([[[2.0, 0.0, 10.0], [0.0, 3.0, 20.0], [0.0, 0.0, 1.0]]]), atol=1e-5)


def test_translate_scale_maps_bounding_boxes():
    tilted = torch.tensor([[[5.0, 0.0], [10.0, 5.0], [5.0, 10.0], [0.0, 5.0]]])
    matrix = solve_homography(UNIT, tilted, "translate_scale")
    assert torch.allclose(matrix, torch.diag(torch.tensor([10.0, 10.0, 1.0]))[None], atol=1e-5)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([[0, 0], [1, 1], [2, 2], [3, 3]], "on a line"),
        ([[0, 0], [0, 0], [0, 0], [0, 0]], "on a line"),
        ([[0, 0], [1, float("nan")], [1, 1], [0, 1]], "NaN"),
    ],
)
def test_points_without_a_map_are_refused(points, words):
    with pytest.raises(PerceptionError, match=words):
        solve_homography(torch.tensor([points], dtype=torch.float32), UNIT)


def test_of_several_pairs_the_error_names_the_bad_one():
    line = torch.tensor([[[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]])
    with pytest.raises(PerceptionError, match="pair 1"):
        solve_homography(torch.cat([UNIT, line]), UNIT.expand(2, 4, 2))


@pytest.mark.parametrize(
    ("quad", "words"),
    [
        ([[0, 0], [4, 4], [4, 0], [0, 4]], "area|convex"),
        ([[0, 0], [10, 0], [3, 3], [0, 10]], "convex"),
        ([[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]], "area of at least 1 px"),
        ([[0, 0], [float("inf"), 0], [1, 1], [0, 1]], "finite"),
    ],
)
def test_outlines_that_carry_no_picture(quad, words):
    with pytest.raises(PerceptionError, match=words):
        check_quads(torch.tensor([quad], dtype=torch.float32))


def test_both_directions_around_a_convex_outline_are_fine():
    check_quads(10 * torch.cat([UNIT, UNIT.flip(1)]))
