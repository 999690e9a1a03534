"""Surfaces, light and rendering beyond the golden cases."""

from __future__ import annotations

import pytest
import torch

from perception.errors import PerceptionError, UnknownNameError
from perception.plugins.patch_robustness import color
from perception.plugins.patch_robustness.lighting import METHODS, Lighting, apply_lighting, estimate_lighting
from perception.plugins.patch_robustness.losses import dpatch_loss, smoothness
from perception.plugins.patch_robustness.optimize import initial_patch, optimize_patch
from perception.plugins.patch_robustness.render import render
from perception.plugins.patch_robustness.signs import parse_patch_size, sign_class
from perception.plugins.patch_robustness.surfaces import Surface, check_surfaces, obliqueness, surface_matrices


def _board(x: float, y: float, side: float = 20.0, **more) -> Surface:
    quad = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]) * (side - 1) + torch.tensor([x, y])
    return Surface(quad, "rect", (1.0, 1.0), **more)


def test_a_board_is_filled_with_the_relit_patch():
    light = Lighting("percentile", torch.tensor([[0.5, 0.1]]))
    images = torch.full((1, 3, 40, 50), 0.3)
    out = render(images, torch.full((1, 3, 16, 16), 0.8), [_board(10, 5, lighting=light)])
    assert torch.allclose(out[0, :, 6:24, 11:29], torch.tensor(0.5), atol=1e-5)
    assert torch.equal(out[0, :, 30:], images[0, :, 30:])


def test_surfaces_of_different_light_and_images_in_one_call():
    surfaces = [
        _board(2, 2, lighting=Lighting("percentile", torch.tensor([[0.0, 0.2]]))),
        _board(2, 2, view=1, lighting=Lighting("polynomial", torch.tensor([[0.0, 0.6]] * 3))),
    ]
    out = render(torch.zeros(2, 3, 30, 30), torch.rand(1, 3, 8, 8), surfaces)
    assert out[:, 0, 10, 10].tolist() == pytest.approx([0.2, 0.6], abs=1e-5)


def test_a_region_keeps_the_patch_on_its_part_of_the_surface():
    surface = _board(0, 0, 32, region=(0.5, 1.0, 0.0, 1.0))
    out = render(torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32), [surface])
    assert float(out[0, :, :15].max()) < 1e-3 < 0.99 < float(out[0, :, 17:31, 1:31].min())


@pytest.mark.parametrize("method", [name for name in METHODS if name != "none"])
def test_estimated_light_brings_back_the_photo(method):
    """A template under known light, photographed without distortion: what is estimated reproduces it."""
    g = torch.Generator().manual_seed(0)
    template = torch.rand(3, 24, 24, generator=g) * 0.8 + 0.1
    photo = template * 0.6 + 0.1
    mask, matrix = torch.ones(24, 24), torch.eye(3)
    light = estimate_lighting(photo, matrix, mask, template, method, share=0.0)
    out = apply_lighting(template[None], method, light.coefficients[None])[0]
    if method.startswith("percentile"):  # assumes that the darkest and lightest parts are black and white
        assert light.coefficients[0, 0] > 0
        return
    limit = 0.02 if method == "polynomial" else 0.25
    assert float((out - photo).abs().mean()) < limit
    assert float((out - photo).abs().mean()) < float((template - photo).abs().mean())


def test_colour_spaces_are_inverted():
    image = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(1)) * 0.98 + 0.01
    for there, back, limit in (
        (color.rgb_to_hsv, color.hsv_to_rgb, 1e-5),
        (color.rgb_to_lab, color.lab_to_rgb, 2e-3),
    ):
        assert float((back(there(image)) - image).abs().max()) < limit
    lab = color.rgb_to_lab(torch.ones(1, 3, 1, 1))
    assert lab.flatten().tolist() == pytest.approx([100, 0, 0], abs=0.02)


