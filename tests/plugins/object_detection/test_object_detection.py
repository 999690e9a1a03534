"""The bridge: COCO files, letter-boxing, mmdet configs and checkpoints as stages, and the attack target."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config

from perception.attack import AttackSample
from perception.engine.config import load_config
from perception.errors import InputError, PerceptionError
from perception.plugins.object_detection import components  # noqa: F401 - registers
from perception.plugins.object_detection.attack_target import ObjectDetectionTarget
from perception.plugins.object_detection.dataset import CocoBoxes
from perception.plugins.object_detection.letterbox import fit, letterbox, letterbox_tensor, to_image
from perception.plugins.object_detection.mmdet_config import from_mmdet
from perception.plugins.object_detection.stage import ObjectDetectionStage
from perception.plugins.patch_robustness.victim import unchanged
from perception.structures import Boxes2D

SMALL = {
    "type": "FCOS",
    "backbone": {"type": "ResNet", "depth": 18, "base_channels": 8, "out_indices": (1, 2)},
    "neck": {"type": "FPN", "in_channels": [16, 32], "out_channels": 16, "num_outs": 2},
    "bbox_head": {
        "type": "FCOSHead",
        "num_classes": 2,
        "in_channels": 16,
        "feat_channels": 16,
        "stacked_convs": 1,
        "strides": [8, 16],
        "regress_ranges": ((-1, 64), (64, 1e8)),
        "norm_cfg": {"type": "GN", "num_groups": 4},
    },
    "test_cfg": {
        "nms_pre": 50,
        "min_bbox_size": 0,
        "score_thr": 0.0,
        "nms": {"type": "nms", "iou_threshold": 0.6},
        "max_per_img": 9,
    },
}


@pytest.fixture(scope="module")
def mmdet_files(tmp_path_factory) -> tuple[Path, Path]:
    """A config in mmdet's own form and a checkpoint with the keys of its detector."""
    folder = tmp_path_factory.mktemp("mmdet")
    before = {"type": "DetDataPreprocessor", "mean": [100.0] * 3, "std": [50.0] * 3, "bgr_to_rgb": True}
    model = {**SMALL, "data_preprocessor": before}
    steps = [{"type": "Resize", "scale": (96, 60), "keep_ratio": True}]
    path = folder / "fcos.py"
    path.write_text(f"model = {model!r}\ntest_pipeline = {steps!r}\n")
    stage = ObjectDetectionStage(path, class_names=("a", "b"))
    torch.save({"state_dict": stage.model.detector.state_dict()}, folder / "fcos.pth")
    return path, folder / "fcos.pth"


def test_an_mmdet_config_and_checkpoint_become_a_stage(mmdet_files):
    config, checkpoint = mmdet_files
    stage = ObjectDetectionStage(config, checkpoint, score=0.0, class_names=("a", "b"))
    assert stage.model.input_size == (96, 64)  # rounded up to 32
    assert (stage.model.order, stage.model.mean) == ("rgb", (100.0,) * 3)
    found = stage.detect(np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8))
    assert isinstance(found, Boxes2D)
    assert 0 < len(found) <= 9
    assert found.image_size == (160, 120)
    assert found.boxes[:, 2].max() <= 160 and (np.diff(found.scores) <= 0).all()


def test_wrong_class_names_and_configs_are_named(mmdet_files, tmp_path):
    with pytest.raises(InputError, match="num_classes"):
        ObjectDetectionStage(mmdet_files[0], class_names=("a", "b", "c"))
    with pytest.raises(InputError, match="with a model"):
        from_mmdet(Config({}))


def test_letterbox_keeps_the_aspect_and_takes_boxes_back():
    image = np.full((50, 100, 3), 200, np.uint8)
    inputs, placed = letterbox(image, (64, 64))
    assert placed.resized == (64, 32)
    assert inputs[:, :32].min() == 200 and inputs[:, 32:].max() == 114
    assert to_image(np.array([[0, 0, 64, 64]]), placed).tolist() == [[0, 0, 100, 50]]
    images = torch.full((1, 3, 50, 100), 200.0, requires_grad=True)
    tensor, _ = letterbox_tensor(images, (64, 64))
    assert torch.allclose(tensor[0].detach(), torch.from_numpy(inputs))
    tensor.sum().backward()
    assert float(images.grad.abs().min()) > 0


def _coco(folder: Path, **changes) -> Path:
    content = {
        "images": [{"id": 7, "file_name": "a.png", "width": 40, "height": 30}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 10, 20]}],
        "categories": [{"id": 3, "name": "stop"}, {"id": 1, "name": "yield"}],
    }
    path = folder / "boxes.json"
    path.write_text(json.dumps({**content, **changes}))
    return path


def test_images_that_do_not_fit_their_annotations(tmp_path):
    _coco(tmp_path)
    dataset = CocoBoxes(str(tmp_path), "boxes.json", (64, 64))
    with pytest.raises(InputError, match="no file"):
        dataset[0]
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="cannot be decoded"):
        dataset[0]
    _coco(tmp_path, images=[{"id": 7, "file_name": "../a.png", "width": 40, "height": 30}])
    with pytest.raises(InputError, match="below the data root"):
        CocoBoxes(str(tmp_path), "boxes.json", (64, 64))[0]


def test_the_shipped_tiny_sign_detector_is_small():
    config = load_config("object_detection/signs_tiny_sim.py")
    from perception.registry import MODELS

    with torch.device("meta"):
        model = MODELS.build(config.model)
    assert 0.5e6 < sum(parameter.numel() for parameter in model.parameters()) <= 3e6


@pytest.fixture(scope="module")
def target(mmdet_files) -> ObjectDetectionTarget:
    stage = ObjectDetectionStage(*mmdet_files, class_names=("a", "b"))
    return ObjectDetectionTarget(stage.model, wanted="b")


