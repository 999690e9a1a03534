"""Victims of other plugins and of one's own: people counted, graphs cut, several views, nothing changed."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from perception.attack import (
    ATTACK_TARGETS,
    AttackSample,
    AttackTarget,
    DetailedTarget,
    GraphTarget,
    disconnect_loss,
    edge_scores,
)
from perception.engine.config import load_config
from perception.errors import InputError, PerceptionError
from perception.plugins.crowd_counting.attack_target import CrowdCountingTarget
from perception.plugins.patch_robustness.attacks import AttackConfig, as_images, attacked_images, craft
from perception.plugins.patch_robustness.crowd_scenes import SimulatedCrowds
from perception.plugins.patch_robustness.evaluate import evaluate, summary
from perception.plugins.patch_robustness.surfaces import Surface
from perception.plugins.patch_robustness.victim import CallableTarget, OnnxTarget, fingerprint
from perception.structures import Boxes2D, DensityMap

OWN_GRAPH = runpy.run_path(str(Path(__file__).with_name("own_graph.py")))


def square(view: int = 0, side: float = 24.0) -> Surface:
    quad = torch.tensor([[2.0, 2.0], [2 + side, 2.0], [2 + side, 2 + side], [2.0, 2 + side]])
    return Surface(quad, "rect", (1.0, 1.0), view=view, label="board")


# --- crowds -----------------------------------------------------------------------------------------------------------


def crowd(people: int) -> AttackSample:
    rng = np.random.default_rng(people)
    image = rng.integers(60, 120, (48, 64, 3), dtype=np.uint8)
    heads = rng.uniform(0, 40, (people, 2)).astype(np.float32)
    truth = DensityMap("front", (64, 48), np.full((1, 1), people, np.float32), 64.0, heads)
    return AttackSample(f"crowd{people}", image, truth, "scene", (square(),))


@pytest.fixture(scope="module")
def counter() -> CrowdCountingTarget:
    return CrowdCountingTarget("crowd_counting/crowd_light_sim.py", "crowd_light_sim.safetensors")


def test_a_count_is_right_within_its_tolerance(counter):
    assert isinstance(counter, AttackTarget) and isinstance(counter, DetailedTarget)
    sample = crowd(40)  # allowed: 10 people
    for count, score in ((40, 1.0), (50, 0.5), (30, 0.5), (45, 0.75), (60, 0.0), (90, 0.0)):
        found = DensityMap("front", (64, 48), np.full((1, 1), count, np.float32), 64.0)
        assert counter.instance_scores(found, sample) == pytest.approx([score])
        assert counter.instance_details(found, sample) == [{"count": count}]
    metric = counter.task_metric([found], [sample])
    assert metric == pytest.approx({"MAE": 50, "RMSE": 50, "bias": 50, "mean_count": 90})


@pytest.mark.parametrize("goal", ["count_up", "count_down"])
def test_a_poster_moves_the_count(counter, goal):
    sample = crowd(20)
    before = fingerprint(counter.module)
    config = AttackConfig(goal=goal, method="adam", steps=8, step_size=0.2, batch=1, width=16, size="")
    crafted = craft(counter, [sample], config)
    assert crafted.losses[-1] < crafted.losses[0]
    assert fingerprint(counter.module) == before and not counter.module.training
    found = evaluate(counter, [sample], {"patch": crafted.patch}, config)
    [row] = found.rows
    sign = 1 if goal == "count_up" else -1
    assert sign * (row["count_patch"] - row["count_grey"]) > 0
    assert row["count_clean"] == pytest.approx(found.metrics["clean"]["mean_count"])


def test_the_loss_is_the_count_of_the_stage(tmp_path):
    """Without enlarging, which the stage rounds to whole grey levels and the loss does not."""
    base = load_config("crowd_counting/crowd_light_sim.py")
    steps = [dict(step) for step in base.test_pipeline if step["type"] != "CrowdEnlarge"]
    config = tmp_path / "as_it_is.py"
    config.write_text(f"_base_ = [{str(base.filename)!r}]\ntest_pipeline = {steps!r}\n")
    counter = CrowdCountingTarget(str(config), "crowd_light_sim.safetensors")
    assert len(counter.stage.pipeline.steps) == len(base.test_pipeline) - 1
    sample = crowd(20)
    loss = counter.loss(as_images([sample]), [sample], "count_down")
    assert loss.item() * 20 == pytest.approx(counter.stage.count(sample.image).count, rel=1e-4)
    with pytest.raises(PerceptionError, match=r"'hide'.*count_up, count_down"):
        counter.loss(as_images([sample]), [sample], "hide")


def test_simulated_crowds_hold_the_poster_inside_the_picture():
    scenes = SimulatedCrowds(2, 5, (160, 120), people=12, share=0.05)
    sample = scenes[1]
    assert sample.image.shape == (120, 160, 3) and sample.truth.count == len(sample.truth.points) > 0
    [surface] = sample.surfaces
    assert surface.size_px**2 == pytest.approx(0.05 * 160 * 120, rel=1e-3)
    assert float(surface.quad.min()) >= 0 and bool((surface.quad <= torch.tensor([159, 119])).all())
    assert scenes[1] is sample and not torch.equal(scenes[0].surfaces[0].quad, surface.quad)
    with pytest.raises(PerceptionError, match="inside the picture"):
        SimulatedCrowds(share=1.5)


# --- graphs and several views -----------------------------------------------------------------------------------------


def test_edges_of_a_graph_are_cut_in_the_view_of_the_patch():
    target = OWN_GRAPH["ToyGraph"]()
    assert isinstance(target, GraphTarget)
    sample = OWN_GRAPH["two_views"]((square(view=1, side=27),))
    config = AttackConfig(goal="disconnect", method="pgd", steps=12, step_size=0.2, batch=1, width=8, size="")
    crafted = craft(target, [sample], config)
    content = evaluate(target, [sample], {"patch": crafted.patch}, config, threshold=0.5)
    [first, second] = content.rows
    assert first["score_clean"] > 0.5 and second["score_clean"] > 0.5
    assert first["score_patch"] == first["score_clean"], "the other view is as it was"
    assert second["score_patch"] < 0.5
    assert content.metrics["clean"] == {"kept": 1.0} and content.metrics["patch"] == {"kept": 0.5}
    assert summary(content)["conditions"]["patch"]["asr"]["value"] == 0.5


def test_patches_go_to_their_view():
    sample = OWN_GRAPH["two_views"]((square(view=1),))
    images = as_images([sample, sample])
    assert images.shape == (2, 2, 3, 32, 32)
    config = AttackConfig(width=8, size="")
    shown = attacked_images(images, [sample, sample], torch.zeros(1, 3, 8, 8), config)
    assert torch.equal(shown[:, 0], images[:, 0])
    assert torch.equal(shown[0, 1], shown[1, 1]) and float(shown[0, 1, :, 10, 10].max()) < 0.01
    bad = OWN_GRAPH["two_views"]((square(view=2),))
    with pytest.raises(PerceptionError, match="expected view below 2, found 2"):
        craft(OWN_GRAPH["ToyGraph"](), [bad], AttackConfig(goal="disconnect", size="", width=8))


def test_losses_and_scores_of_edges_by_hand():
    truth = torch.tensor([[True, False]])
    logits = torch.tensor([[0.0, 0.0]], requires_grad=True)
    loss = disconnect_loss([(logits, truth), (logits[:, :0], truth[:, :0])])
    assert loss.tolist() == pytest.approx([2 * np.log(2), 0])
    loss.sum().backward()
    assert logits.grad.tolist() == [pytest.approx([0.5, -0.5])]  # down with the true edge, up with the other
    with pytest.raises(PerceptionError, match="truth"):
        disconnect_loss([(logits, truth.T)])
    probability = np.array([[0.9, 0.1], [0.2, 0.8]])
    nodes, others = np.array([1, -1]), np.array([0, 1, -1])
    truth = np.array([[True, True, True], [True, False, False]])
    assert edge_scores(probability, nodes, others, truth).tolist() == [0.2, 0.8, 0, 0]


def test_samples_with_wrong_images_are_refused():
    for image in (np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((1, 2, 4, 4, 3), np.uint8)):
        with pytest.raises(PerceptionError, match="expected"):
            AttackSample("x", image, None)


# --- functions and files ----------------------------------------------------------------------------------------------


def white_cell(outputs: list[np.ndarray], size: tuple[int, int]) -> Boxes2D:
    """Boxes of the cells of a 4 x 4 grid of brightness (1, 1, 4, 4) that are above a half."""
    rows, columns = np.nonzero(outputs[0][0, 0] > 0.5)
    low = np.stack([columns, rows], 1) * np.array(size) / 4
    boxes = np.hstack([low, low + np.array(size) / 4])
    return Boxes2D("front", size, boxes, outputs[0][0, 0][rows, columns], np.zeros(len(rows), int), ("thing",))


def test_functions_are_found_by_name():
    target = ATTACK_TARGETS.build({"type": "CallableTarget", "detect": "math:sqrt"})
    assert target.detect(4) == 2 and not target.differentiable
    for name in ("math:nothing", "no_such_module:f", "math", "math:pi"):
        with pytest.raises(PerceptionError, match="victim: expected"):
            CallableTarget(name)


def test_onnx_without_onnxruntime_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(PerceptionError, match=r"perception-stack\[export\]"):
        OnnxTarget("model.onnx", white_cell)


class Cells(torch.nn.Module):
    """Brightness of a grid of cells of 8 pixels."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(images.mean(1, keepdim=True), 8)


