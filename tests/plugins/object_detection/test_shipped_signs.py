"""The shipped sign detector on simulated towns nobody trained on."""

from __future__ import annotations

import json

import pytest

from perception.engine.config import load_config
from perception.plugins.object_detection.dataset import CocoBoxes
from perception.plugins.object_detection.metric import BoxMetric
from perception.plugins.object_detection.stage import build_detector
from perception.sim.writers import Request, writer


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_signs_of_24_pixels_are_found_in_held_out_towns(tmp_path):
    list(writer("signs")(Request(tmp_path, 3, 8, 905_000)))
    assert json.loads((tmp_path / "annotations/signs_test.json").read_text())["annotations"]
    config = load_config("object_detection/signs_tiny_sim.py")
    model = build_detector("object_detection/signs_tiny_sim.py", "signs_tiny_sim.safetensors")
    assert sum(parameter.numel() for parameter in model.parameters()) < 3e6
    data = CocoBoxes(str(tmp_path), "annotations/signs_test.json", config.input_size, "images", config.class_names)
    metric = BoxMetric(min_side=24.0)
    for sample in (data[index] for index in range(len(data))):
        metric.process(None, model.predict(sample["inputs"][None], [sample["data_samples"]]))
    assert metric.compute_metrics(metric.results)["AP50"] > 0.75
