"""Losses by hand: edges with a gradient, the sound IoU, masks."""

from __future__ import annotations

import math

import pytest
import torch

from perception.plugins.lidar_bev.loss import (
    IGNORE,
    canny_edges,
    masked_mean,
    mssce,
    occupancy_loss,
    segmentation_loss,
    sobel_edges,
    soft_iou,
)


def test_sobel_of_a_step_is_one_beside_it_and_has_a_gradient():
    maps = torch.zeros(1, 5, 6)
    maps[:, :, 3:] = 1
    torch.testing.assert_close(sobel_edges(maps)[0, 2], torch.tensor([0.0, 0, 1, 1, 0, 0]), rtol=0, atol=1e-5)
    free = torch.full((1, 5, 6), 0.5, requires_grad=True)
    (mssce(free, maps) - mssce(free, maps, alpha=1.0)).backward()
    assert free.grad is not None and free.grad.abs().max() > 0


def test_canny_works_map_by_map_and_has_no_gradient():
    maps = torch.zeros(2, 12, 12)
    maps[1, 4:8, 4:8] = 200
    edges = canny_edges(maps)
    assert edges.shape == maps.shape and edges[0].sum() == 0 and set(edges[1].unique().tolist()) == {0, 255}


def test_mssce_of_a_constant_error():
    truth = torch.zeros(1, 4, 4)
    assert mssce(truth + 0.5, truth, alpha=0.8).item() == pytest.approx(0.8 * (0.25 + 0.125), abs=1e-6)
    assert mssce(truth, truth).item() == pytest.approx(0, abs=1e-6)


def test_soft_iou():
    a = torch.zeros(1, 4, 4)
    a[0, :2] = 1
    b = torch.zeros(1, 4, 4)
    b[0, 1:3] = 1
    assert soft_iou(a, a).item() == pytest.approx(0, abs=1e-6)
    assert soft_iou(a, b).item() == pytest.approx(1 - 4 / 12, abs=1e-6)
    assert soft_iou(a * 0, a * 0).item() == 0
    assert soft_iou(a, b, mask=a).item() == pytest.approx(0.5, abs=1e-6), "4 of the 8 cells that are looked at"


def test_masked_mean_of_nothing_is_zero():
    assert masked_mean(torch.ones(3), torch.zeros(3)) == 0
    assert masked_mean(torch.tensor([1.0, 5.0]), torch.tensor([0.0, 1.0])) == 5


def test_segmentation_loss_ignores_unobserved_cells():
    logits = torch.zeros(1, 2, 2, 2)
    classes = torch.tensor([[[0, 1], [IGNORE, IGNORE]]])
    assert segmentation_loss(logits, classes)["loss_class"].item() == pytest.approx(math.log(2))
    changed = logits.clone()
    changed[:, :, 1] = 9
    assert segmentation_loss(changed, classes) == segmentation_loss(logits, classes)
    nobody = segmentation_loss(logits, torch.full_like(classes, IGNORE))
    assert all(torch.isfinite(value) and value == 0 for value in nobody.values())
    weighted = segmentation_loss(logits, classes, torch.tensor([1.0, 3.0]))
    assert weighted["loss_class"].item() == pytest.approx(math.log(2))


def test_occupancy_loss_sees_the_mask_only():
    truth = torch.zeros(1, 2, 4, 4)
    truth[:, :, 1:3] = 1
    mask = torch.zeros_like(truth)
    mask[..., :2] = 1
    logits = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    hidden = logits.clone()
    hidden[..., 3] += 7  # two cells from the mask, beyond the reach of an edge
    for name, value in occupancy_loss(logits, truth, mask).items():
        assert torch.equal(value, occupancy_loss(hidden, truth, mask)[name]), name
    moving = torch.zeros_like(truth)
    moving[:, :, 1, 1] = 1
    heavy = occupancy_loss(logits, truth, mask, moving=moving, moving_weight=10.0)
    one = torch.nn.functional.softplus(-logits[:, :, 1, 1]).mean()
    assert (
        "loss_moving_iou" in heavy
        and (heavy["loss_occupancy"] - one).abs() < (occupancy_loss(logits, truth, mask)["loss_occupancy"] - one).abs()
    ), "nearer to the cell that counts more"
    right = occupancy_loss((truth - 0.5) * 40, truth, mask)
    assert sum(right.values()).item() < 1e-4