def exported(path: Path, *shape: int, free: bool = False) -> Path:
    """The network above as an ONNX file for inputs of a shape; ``free``: for pictures of any size."""
    reason = "the extra 'export' is not installed"
    pytest.importorskip("onnx", reason=reason), pytest.importorskip("onnxruntime", reason=reason)
    axes = {"image": {2: "height", 3: "width"}} if free else None
    torch.onnx.export(Cells(), (torch.zeros(shape),), str(path), input_names=["image"], dynamic_axes=axes, dynamo=False)
    return path


def test_onnx_files_take_pictures_of_their_size_only(tmp_path: Path):
    fixed = OnnxTarget(exported(tmp_path / "fixed.onnx", 1, 3, 32, 32), white_cell)
    any_size = OnnxTarget(exported(tmp_path / "free.onnx", 1, 3, 32, 32, free=True), white_cell)
    image = np.full((40, 32, 3), 255, np.uint8)
    assert len(fixed.detect(image[:32])) == 16 and len(any_size.detect(image)) == 20
    with pytest.raises(PerceptionError, match=r"expected an image \[1, 3, 32, 32\], found \[1, 3, 40, 32\]"):
        fixed.detect(image)
    with pytest.raises(InputError, match=r"inputs.*one of float32 \(1, 3, H, W\).*\[2, 3, 32, 32\]"):
        OnnxTarget(exported(tmp_path / "two.onnx", 2, 3, 32, 32), white_cell)


