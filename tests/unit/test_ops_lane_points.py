"""Heatmap peaks and the association of keypoints by hand-made examples, and as operators of torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from perception.ops.association import _associate, _group_points, associate, group_points
from perception.ops.heatmap_peaks import _heatmap_peaks, heatmap_peaks


def splits(*bounds: int) -> torch.Tensor:
    return torch.tensor(bounds)


def test_equal_neighbours_are_all_peaks():
    heat = torch.tensor([[[0.1, 0.5, 0.5, 0.2, 0.3]]])
    assert heatmap_peaks(heat, 0.25).tolist() == [[0, 0, 1], [0, 0, 2], [0, 0, 4]]


def test_the_threshold_is_compared_in_the_type_of_the_map():
    heat = torch.full((1, 1, 1), 0.4, dtype=torch.float32)  # above the float64 nearest to 0.4
    assert len(heatmap_peaks(heat, 0.4)) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_hides_nobody(bad: float):
    assert heatmap_peaks(torch.tensor([[[0.6, bad, 0.5]]]), 0.4).tolist() == [[0, 0, 0], [0, 0, 2]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_and_layouts(dtype: torch.dtype):
    heat = torch.tensor([[[0.5, 0.9], [0.75, 0.0]]], dtype=dtype).transpose(1, 2).requires_grad_()
    assert heatmap_peaks(heat, 0.7).tolist() == [[0, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize("heat", [torch.zeros(2, 3), torch.zeros(1, 2, 3, dtype=torch.int64)])
def test_maps_of_the_wrong_kind_are_refused(heat: torch.Tensor):
    with pytest.raises(ValueError, match="expected"):
        heatmap_peaks(heat, 0.5)


def test_grouping_is_greedy_and_never_merges():
    points = torch.tensor([[0.0, 0.0], [3.0, 0.0], [1.5, 0.0], [2.9, 0.0]])
    assert group_points(points, splits(0, 4), 1.6).tolist() == [0, 1, 0, 0]


def test_images_are_grouped_apart():
    points = torch.zeros(5, 2)
    assert group_points(points, splits(0, 2, 2, 5), 1.0).tolist() == [0] * 5
    points[4, 0] = 9
    assert group_points(points, splits(0, 2, 2, 5), 1.0).tolist() == [0, 0, 0, 0, 1]


def test_keypoints_join_the_first_center_in_reach():
    seeds = torch.tensor([[0, 0], [1, 1], [8, 0], [100, 100]])
    roots = torch.tensor([[4.0, 0.0], [6.0, 0.0], [20.0, 0.0], [torch.nan, 0.0], [99.0, 99.0]])
    owner, centers, groups = associate(roots, splits(0, 4, 5), seeds, splits(0, 3, 4), 5.0)
    assert owner.tolist() == [0, 1, -1, -1, 0]
    assert centers.tolist() == [[0, 0], [8, 0], [0, 0], [100, 100]], "the mean (0.5, 0.5) is cut"
    assert groups.tolist() == [2, 1]


@pytest.mark.parametrize("bounds", [(0, 3), (1, 2), (0, 3, 2), (0, -1, 2)])
def test_splits_that_do_not_fit_are_refused(bounds: tuple[int, ...]):
    with pytest.raises(ValueError, match="splits"):
        group_points(torch.zeros(2, 2), splits(*bounds), 1.0)


def test_torch_accepts_the_operators():
    roots, seeds, ends = torch.rand(5, 2, dtype=torch.float64), torch.randint(9, (4, 2)), splits(0, 2, 4)
    tests = ("test_schema", "test_faketensor")
    torch.library.opcheck(_heatmap_peaks, (torch.rand(2, 3, 4), 0.5), test_utils=tests)
    torch.library.opcheck(_group_points, (roots[:4], ends, 0.5), test_utils=tests)
    torch.library.opcheck(_associate, (roots, splits(0, 1, 5), seeds, ends, 3.0), test_utils=tests)
