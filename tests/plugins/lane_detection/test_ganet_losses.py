"""Losses of GANet against numbers worked out by hand (spec ganet section 5)."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch

from perception.plugins.lane_detection.loss import assign_points, focal, masked_l1, match_points, smooth_l1_sum


def test_focal_is_zero_up_to_two_positives_and_known_with_three():
    probability = torch.full((1, 1, 2, 4), 0.5, requires_grad=True)
    target = torch.zeros(1, 1, 2, 4)
    target[0, 0, 0, :2] = 1
    assert focal(probability, target) == 0
    target[0, 0, 0, 2] = 1
    target[0, 0, 0, 3] = 0.5
    positives = 3 * math.log(0.5) * 0.25
    negatives = 4 * math.log(0.5) * 0.25 + math.log(0.5) * 0.25 * 0.5**4
    value = focal(probability, target)
    assert math.isclose(value.item(), -(positives + negatives) / 3, rel_tol=1e-6)
    value.backward()
    assert (probability.grad[target == 1] < 0).all()


def test_masked_l1_counts_mask_entries():
    prediction = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    mask = torch.tensor([[[[1.0, 0.0]]]])
    assert math.isclose(masked_l1(prediction, torch.zeros_like(prediction), mask).item(), 4 / 1.0001, rel_tol=1e-6)


def test_smooth_l1_changes_at_beta():
    value = smooth_l1_sum(torch.tensor([1.0, 1 / 18]), torch.zeros(2))
    assert math.isclose(value.item(), (1 - 1 / 18) + 0.5 * (1 / 18) ** 2 * 9, rel_tol=1e-5)


def test_assignment_is_optimal():
    rng = np.random.default_rng(3)
    points, samples = rng.normal(size=(2, 3, 4, 2)), rng.normal(size=(2, 6, 2))
    index = assign_points(points, samples)
    for lane in range(2):
        for position in range(3):
            cost = ((points[lane, position][:, None] - samples[lane][None]) ** 2).sum(-1)
            best = min(cost[range(4), list(columns)].sum() for columns in itertools.permutations(range(6), 4))
            assert len(set(index[lane, position])) == 4
            assert math.isclose(cost[range(4), index[lane, position]].sum(), best, rel_tol=1e-9)


def test_points_that_are_not_finite_do_not_hang():
    assert (assign_points(np.full((1, 1, 3, 2), np.nan), np.zeros((1, 4, 2))) == 0).all()


def test_matching_reads_the_points_at_the_lane_and_skips_padding():
    points = torch.zeros(1, 6, 4, 5)
    points[0, :, 2, 3] = torch.tensor([1.0, 0.0, -1.0, 0.0, 0.0, 0.0])  # one below, one above, one on the cell
    lanes = torch.full((1, 2, 3, 2), -1.0)
    lanes[0, 0] = torch.tensor([[1.0, 3.0], [2.0, 3.0], [3.0, 3.0]])
    valid, predicted, matched = match_points(points, lanes, sample_count=3)
    assert valid.tolist() == [[True, False]]
    assert predicted.shape == (1, 3, 3, 2)
    assert predicted[0, 1].tolist() == [[3, 3], [1, 3], [2, 3]]
    assert torch.equal(matched[0, 1], predicted[0, 1])