def _sample() -> AttackSample:
    image = np.random.default_rng(1).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    return AttackSample("one", image, Boxes2D("front", (96, 64), [[10, 10, 50, 50]], [1.0], [0], ("a", "b")))


def test_misclassify_aims_at_another_class_for_attacked_objects_only(target):
    boxes = [[10, 10, 50, 50], [60, 10, 90, 40], [5, 5, 9, 9]]
    truth = Boxes2D("front", (96, 64), boxes, [1.0] * 3, [0, 1, 0], ("a", "b"))
    surfaces = tuple(SimpleNamespace(instance=instance) for instance in (0, 1))
    sample = replace(_sample(), truth=truth, surfaces=surfaces)
    assert target.wanted == 1
    _, labels = target._labels(sample, "misclassify", fit((96, 64), (96, 64)))
    assert labels.tolist() == [1, 0, 0], "to class 1; of class 1 to the next, round the end; not attacked"
    assert truth.labels.tolist() == [0, 1, 0], "the truth stays"


@pytest.mark.parametrize("goal", ["hide", "misclassify", "appear"])
def test_every_goal_has_a_gradient_and_leaves_the_victim_alone(target, goal):
    sample = _sample()
    images = (torch.from_numpy(sample.image).permute(2, 0, 1)[None].float() / 255).requires_grad_()
    before = {key: value.clone() for key, value in target.model.state_dict().items()}
    state, mode = torch.get_rng_state(), target.model.training
    loss = target.loss(images, [sample], goal)
    (grad,) = torch.autograd.grad(loss.sum(), images)
    assert loss.shape == (1,) and bool(grad.isfinite().all()) and float(grad.abs().max()) > 0
    assert all(torch.equal(value, before[key]) for key, value in target.model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state()) and target.model.training == mode
    with pytest.raises(PerceptionError, match="not supported"):
        target.loss(images, [sample], "shift")


def test_instance_scores_need_class_and_overlap(target):
    sample = _sample()
    boxes = [[10, 10, 50, 49], [11, 10, 50, 50], [60, 60, 70, 64]]
    found = Boxes2D("front", (96, 64), boxes, [0.9, 0.8, 0.7], [1, 0, 0], ("a", "b"))
    assert target.instance_scores(found, sample).tolist() == pytest.approx([0.8])
    assert target.task_metric([found], [sample])["AP50"] == pytest.approx(1.0)


def test_the_score_loss_counts_the_best_right_boxes_on_an_object(target, monkeypatch):
    """By hand: two of three boxes on the object lie above the floor of 0.1, one is of another class, one elsewhere."""
    boxes = torch.tensor([[10.0, 10, 50, 50], [12, 10, 50, 50], [10, 12, 50, 50], [10, 10, 50, 50], [60, 10, 90, 40]])
    scores, labels = torch.tensor([0.4, 0.2, 0.05, 0.9, 0.8]), torch.tensor([0, 0, 0, 1, 0])
    monkeypatch.setattr(target.model, "candidates", lambda batch: [(boxes, scores, labels)])
    hider = ObjectDetectionTarget(target.model, loss="score", floor=0.1, enlarge=False)
    found = hider.loss(torch.rand(1, 3, 60, 96), [_sample()], "hide")
    assert found.tolist() == pytest.approx([(np.log(4) + np.log(2)) / 3])


def test_scores_before_suppression_have_a_gradient_and_leave_the_detector_alone(target):
    sample = _sample()
    images = torch.from_numpy(sample.image).permute(2, 0, 1)[None].float() / 255
    before = target.predict(images, [sample])[0]
    seen = AttackSample(
        "one", sample.image, before
    )  # what is detected is the truth, so that there is something to hide
    hider = ObjectDetectionTarget(target.model, loss="score", floor=1e-4)
    free = images.clone().requires_grad_()
    first = hider.loss(free, [seen], "hide")
    (slope,) = torch.autograd.grad(first.sum(), free)
    assert float(first.detach()) > 0 and float(slope.abs().max()) > 0
    step = 1e-3 / float(slope.norm())
    up, down = (float(hider.loss(images + sign * step * slope, [seen], "hide")) for sign in (1, -1))
    assert (up - down) / 2 == pytest.approx(1e-3 * float(slope.norm()), rel=0.1)
    after = target.predict(images, [sample])[0]
    assert np.array_equal(before.boxes, after.boxes) and np.array_equal(before.scores, after.scores)
    many = len(target.model.candidates(images * 255)[0][0])
    assert many > len(before)
    with pytest.raises(PerceptionError, match="floor"):
        ObjectDetectionTarget(target.model, loss="score", floor=0.0)


def test_what_appears_is_looked_for_on_its_surface(target):
    surfaces = [SimpleNamespace(quad=torch.tensor([[x, 10.0], [x + 20, 10.0], [x + 20, 30.0]])) for x in (0.0, 60.0)]
    sample = replace(_sample(), surfaces=tuple(surfaces))
    boxes = [[0, 10, 20, 29], [1, 10, 20, 30], [60, 10, 80, 30]]
    found = Boxes2D("front", (96, 64), boxes, [0.5, 0.6, 0.9], [1, 1, 0], ("a", "b"))
    assert target.surface_scores(found, sample).tolist() == pytest.approx([0.6, 0])  # "b" is wanted
    none = Boxes2D("front", (96, 64), np.zeros((0, 4)), [], [], ("a", "b"))
    assert target.surface_scores(none, sample).tolist() == [0, 0]


def test_images_that_are_not_finite_give_such_a_loss(target):
    sample = _sample()
    images = torch.full((1, 3, 64, 96), torch.nan)
    with unchanged(target):
        assert bool(target.loss(images, [sample], "hide").isnan().all())
