"""Crops, pasted signs, adversarial training and the study, on drawn signs in the layout of the simulator's writer."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from perception.cli import main
from perception.engine.config import load_config
from perception.errors import PerceptionError
from perception.plugins.object_detection.dataset import CocoBoxes
from perception.plugins.object_detection.model import MMDetDetector
from perception.plugins.patch_robustness.crops import crop_sample
from perception.plugins.patch_robustness.pasted_signs import PastedSigns
from perception.plugins.patch_robustness.patch_training import PatchTraining
from perception.plugins.patch_robustness.reap_table import SignRow, write_table
from perception.plugins.patch_robustness.scenes import CLASS_NAMES, DrawnSigns
from perception.plugins.patch_robustness.study import study_rows
from perception.plugins.patch_robustness.study_page import markdown, study_page

SIZE = (160, 128)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for split, seed in (("train", 0), ("test", 50)):
        images, annotations, rows = [], [], []
        for number, sample in enumerate(DrawnSigns(4, SIZE, seed=seed)[k] for k in range(4)):
            name = f"{split}{number}.png"
            cv2.imwrite(str(root / name), np.ascontiguousarray(sample.image[..., ::-1]))
            images.append({"id": number + 1, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
            x0, y0, x1, y1 = (float(v) for v in sample.truth.boxes[0])
            label = int(sample.truth.labels[0]) + 1
            box = [x0, y0, x1 - x0, y1 - y0]
            annotations.append(
                {"id": number + 1, "image_id": number + 1, "category_id": label, "bbox": box, "iscrowd": 0}
            )
            (surface,) = sample.surfaces
            light = {"percentile": surface.lighting}
            rows.append(SignRow(name, str(number + 1), surface.label, surface.quad.numpy(), light))
        categories = [{"id": k + 1, "name": name} for k, name in enumerate(CLASS_NAMES)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (root / f"{split}.json").write_text(json.dumps(content))
        write_table(root / f"{split}.csv", rows)
    return root


def tiny_detector() -> MMDetDetector:
    config = load_config("object_detection/signs_tiny_sim.py")
    options = config.model.to_dict()
    options.pop("type")
    options["input_size"] = SIZE
    options["detector"]["backbone"]["base_channels"] = 8
    options["detector"]["neck"]["in_channels"] = [16, 32]
    torch.manual_seed(0)
    return MMDetDetector(**options)


def samples_of(folder: Path, count: int = 4) -> dict:
    dataset = CocoBoxes(
        *(str(folder), "train.json", SIZE, "", CLASS_NAMES),
        crop=(96, 96),
        zoom=(0.8, 1.2),
        train=True,
        cache=True,
    )
    torch.manual_seed(1)
    rows = [dataset[k] for k in range(count)]
    return {
        "inputs": torch.stack([row["inputs"] for row in rows]),
        "data_samples": [row["data_samples"] for row in rows],
    }


def test_training_samples_say_where_their_pixels_come_from(folder):
    batch = samples_of(folder)
    for sample in batch["data_samples"]:
        whole, matrix = sample["truth"]["boxes"], sample["matrix"]
        corners = np.concatenate([whole.reshape(-1, 2, 2), np.ones((len(whole), 2, 1))], 2) @ matrix.T
        moved = corners[..., :2].reshape(-1, 4).clip(0, 96)
        np.testing.assert_allclose(sample["boxes"].numpy(), moved[: len(sample["boxes"])], atol=1e-3)
    assert sum(len(sample["boxes"]) for sample in batch["data_samples"]) >= 3  # most crops show their sign


def test_crops_keep_signs_where_they_are():
    sample = DrawnSigns(1, (160, 128), signs=2, side=(24, 30), seed=3)[0]
    cut = crop_sample(sample, (64, 64))
    assert cut.image.shape == (64, 64, 3) and cut.truth.image_size == (64, 64)
    first, moved = sample.surfaces[0], cut.surfaces[0]
    x, y = (first.quad - moved.quad)[0].int().tolist()
    assert np.array_equal(cut.image, sample.image[y : y + 64, x : x + 64])
    box = cut.truth.boxes[moved.instance]
    np.testing.assert_allclose(box, sample.truth.boxes[first.instance] - [x, y, x, y], atol=1e-4)
    hidden = np.zeros(sample.image.shape[:2], bool)
    hidden[y + 3, x + 5] = True
    assert np.argwhere(crop_sample(dataclasses.replace(sample, hidden=hidden), (64, 64)).hidden).tolist() == [[3, 5]]
    assert crop_sample(sample, (500, 500)).image.shape == sample.image.shape
    with pytest.raises(PerceptionError, match="boxes and surfaces"):
        crop_sample(DrawnSigns(1)[0].__class__("road", sample.image, None), (64, 64))


def test_pasted_signs_lie_where_their_surface_says(folder):
    made = PastedSigns(str(folder), "train.json", count=6, side=(24, 40), seed=9)
    for index in range(6):
        sample = made[index]
        (surface,) = sample.surfaces
        box = sample.truth.boxes[surface.instance]
        assert len(sample.truth) == 2 and sample.truth.class_names[sample.truth.labels[-1]] == surface.label
        source = cv2.imread(str(folder / f"train{index % 4}.png"))[..., ::-1]
        rows, columns = np.nonzero(np.abs(sample.image.astype(int) - source).max(2) > 1)
        assert columns.min() >= box[0] - 1 and columns.max() <= box[2] + 1
        assert rows.min() >= box[1] - 1 and rows.max() <= box[3] + 1
        if len(surface.quad) == 4 and surface.shape in ("square", "rect", "diamond"):
            low, high = surface.quad.amin(0).numpy(), surface.quad.amax(0).numpy()
            inside = (low > 1).all() and (high < np.array(SIZE) - 2).all()
            assert not inside or np.abs(np.concatenate([low, high]) - box).max() < 2.5
    again = PastedSigns(str(folder), "train.json", count=6, side=(24, 40), seed=9)
    assert np.array_equal(made[2].image, again[2].image)


def test_patch_training_puts_hiding_patches_into_batches_and_leaves_the_model_alone(folder):
    model = tiny_detector().train()
    model.detector.backbone.bn1.eval()  # as frozen statistics are
    hook = PatchTraining("train.csv", str(folder), share=1.0, steps=5, pool=1, fresh=0.0, min_side=8.0)
    start = hook.pool.clone()
    batch = samples_of(folder)
    before, state = batch["inputs"].clone(), {k: v.clone() for k, v in model.state_dict().items()}
    runner = type("Runner", (), {"model": model})()
    hook.before_train_iter(runner, 0, batch)
    assert model.training and not model.detector.backbone.bn1.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert not torch.equal(hook.pool, start) and 0 <= float(hook.pool.min()) <= float(hook.pool.max()) <= 1
    changed = (batch["inputs"] - before).abs().amax(1) > 0.5
    for mask, sample in zip(changed, batch["data_samples"]):
        surfaces = hook.surfaces(sample, (96, 96))
        assert bool(mask.any()) == bool(surfaces)
        rows, columns = mask.nonzero().unbind(1)
        if surfaces:
            low, high = surfaces[0].quad.amin(0), surfaces[0].quad.amax(0)
            assert columns.min() >= low[0] - 2 and columns.max() <= high[0] + 2 and rows.max() <= high[1] + 2
    checkpoint: dict = {}
    hook.before_save_checkpoint(runner, checkpoint)
    other = PatchTraining("train.csv", str(folder), pool=1)
    other.after_load_checkpoint(runner, checkpoint)
    assert torch.equal(other.pool, hook.pool)


def test_steps_of_patch_training_lower_what_is_detected(folder):
    model, batch = tiny_detector().eval(), samples_of(folder)

    def loss_after(steps: int) -> float:
        hook = PatchTraining("train.csv", str(folder), share=1.0, steps=steps, pool=1, fresh=0.0, min_side=8.0)
        copy = {"inputs": batch["inputs"].clone(), "data_samples": batch["data_samples"]}
        torch.manual_seed(4)
        hook.before_train_iter(type("Runner", (), {"model": model})(), 0, copy)
        blank = [{**s, "boxes": s["boxes"][:0], "labels": s["labels"][:0]} for s in batch["data_samples"]]
        with torch.no_grad():
            losses = model(copy["inputs"], blank, mode="loss")
        return float(sum(torch.as_tensor(part).sum() for value in losses.values() for part in _listed(value)))

    assert loss_after(12) < loss_after(0)


def _listed(value):
    return value if isinstance(value, (list, tuple)) else [value]


def test_patch_training_refuses_nonsense(folder):
    with pytest.raises(PerceptionError, match="share"):
        PatchTraining("train.csv", str(folder), share=0.0)


def test_initial_weights_survive_the_initialisation_of_mmdet(tmp_path):
    """The runner calls ``init_weights`` after the hook has loaded."""
    from perception.engine.checkpoint import save_weights
    from perception.engine.hooks.initial_weights import InitialWeights

    trained, model = tiny_detector(), tiny_detector()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.fill_(0.25)
    save_weights(tmp_path / "w.safetensors", trained.state_dict())
    runner = type("Runner", (), {"model": model, "logger": logging.getLogger("test")})()
    InitialWeights(str(tmp_path / "w.safetensors")).before_run(runner)
    model.init_weights()
    assert all(bool((parameter == 0.25).all()) for parameter in model.parameters())


STUDY = """
default_scope = "perception"
custom_imports = dict(imports=["perception.plugins.object_detection.components"], allow_failed_imports=False)
detector = dict(type="ObjectDetectionTarget", config="object_detection/signs_tiny_sim.py", enlarge=False)
victims = dict(plain=detector, other=detector)
attack = dict(goal="hide", method="pgd", steps=2, step_size=0.1, batch=2, width=16)
seeds = (0, 1)
thresholds = dict(plain=0.001, other=0.001)
size = (64, 64)
real = dict(type="SignTableScenes", data_root="ROOT", min_side=8.0)
flat = dict(type="PastedSigns", data_root="ROOT", side=(24, 40), count=2)
renderings = dict(
    realistic=dict(
        craft_data=dict(type="CroppedScenes", size=size, dataset=dict(real, ann_file="train.json", table="train.csv")),
        eval_data=dict(type="CroppedScenes", size=size, dataset=dict(real, ann_file="test.json", table="test.csv")),
    ),
    synthetic=dict(
        craft_data=dict(type="CroppedScenes", size=size, dataset=dict(flat, ann_file="train.json")),
        eval_data=dict(type="CroppedScenes", size=size, dataset=dict(flat, ann_file="test.json", seed=9)),
    ),
)
cross = (("synthetic", "realistic"),)
"""


def test_a_study_compares_victims_and_renderings(folder, tmp_path, capsys):
    path = tmp_path / "study.py"
    path.write_text(STUDY.replace("ROOT", str(folder)))
    assert main(["attack", "study", str(path), "--out", str(tmp_path / "out")]) == 0
    content = json.loads((tmp_path / "out/study.json").read_text())
    rows = [(row["victim"], row["crafted"], row["measured"]) for row in content["rows"]]
    pairs = [("realistic", "realistic"), ("synthetic", "synthetic"), ("synthetic", "realistic")]
    assert rows == [(victim, *pair) for victim in ("plain", "other") for pair in pairs]
    assert [row["instances"] for row in content["rows"]] == [4, 2, 4] * 2
    assert (tmp_path / "out/plain/synthetic_on_realistic/report.html").is_file()
    page = (tmp_path / "out/study.html").read_text()
    assert '<a href="plain/realistic_report/report.html">' in page and page.count("not known") == 6 * 4
    for words in ("Threat model", "white box", "plain (score 0.001)", "0, 1", "25.4 x 25.4 cm, bottom", "Not valid"):
        assert words in page
    stamp = (tmp_path / "out/plain/realistic/seed_0/patch.png").stat().st_mtime_ns
    capsys.readouterr()
    again = path.read_text().replace('cross = (("synthetic", "realistic"),)', "").replace(", other=detector", "")
    again = again.replace('"test.json", table="test.csv"', '"train.json", table="train.csv", limit=3')
    again = again.replace('"test.json", seed=9', '"train.json", rotation=14.0')  # the same classes
    path.write_text(again.replace('goal="hide"', 'goal="hide", scope="per_class"'))
    assert main(["attack", "study", str(path), "--out", str(tmp_path / "out")]) == 0
    assert len(json.loads((tmp_path / "out/study.json").read_text())["rows"]) == 2
    assert len(json.loads((tmp_path / "out/plain/realistic/seed_0/patch.json").read_text())["keys"]) > 1
    assert "excess" in capsys.readouterr().out
    assert (tmp_path / "out/plain/realistic/seed_0/patch.png").stat().st_mtime_ns != stamp  # other random weights


def study_row(**values: float | None) -> dict:
    def rate(value):
        return {"asr": {"value": value, "low": 0.0, "high": 1.0}}

    report = {
        "instances": 10,
        "detected_clean": 8,
        "valid": False,
        "metric_clean": {"AP50": 0.8},
        "conditions": {name.replace("_", " "): rate(value) for name, value in values.items()},
    }
    (row,) = study_rows([{"victim": "v", "crafted": "a", "measured": "b", "report": report}])
    return row


def test_the_table_of_a_study_by_hand():
    row = study_row(grey=0.0, random=0.125, seed_0=0.5, seed_1=0.75)
    assert row["asr"] == 62.5 and row["excess"] == 50.0 and row["excess_worst"] == 62.5
    assert row["intervals"]["seed 1"] == [0.0, 100.0]


def test_rates_of_a_study_that_nobody_knows_are_not_zero():
    content = {"rows": [study_row(grey=None, random=None, seed_0=None)], "cuts": []}
    assert "| v | a | b | 10 | 8 (too few) | 0.800 | - | - | - (-) | - |" in markdown(content)
    assert study_page(content).count("not known") == 3
