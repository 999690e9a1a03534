"""Density maps, point targets and losses against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from perception.errors import PerceptionError
from perception.plugins.crowd_counting.base import CrowdMaps
from perception.plugins.crowd_counting.decode import head_points
from perception.plugins.crowd_counting.density import (
    adaptive_density,
    adaptive_sigmas,
    dots,
    fixed_density,
    point_density,
    shrink,
)
from perception.plugins.crowd_counting.loss import BayesianLoss, BlockCountLoss, posterior
from perception.plugins.crowd_counting.points import (
    crop_targets,
    mean_neighbour_distance,
    rounded_size,
    scaled_size,
)
from perception.plugins.crowd_counting.transforms import CrowdEnlarge


def test_dots_merge_and_points_outside_are_dropped():
    marked, count = dots([[1.2, 0.9], [1.8, 0.1], [9, 0], [np.nan, 1]], (3, 4))
    assert count == 2 and marked.sum() == 1 and marked[0, 1] == 1


def test_fixed_density_keeps_its_mass_at_borders_and_when_shrunk():
    fixed = fixed_density([[0, 0], [30.5, 20.5]], (48, 64), 5.0)
    assert fixed.people == 2
    assert fixed.density.sum() == pytest.approx(2, abs=1e-5)
    assert shrink(fixed.density).shape == (24, 32)
    assert shrink(fixed.density).sum() == pytest.approx(2, abs=1e-5)


def test_adaptive_kernels_of_few_points():
    assert adaptive_sigmas([[5, 5]], (40, 80)).tolist() == [15.0]  # mean side over 4
    assert adaptive_sigmas([[0, 0], [3, 4]], (40, 80)).tolist() == pytest.approx([1.5, 1.5])  # 0.3 x the one distance
    square = [[0, 0], [10, 0], [0, 10], [10, 10]]
    assert adaptive_sigmas(square, (40, 40)) == pytest.approx(0.1 * (20 + 10 * np.sqrt(2)))
    assert adaptive_density(np.zeros((0, 2)), (8, 8)).sum() == 0


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_every_point_inside_counts_one(stride: int):
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 64, (50, 2))
    shape = (64 // stride, 64 // stride)
    density = point_density(np.concatenate([points, [[70, 3], [-1, 2]]]), shape, rng.uniform(0.01, 9, 52), stride)
    assert density.sum() == pytest.approx(50, rel=1e-5)
    lone = point_density([[10.5, 30.5]], shape, 0.5, stride)
    assert np.unravel_index(lone.argmax(), shape) == (30 // stride, 10 // stride)


def test_sizes():
    assert scaled_size(100, 200, 512, 2048) == (512, 1024, 5.12)
    assert scaled_size(600, 700, 512, 2048) == (600, 700, 1.0)
    assert [rounded_size(side) for side in (8, 24, 40, 56, 100)] == [0, 32, 32, 64, 96]


def test_share_of_a_head_inside_a_crop():
    points = np.array([[10.0, 10.0], [20.0, 10.0], [30.0, 10.0], [23.9, 10.0]])
    found = crop_targets(points, np.array([4.0, 4, 4, 8]), top=0, left=0, height=20, width=20)
    assert found.share.tolist() == pytest.approx([1.0, 0.5, 0.0, 0.1 / 8])
    assert found.kept.tolist() == [True, True, False, False]
    assert mean_neighbour_distance([[0, 0]]).tolist() == [[128.0]]
    assert mean_neighbour_distance([[0, 0], [0, 6]]).tolist() == [[6.0], [6.0]]


def test_posterior_of_two_points():
    # One cell with its middle at (4, 4): squared distances 16 and 0, sigma 8.
    share = posterior(torch.tensor([[8.0, 4.0], [4.0, 4.0]]), (1, 1), 8, 8.0, None, "margin")
    first = np.exp(-16 / 128)
    assert share[:, 0].tolist() == pytest.approx([first / (1 + first), 1 / (1 + first)])
    # Background: margin r - sqrt(m) with r = 8 and m = 0 gives 64; inverse gives r^2 / 1e-5, which is nothing.
    share = posterior(torch.tensor([[4.0, 4.0]]), (1, 1), 8, 8.0, 8.0, "margin")
    assert share[1, 0].item() == pytest.approx(np.exp(-0.5) / (1 + np.exp(-0.5)))
    assert posterior(torch.tensor([[4.0, 4.0]]), (1, 1), 8, 8.0, 8.0, "inverse")[1, 0] == 0


def test_bayesian_loss_in_bands_has_the_same_value_and_gradient():
    rng = np.random.default_rng(1)
    sample = {"points": rng.uniform(-5, 70, (30, 2)), "targets": rng.uniform(0.3, 1, 30), "short_side": 64}
    results = []
    for memory in (256.0, 1e-4):
        density = torch.linspace(0, 1, 32 * 32).reshape(1, 1, 32, 32).requires_grad_()
        loss = BayesianLoss(memory=memory, background="inverse")(CrowdMaps(density, None), [sample], 2)["loss_bayes"]
        loss.backward()
        results.append((loss.item(), density.grad.numpy().copy()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-4, atol=1e-6)
    with pytest.raises(PerceptionError, match="margin or inverse"):
        BayesianLoss(background="no")


def test_bayesian_loss_of_an_empty_picture_is_its_count():
    maps = CrowdMaps(torch.full((1, 1, 4, 4), -0.5), None)
    sample = {"points": np.zeros((0, 2)), "targets": np.zeros(0), "short_side": 8}
    assert BayesianLoss()(maps, [sample], 2)["loss_bayes"].item() == pytest.approx(8.0)


def test_block_loss_by_hand():
    density_gt = torch.zeros(4, 4)
    density_gt[0, 0] = 1.0
    density = torch.zeros(1, 1, 4, 4)
    density[0, 0, 0, 1] = 1.0  # one cell aside: wrong in blocks of 1, right in blocks of 2
    loss = BlockCountLoss(blocks=(1, 2), scale=1.0)
    terms = loss(CrowdMaps(density, None), [{"density": density_gt, "attention": density_gt}], 4)
    assert terms["loss_density"].item() == pytest.approx(2 / 2)  # two squared errors over one person and one picture
    assert terms["loss_block1"].item() == pytest.approx((1 + 1 / 2) / 2)  # missed: 1 / (0 + 1), invented: 1 / (1 + 1)
    assert terms["loss_block2"].item() == pytest.approx(0.0)
    with pytest.raises(PerceptionError, match="target density"):
        loss(CrowdMaps(torch.zeros(1, 1, 3, 3), None), [{"density": density_gt, "attention": density_gt}], 4)


def test_doubtful_blocks_are_given_their_mean():
    """Two pictures that look the same show one person and nobody: half a person leaves no gradient."""
    density = torch.full((2, 1, 1, 1), 0.5, requires_grad=True)
    samples = [{"density": torch.full((1, 1), value), "attention": torch.zeros(1, 1)} for value in (0.0, 1.0)]
    terms = BlockCountLoss(blocks=(1,), exponent=1.0)(CrowdMaps(density, None), samples, 4)
    (gradient,) = torch.autograd.grad(terms["loss_block1"], density)
    assert gradient.sum().item() == pytest.approx(0.0, abs=1e-7) and gradient.abs().min() > 0


def test_block_loss_weighs_heads_or_pictures():
    density_gt = torch.zeros(2, 2, 2)
    density_gt[1, 0, 0] = 3.0
    density = torch.zeros(2, 1, 2, 2)
    density[0, 0, 0, 0] = 2.0  # squared errors: 4 in the empty picture, 9 in that with three people
    samples = [{"density": part, "attention": part} for part in density_gt]
    for exponent, expected in ((1.0, (4 + 9) / (1 + 4)), (0.5, (4 / 1 + 9 / 2) / (1 + 2)), (0.0, (4 / 1 + 9 / 4) / 2)):
        terms = BlockCountLoss(blocks=(), scale=1.0, exponent=exponent)(CrowdMaps(density, None), samples, 4)
        assert terms["loss_density"].item() == pytest.approx(expected)


def test_heads_are_found_where_they_are():
    points = np.array([[20.5, 30.5], [60.0, 12.0], [90.0, 70.0]])
    found, scores = head_points(point_density(points, (24, 32), 3.0, 4), 4)
    assert len(found) == 3 and (scores > 0.8).all()
    nearest = np.linalg.norm(found[:, None] - points[None], axis=2).min(0)
    assert nearest.max() < 1.5
    assert len(head_points(np.zeros((4, 4), np.float32), 4)[0]) == 0
    flat = np.zeros((6, 6), np.float32)
    flat[3, 2:4] = 0.5  # a plateau is one maximum
    assert head_points(flat, 4)[0].tolist() == [[pytest.approx(12.0, abs=1.5), pytest.approx(14.0, abs=0.1)]]
    assert head_points(np.zeros((0, 4), np.float32), 4)[0].shape == (0, 2)


def test_enlarging_moves_heads_with_the_picture():
    image = np.repeat(np.array([[[0], [100]]], np.uint8), 3, axis=2)  # 2 wide, 1 high
    sample = CrowdEnlarge(2)({"img": image, "points": np.array([[0.5, 0.5], [2.0, 1.0]], np.float32)})
    assert sample["img"][..., 0].tolist() == [[0, 25, 75, 100]] * 2
    assert sample["points"].tolist() == [[1.0, 1.0], [4.0, 2.0]]
    assert CrowdEnlarge(1.25)({**sample, "img": np.zeros((1, 6, 3), np.uint8)})["img"].shape == (1, 8, 3)
    assert CrowdEnlarge(0.25).side(1) == 1
    with pytest.raises(PerceptionError, match=r"factor: expected .* found 0"):
        CrowdEnlarge(0)