def test_bad_surfaces_are_refused_before_work_starts():
    for surfaces, words in (
        ([], "at least one surface"),
        ([_board(200, 5)], "in the 50 x 40 image"),
        ([_board(5, 5, view=1)], "view below 1"),
        ([_board(5, 5, 2)], "area of at least"),
        ([_board(5, 5).moved(torch.tensor([[0.0, 0.0], [9.0, 9.0], [9.0, 0.0], [0.0, 9.0]]))], "area|convex"),
    ):
        with pytest.raises(PerceptionError, match=words):
            check_surfaces(surfaces, [(40, 50)])
    with pytest.raises(PerceptionError, match="size_m > 0"):
        Surface(torch.zeros(4, 2), "rect", (0.0, 1.0))
    with pytest.raises(PerceptionError, match=r"expected quad \(4, 2\)"):
        Surface(torch.zeros(2, 2), "rect", (1.0, 1.0))
    with pytest.raises(UnknownNameError, match="sign shape"):
        _board(5, 5).__class__(torch.zeros(4, 2), "blob", (1.0, 1.0)).canonical(16)
    with pytest.raises(UnknownNameError, match="lighting method"):
        Lighting("percentil", torch.ones(1, 2))
    with pytest.raises(PerceptionError, match="NaN"):
        Lighting("percentile", torch.tensor([[float("nan"), 0.0]]))


def test_a_turned_board_is_oblique():
    assert obliqueness(_board(0, 0)) == pytest.approx(0, abs=0.1)
    narrow = _board(0, 0).moved(torch.tensor([[0.0, 0.0], [10.0, 0.0], [10.0, 20.0], [0.0, 20.0]]))
    assert obliqueness(narrow) == pytest.approx(60, abs=0.1)
    assert surface_matrices([narrow], 16).shape == (1, 3, 3)


def test_signs_and_patch_sizes_by_name():
    assert sign_class("octagon").shape == sign_class(10).shape == "octagon"
    with pytest.raises(UnknownNameError, match="did you mean 'octagon'"):
        sign_class("octogon")
    assert parse_patch_size("2_10x20_top").width_in == 20
    with pytest.raises(PerceptionError, match="patch size"):
        parse_patch_size("10x10")


def test_losses_by_hand():
    patch = torch.arange(12.0).reshape(1, 3, 2, 2)
    assert float(smoothness(patch, "hw")) == 3.0  # rows differ by 2, columns by 1
    assert float(smoothness(patch, "reference")) == 6.0  # channels differ by 4, rows by 2
    losses = {
        "loss_cls": [torch.tensor(1.0), torch.tensor(2.0)],
        "d0.loss_cls": torch.tensor(4.0),
        "acc": torch.tensor(9.0),
    }
    assert float(dpatch_loss(losses)) == 7.0
    assert float(dpatch_loss(losses, final_only=True)) == 3.0
    with pytest.raises(PerceptionError, match="training losses"):
        dpatch_loss({"acc": torch.tensor(1.0)})


@pytest.mark.parametrize("optimizer", ["pgd", "adam", "rmsprop"])
def test_optimisers_reach_a_simple_goal(optimizer):
    start = initial_patch(optimizer, (1, 3, 4, 4), torch.Generator().manual_seed(0))
    trace = optimize_patch(lambda p, _: (p - 0.25).square().mean(), start, optimizer, 60, 0.05)
    assert trace.losses[-1] < 0.02 * trace.losses[0]


def test_missing_and_broken_gradients():
    start = torch.rand(1, 3, 4, 4)
    with pytest.raises(PerceptionError, match="no gradient reaches the patch"):
        optimize_patch(lambda p, _: torch.tensor(1.0), start, steps=1)
    with pytest.raises(PerceptionError, match="first step is not finite"):
        optimize_patch(lambda p, _: p.sum() * torch.nan, start, steps=1)
    trace = optimize_patch(lambda p, step: p.sum() * (torch.nan if step == 3 else 1.0), start, "pgd", 9)
    assert len(trace.losses) == 3
    assert "step 3" in trace.stopped
