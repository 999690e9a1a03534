"""Defences and the attacks through them: gradients, draws that repeat, certificates that hold, the three checks."""

from __future__ import annotations

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from perception.attack import AttackSample, AttackTarget
from perception.errors import PerceptionError
from perception.plugins.patch_robustness.assess import Assessment, assess, is_defended
from perception.plugins.patch_robustness.attacks import AttackConfig, as_images, attacked_images
from perception.plugins.patch_robustness.defences import DefendedTarget, Jpeg, MedianFilter, RandomResize
from perception.plugins.patch_robustness.evaluate import evaluate
from perception.plugins.patch_robustness.masking import MaskedTarget, _places, _unions
from perception.plugins.patch_robustness.report import write_report
from perception.plugins.patch_robustness.surfaces import Surface
from perception.plugins.patch_robustness.victim import CallableTarget
from perception.structures import Boxes2D

make_target = runpy.run_path(str(Path(__file__).with_name("own_detector.py")))["make_target"]
SIDE = 64
CONFIG = AttackConfig(method="pgd", steps=15, step_size=0.1, batch=2, width=16, size="")
GENERATOR = torch.Generator().manual_seed(0)


def bright_board(number: int) -> AttackSample:
    image = np.random.default_rng(number).integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
    image[16:32, 16:32] = 230
    truth = Boxes2D("front", (SIDE, SIDE), [[16, 16, 32, 32]], [1.0], [0], ("thing",))
    quad = torch.tensor([[17.0, 17.0], [30.0, 17.0], [30.0, 30.0], [17.0, 30.0]])
    return AttackSample(
        f"b{number}", image, truth, "s", (Surface(quad, "rect", (1.0, 1.0), instance=0, label="thing"),)
    )


SAMPLES = [bright_board(number) for number in range(2)]


# --- input transforms -------------------------------------------------------------------------------------------------


def test_median_by_hand_with_its_gradient():
    image = torch.zeros(1, 1, 3, 3)
    image[0, 0] = torch.arange(9.0).reshape(3, 3)
    image.requires_grad_()
    found = MedianFilter(3)(image, GENERATOR)
    assert found[0, 0, 1, 1] == 4 and found[0, 0, 0, 0] == 1  # 0 0 1 0 0 1 3 3 4
    found[0, 0, 1, 1].backward()
    assert image.grad[0, 0].nonzero().tolist() == [[1, 1]]


def test_jpeg_is_real_and_its_gradient_the_identity():
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
    weak, strong = (float((Jpeg(quality)(image, GENERATOR) - image).abs().mean().detach()) for quality in (95, 5))
    assert 0 < weak < strong
    Jpeg(10)(image, GENERATOR).sum().backward()
    assert torch.equal(image.grad, torch.ones_like(image))


