"""Attacks end to end on a small victim: gradient, black box, controls, bundles, reports, errors before work starts."""

from __future__ import annotations

import csv
import dataclasses
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from perception.attack import AttackSample
from perception.cli import main
from perception.errors import InputError, PerceptionError, UnknownNameError
from perception.plugins.patch_robustness.attacks import AttackConfig, Crafted, attacked_images, control_patch, craft
from perception.plugins.patch_robustness.bundle import export_png, load_bundle, save_bundle
from perception.plugins.patch_robustness.eot import EOT
from perception.plugins.patch_robustness.evaluate import evaluate, summary
from perception.plugins.patch_robustness.report import write_report
from perception.plugins.patch_robustness.surfaces import Surface
from perception.plugins.patch_robustness.victim import unchanged
from perception.structures import Boxes2D

EXAMPLE = Path(__file__).with_name("own_detector.py")
make_target = runpy.run_path(str(EXAMPLE))["make_target"]
SIDE = 64


def bright_board(number: int, instance: int | None = 0) -> AttackSample:
    """A dark picture whose cell (1, 1) is bright; the patch may cover that cell."""
    rng = np.random.default_rng(number)
    image = rng.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
    image[16:32, 16:32] = 230
    truth = Boxes2D("front", (SIDE, SIDE), [[16, 16, 32, 32]], [1.0], [0], ("thing",))
    quad = torch.tensor([[17.0, 17.0], [30.0, 17.0], [30.0, 30.0], [17.0, 30.0]])
    surface = Surface(quad, "rect", (1.0, 1.0), instance=instance, label="thing")
    return AttackSample(f"board{number}", image, truth, f"scene{number // 2}", (surface,))


SAMPLES = [bright_board(number) for number in range(4)]
CONFIG = AttackConfig(method="pgd", steps=20, step_size=0.1, batch=2, width=16, size="")


@pytest.mark.parametrize("method", ["pgd", "adam", "square", "random_search"])
def test_attacks_hide_what_the_controls_do_not(method):
    config = AttackConfig(method=method, steps=80, step_size=0.1, batch=2, width=16, size="", eot=EOT(noise=0.05))
    crafted = craft(make_target(), SAMPLES[:2], config)
    assert crafted.losses[-1] < crafted.losses[0]
    assert float(crafted.patch.min()) >= 0 and float(crafted.patch.max()) <= 1
    assert crafted.queries <= 160
    found = evaluate(make_target(), SAMPLES[2:], {"patch": crafted.patch}, config)
    content = summary(found)
    assert content["detected_clean"] == 2
    if method in ("pgd", "adam"):
        assert content["conditions"]["patch"]["asr"]["value"] == 1.0
    assert content["valid"] is False  # far fewer than 30


def test_your_own_detector_takes_less_than_30_lines():
    assert len(EXAMPLE.read_text().strip().splitlines()) < 40
    body = EXAMPLE.read_text().split("class Brightest")[1]
    assert len(body.strip().splitlines()) < 30


def test_the_same_seed_gives_the_same_patch():
    short = {**vars(CONFIG), "steps": 2}
    one, two = (craft(make_target(), SAMPLES, AttackConfig(**short)).patch for _ in range(2))
    assert torch.equal(one, two)
    other = craft(make_target(), SAMPLES, AttackConfig(**{**short, "seed": 1})).patch
    assert not torch.equal(one, other)


def test_a_black_box_needs_no_gradient_and_keeps_its_budget():
    target = make_target(gradient=False)
    crafted = craft(target, SAMPLES, AttackConfig(method="square", steps=21, batch=2, width=16, size=""))
    assert crafted.queries == 20
    with pytest.raises(PerceptionError, match=r"needs a gradient.*square or random_search"):
        craft(target, SAMPLES, CONFIG)


def test_errors_come_before_work_starts():
    target = make_target()
    with pytest.raises(PerceptionError, match="not supported by this target"):
        craft(target, SAMPLES, AttackConfig(goal="shift"))
    with pytest.raises(PerceptionError, match="unknown goal"):
        craft(target, SAMPLES, AttackConfig(goal="explode"))
    with pytest.raises(PerceptionError, match="at least one sample"):
        craft(target, [], CONFIG)
    outside = AttackSample(
        "far", SAMPLES[0].image, SAMPLES[0].truth, "", (SAMPLES[0].surfaces[0].moved(torch.eye(4)[:, :2] * 9 + 500),)
    )
    with pytest.raises(PerceptionError, match="sample far"):
        craft(target, [outside], CONFIG)
    with pytest.raises(UnknownNameError, match="did you mean 'adam'"):
        AttackConfig(method="adan")
    with pytest.raises(PerceptionError, match="EOT rotation"):
        EOT(rotation=-1)
    target.module.train()
    with pytest.raises(PerceptionError, match="training mode"):
        craft(target, SAMPLES, CONFIG)


def test_a_victim_that_changes_is_noticed():
    target = make_target()
    with pytest.raises(PerceptionError, match="the victim was changed"), unchanged(target):
        target.module.weight.data += 1
    with pytest.raises(PerceptionError, match="global random generator"), unchanged(target):
        torch.rand(1)
    with unchanged(target):
        assert not target.module.weight.requires_grad
    assert target.module.weight.requires_grad