def test_an_onnx_file_is_attacked_as_a_black_box(tmp_path: Path):
    path = exported(tmp_path / "model.onnx", 1, 3, 32, 32)
    target = OnnxTarget(path, white_cell)
    image = np.zeros((32, 32, 3), np.uint8)
    image[8:16, 8:16] = 255
    truth = Boxes2D("front", (32, 32), [[8, 8, 16, 16]], [1.0], [0], ("thing",))
    quad = torch.tensor([[8.0, 8.0], [15.0, 8.0], [15.0, 15.0], [8.0, 15.0]])
    sample = AttackSample("x", image, truth, "s", (Surface(quad, "rect", (1.0, 1.0), instance=0, label="thing"),))
    [found] = target.predict(as_images([sample]), [sample])
    assert target.instance_scores(found, sample).tolist() == [1.0]
    config = AttackConfig(method="square", steps=60, batch=1, width=8, size="")
    crafted = craft(target, [sample], config)
    assert crafted.losses[-1] < 1 and crafted.queries <= 60
    with pytest.raises(PerceptionError, match="needs a gradient"):
        craft(target, [sample], AttackConfig(size="", width=8))
    path.write_bytes(b"no model")
    with pytest.raises(InputError, match="an ONNX model"):
        OnnxTarget(path, white_cell)