def test_resize_draws_a_size_and_keeps_the_place():
    image = torch.zeros(1, 3, 32, 48)
    image[:, :, 8:16, 24:36] = 1
    shown = [RandomResize((0.3, 0.9))(image, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert shown[0].shape == image.shape and torch.equal(shown[0], shown[1]) and not torch.equal(shown[0], shown[2])
    assert float(shown[0][:, :, 10:14, 28:32].min()) > 0.9 and float(shown[0][:, :, 24:, :16].max()) < 0.05
    assert torch.equal(RandomResize((1, 1))(image, GENERATOR), image)


def test_settings_of_defences_are_checked():
    for make in (lambda: Jpeg(0), lambda: MedianFilter(4), lambda: RandomResize((0, 2))):
        with pytest.raises(PerceptionError, match="defence"):
            make()
    with pytest.raises(PerceptionError, match="1 draw or more"):
        DefendedTarget(make_target(), Jpeg(), draws=0)
    with pytest.raises(PerceptionError, match="masking"):
        MaskedTarget(make_target(), lines=0)


@pytest.mark.parametrize("defence", [Jpeg(30), MedianFilter(3), RandomResize((0.5, 1.0))])
def test_attacks_go_through_a_defence(defence):
    target = DefendedTarget(make_target(), defence, draws=2)
    assert isinstance(target, AttackTarget) and is_defended(target) and not is_defended(make_target())
    images = as_images(SAMPLES).requires_grad_()
    loss = target.loss(images, SAMPLES, "hide")
    assert torch.equal(loss, target.loss(images, SAMPLES, "hide")), "draws depend on the images only"
    (gradient,) = torch.autograd.grad(loss.sum(), images)
    assert float(gradient.abs().sum()) > 0
    found = assess(target, SAMPLES, CONFIG)
    assert found.passed, found.lines()
    assert found.unbounded_asr == 1 and found.instances == 2


def test_the_black_box_has_as_many_queries_for_each_patch(monkeypatch):
    module, seen = sys.modules[assess.__module__], []
    make = module.craft
    monkeypatch.setattr(module, "craft", lambda *args: seen.append(make(*args)) or seen[-1])
    assess(DefendedTarget(make_target(), Jpeg(30)), SAMPLES, replace(CONFIG, scope="per_instance", batch=1))
    white, black, _ = seen
    assert len(white.keys) == len(black.keys) == 2 and white.queries == black.queries == 30


def test_checks_that_fail_are_told():
    found = Assessment(1.0, 2.0, 0.5, 0.2, 0.4, 10)
    assert not found.passed and not any(found.checks.values())
    assert all(line.startswith("FAIL") for line in found.lines())
    unknown = Assessment(2.0, 1.0, None, None, None, 0)
    assert unknown.checks == dict(zip(found.checks, (True, False, False)))


# --- masking ----------------------------------------------------------------------------------------------------------


def bright_squares(image: np.ndarray) -> Boxes2D:
    """Every white square of 8 x 8 pixels on its grid is a thing: a detector without any context."""
    cells = image.mean(2).reshape(SIDE // 8, 8, SIDE // 8, 8).mean((1, 3))
    rows, columns = np.nonzero(cells > 200)
    low = np.stack([columns, rows], 1) * 8.0
    count = len(rows)
    return Boxes2D("front", (SIDE, SIDE), np.hstack([low, low + 8]), [0.9] * count, [0] * count, ("thing",))


def square_at(x: int, y: int) -> AttackSample:
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[y : y + 8, x : x + 8] = 255
    truth = Boxes2D("front", (SIDE, SIDE), [[x, y, x + 8, y + 8]], [1.0], [0], ("thing",))
    return AttackSample("square", image, truth)


def test_masks_are_both_sides_of_the_lines():
    target = MaskedTarget(make_target(), lines=1)
    assert target.masks(40, 60).tolist() == [[0, 0, 30, 40], [30, 0, 60, 40], [0, 0, 60, 20], [0, 20, 60, 40]]


def test_certificates_by_hand():
    target = MaskedTarget(CallableTarget(bright_squares), lines=1)
    sample = square_at(8, 8)  # in the upper left quarter: seen with the right or the lower half masked
    [found] = target.certified(as_images([sample]), sample, (8, 8), step=1)
    assert found == {"over": False, "close": False, "far": False}, "a patch may sit on the line"
    places = _places(SIDE, SIDE, (8, 8), 1)
    assert len(places) == 57 * 57 and places[-1].tolist() == [56, 56, 64, 64]
    fine = MaskedTarget(CallableTarget(bright_squares), lines=7)
    [found] = fine.certified(as_images([sample]), sample, (8, 8), step=1)
    assert found == {"over": False, "close": True, "far": True}, "lines touch the square on all sides"
    recall = fine.certified_recall([as_images([sample])], [sample], (8, 8))
    assert recall["far"].value == 1 and recall["far"].n == 1 and recall["over"].value == 0
    with pytest.raises(PerceptionError, match="a patch inside"):
        fine.certified(as_images([sample]), sample, (80, 8))


def test_what_is_certified_holds_against_real_patches():
    target = MaskedTarget(CallableTarget(bright_squares), lines=7)
    sample = square_at(8, 8)
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.integers(0, SIDE - 8, 2)
        if max(x - 16, 8 - (x + 8), y - 16, 8 - (y + 8)) < 0:
            continue  # over the square nothing is certified
        attacked = sample.image.copy()
        attacked[y : y + 8, x : x + 8] = rng.integers(0, 256, (8, 8, 3))
        shown = AttackSample("square", attacked, sample.truth)
        [boxes] = target.predict(as_images([shown]), [shown])
        assert target.instance_scores(boxes, sample).tolist() == [pytest.approx(0.9)]


def test_boxes_of_masked_images_are_added_where_the_image_lost_them():
    def blinded(image: np.ndarray) -> Boxes2D:  # any grey pixel value 77 at the right blinds it
        return bright_squares(np.zeros_like(image) if (image[:, 40:] == 77).any() else image)

    sample = square_at(8, 8)
    attacked = sample.image.copy()
    attacked[30, 50] = 77
    shown = AttackSample("square", attacked, sample.truth)
    inner = CallableTarget(blinded)
    assert len(inner.predict(as_images([shown]), [shown])[0]) == 0
    [found] = MaskedTarget(inner, lines=1).predict(as_images([shown]), [shown])
    assert found.boxes.tolist() == [[8, 8, 16, 16]] and found.scores.tolist() == [pytest.approx(0.9)]
    [clean] = MaskedTarget(inner, lines=1).predict(as_images([sample]), [sample])
    assert clean.boxes.tolist() == [[8, 8, 16, 16]], "nothing is doubled"
    a, b, far = np.array([0.0, 0, 4, 4]), np.array([2.0, 2, 6, 6]), np.array([20.0, 0, 24, 4])
    joined = _unions([(a, 0.5, 0), (far, 0.6, 0), (b, 0.7, 0), (b, 0.9, 1)])
    assert sorted((box.tolist(), score, label) for box, score, label in joined) == [
        ([0, 0, 6, 6], 0.7, 0),
        ([2, 2, 6, 6], 0.9, 1),
        ([20, 0, 24, 4], 0.6, 0),
    ]


def test_masking_is_attacked_through_its_masks(tmp_path: Path):
    target = MaskedTarget(make_target(), lines=1, score=0.6)
    images = as_images(SAMPLES).requires_grad_()
    (gradient,) = torch.autograd.grad(target.loss(images, SAMPLES, "hide").sum(), images)
    assert float(gradient.abs().sum()) > 0
    found = evaluate(target, SAMPLES, {}, CONFIG)
    about = {"defence": {"name": target.defence_name, "assessed": False}}
    write_report(tmp_path, found, about)
    assert ">not assessed</b>" in (tmp_path / "report.html").read_text()
    patch = torch.zeros(1, 3, 16, 16)
    shown = attacked_images(as_images(SAMPLES), SAMPLES, patch, CONFIG)
    assert target.predict(shown, SAMPLES)[0].boxes.shape[1] == 4