def test_gradients_that_are_not_finite_are_told():
    target = make_target()
    target.own_loss = lambda images, samples, goal: images.sum((1, 2, 3)) * torch.nan
    with pytest.raises(PerceptionError, match="not finite"):
        craft(target, SAMPLES, CONFIG)


def test_eot_is_seeded_and_leaves_the_rest_alone():
    eot = EOT(rotation=20, translation=0.1, scale=0.2, jitter=0.2, noise=0.1, blur=1.0)
    config = AttackConfig(width=16, size="", eot=eot)
    images = torch.full((1, 3, SIDE, SIDE), 0.5)
    shown = [
        attacked_images(images, SAMPLES[:1], control_patch("random", 16), config, torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(shown[0], shown[1]) and not torch.equal(shown[0], shown[2])
    assert torch.equal(shown[0][:, :, 40:], images[:, :, 40:])


def test_a_bundle_evaluates_to_the_same_digits(tmp_path: Path):
    target = make_target()
    crafted = craft(target, SAMPLES[:2], CONFIG)
    bundle = save_bundle(tmp_path / "patch", crafted, CONFIG, {"data": "x"})
    assert torch.equal(bundle.patch * 255, (crafted.patch * 255).round())
    contents = []
    for run in ("a", "b"):
        found = evaluate(target, SAMPLES[2:], {"patch": load_bundle(tmp_path / "patch").patch}, bundle.config)
        contents.append(write_report(tmp_path / run, found, {"threat_model": {"goal": "hide"}}))
    assert contents[0] == contents[1]
    assert (tmp_path / "a/report.json").read_bytes() == (tmp_path / "b/report.json").read_bytes()
    page = (tmp_path / "a/report.html").read_text()
    assert "http" not in page.replace("<!doctype html>", "") and page.count("data:image/jpeg;base64,") == 4
    rows = list(csv.DictReader((tmp_path / "a/instances.csv").open()))
    lost = [float(row["score_patch"]) < 0.3 <= float(row["score_clean"]) for row in rows]
    assert sum(lost) / len(rows) == contents[0]["conditions"]["patch"]["asr"]["value"]


def test_bundles_that_were_tampered_with(tmp_path: Path):
    save_bundle(tmp_path, craft(make_target(), SAMPLES, CONFIG), CONFIG, {})
    export_png(tmp_path / "patch.png", torch.full((1, 3, 16, 16), 0.25))
    with pytest.raises(InputError, match="the picture its header was written for"):
        load_bundle(tmp_path)
    (tmp_path / "patch.json").write_text(json.dumps({"attack": {"method": "magic"}}))
    with pytest.raises(PerceptionError, match="magic"):
        load_bundle(tmp_path)


def test_printing_has_the_size_asked_for(tmp_path: Path):
    from PIL import Image

    export_png(tmp_path / "print.png", control_patch("random", 16), dpi=100, size_m=(0.254, 0.508))
    picture = Image.open(tmp_path / "print.png")
    assert picture.size == (2000, 1000)
    assert picture.info["dpi"] == pytest.approx((100, 100), abs=0.1)


def test_patches_are_printed_as_they_go_on_a_sign(tmp_path: Path, capsys):
    from PIL import Image

    config = dataclasses.replace(CONFIG, width=64, size="1_10x10_middle")
    crafted = Crafted(control_patch("random", 64), (1.0, 0.5), 0.1, 0)
    save_bundle(tmp_path / "patch", crafted, config, {})
    assert main(["attack", "print", str(tmp_path / "patch"), "--on", "octagon", "--dpi", "100"]) == 0
    sheet = Image.open(tmp_path / "patch/print_octagon.png")
    # 10 inches are 17.8 pixels of the 64 that span 0.915 m: a sticker of 18, that is 0.257 m or 1013 dots
    assert sheet.mode == "RGBA" and sheet.size == (1013, 1013) and np.asarray(sheet)[..., 3].all()

    whole = dataclasses.replace(CONFIG, width=64, size="")
    save_bundle(tmp_path / "whole", crafted, whole, {})
    assert main(["attack", "print", str(tmp_path / "whole"), "--on", "diamond-s", "--dpi", "50"]) == 0
    alpha = np.asarray(Image.open(tmp_path / "whole/print_diamond-s.png"))[..., 3]
    assert alpha.shape == (1181, 1181) and not alpha[0, 0] and alpha[590, 590] == 255
    assert (
        main(["attack", "print", str(tmp_path / "whole"), "--on", "1x2", "--dpi", "25.4", "--out", str(tmp_path)]) == 0
    )
    assert Image.open(tmp_path / "print_1x2m.png").size == (2000, 1000)
    for on, dpi, message in (("oval", "300", "octagon"), ("9x9", "300", "lower --dpi"), ("1x2", "0", "2400 dpi")):
        capsys.readouterr()
        assert main(["attack", "print", str(tmp_path / "whole"), "--on", on, "--dpi", dpi]) == 2
        assert message in capsys.readouterr().err


def test_the_road_concerns_every_instance():
    found = evaluate(make_target(), [bright_board(9, None)], {}, CONFIG)
    assert [row["instance"] for row in found.rows] == [0]
