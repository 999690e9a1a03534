"""Every config builds; the tiny model learns, runs as a stage, and refuses what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from perception.cli import main
from perception.cli.convert import convert_checkpoint
from perception.engine.checkpoint import save_weights
from perception.engine.config import load_config
from perception.engine.pipeline import Pipeline
from perception.errors import PerceptionError
from perception.plugins.lane_detection import PLUGIN, components
from perception.plugins.lane_detection.differentiable import network_input
from perception.registry import MODELS
from perception.structures import Calibration, Frame, Provenance

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
TINY = CONFIGS / "lane_detection" / "ganet_tiny_sim.py"
PARAMETERS = {"ganet_small": 20_787_972, "ganet_medium": 30_896_132, "ganet_large": 61_620_520}
"""Spec ganet section 1."""


def tiny() -> torch.nn.Module:
    torch.manual_seed(0)
    return MODELS.build(load_config(TINY).model)


def road(seed: int, size: tuple[int, int] = (640, 360)) -> dict:
    """A grey image with two painted lanes."""
    import cv2

    width, height = size
    image = np.random.default_rng(seed).integers(60, 90, (height, width, 3)).astype(np.uint8)
    y = np.linspace(height - 1, 0.45 * height, 20)
    lanes = [np.stack([width / 2 + side * (y - 0.4 * height) * 0.8, y], axis=1) for side in (-1, 1)]
    for lane in lanes:
        cv2.polylines(image, [lane.round().astype(np.int32)[:, None]], False, (240, 240, 240), 6)
    return {"img": image, "lanes": lanes, "gt_lanes": lanes, "name": "road", "image_size": size}


def frame(image: np.ndarray) -> Frame:
    return Frame(
        timestamp_ns=0,
        index=0,
        images={"front": image},
        clouds={},
        calibration=Calibration({}, {}),
        ego_pose=None,
        truth={},
        faults=(),
        provenance=Provenance("test", "test", ""),
    )


def test_the_plugin_lists_exactly_the_shipped_configs():
    shipped = {path.relative_to(CONFIGS).as_posix() for path in (CONFIGS / "lane_detection").glob("*.py")}
    assert set(PLUGIN.configs) == shipped
    assert components.__name__ in PLUGIN.modules


@pytest.mark.parametrize("name", PLUGIN.configs)
def test_config_builds(name: str):
    config = load_config(CONFIGS / name)
    with torch.device("meta"):
        model = MODELS.build(config.model)
    count = sum(parameter.numel() for parameter in model.parameters())
    published = [value for prefix, value in PARAMETERS.items() if prefix in name]
    assert count == published[0] if published else count < 3_000_000, count
    pipeline = Pipeline(config.test_pipeline)
    packed = pipeline({"img": np.zeros((590, 1640, 3), np.uint8), "image_size": (1640, 590)})
    width, height = packed["data_samples"]["input_size"]
    assert packed["inputs"].shape == (3, height, width)
    training = Pipeline(
        [*config.train_pipeline[:-1], dict(type="LaneTargets", **targets(config)), {"type": "PackLanes"}]
    )
    sample = training(road(0, (1640, 590)))
    assert sample["data_samples"]["keypoint_hm"].shape == (
        1,
        height // model.decode.stride,
        width // model.decode.stride,
    )
    assert config.base_batch_size > 0


def targets(config: Config) -> dict:
    found = config.train_dataloader.dataset.targets
    assert found.stride == config.model.decode.stride
    assert found.sample_count == config.model.sample_count
    return dict(found)


def test_a_few_steps_lower_the_loss():
    config, model = load_config(TINY), tiny().train()
    steps = [*config.test_pipeline[:-1], dict(type="LaneTargets", **targets(config)), config.test_pipeline[-1]]
    batch = [Pipeline(steps)(road(seed)) for seed in range(2)]
    inputs, samples = [item["inputs"] for item in batch], [item["data_samples"] for item in batch]
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    history = []
    for _ in range(12):
        losses = model(inputs, samples, mode="loss")
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append(sum(losses.values()).item())
    assert all(np.isfinite(history))
    assert history[-1] < 0.6 * history[0], history


def test_training_frozen_random_layers_is_refused():
    config = load_config(CONFIGS / "lane_detection/ganet_small_culane.py")
    with torch.device("meta"):
        model = MODELS.build(config.model)
    with pytest.raises(PerceptionError, match="torchvision://resnet18"):
        model.train().loss(torch.zeros(1, 3, 32, 32), [])


def stage(weights: Path | None = None):
    from perception.plugins.lane_detection.stage import LaneDetectionStage

    return LaneDetectionStage(config=TINY, weights=weights)


def test_stage_maps_lanes_into_images_of_any_size(tmp_path: Path):
    lanes = stage()
    lanes.model.predict = lambda maps, samples: [  # type: ignore[method-assign]
        {
            "lanes": [np.reshape(sample["crop"], (2, 2)).astype(np.float32)] * 2,
            "scores": np.array([0.3, 0.6], np.float32),
        }
        for sample in samples
    ]
    for width, height in ((1640, 590), (333, 777), (64, 48)):
        result = lanes(frame(np.zeros((height, width, 3), np.uint8)), {})
        assert result.image_size == (width, height)
        assert result.lanes[0].tolist() == [[width, height], [0, round(0.35 * height)]], "bottom first"
        assert result.scores.tolist() == pytest.approx([0.6, 0.3]), "best first"


def test_stage_accepts_blank_images_and_names_what_is_wrong_with_others():
    lanes = stage()
    assert lanes(frame(np.zeros((360, 640, 3), np.uint8)), {}).image_size == (640, 360)
    with pytest.raises(PerceptionError, match="too small"):
        lanes.detect(np.zeros((1, 1, 3), np.uint8))
    with torch.no_grad():
        lanes.model.bbox_head.keypts_head.hm[2].bias.fill_(float("nan"))
    with pytest.raises(PerceptionError, match="keypoint_logit holds values that are not finite"):
        lanes(frame(np.zeros((360, 640, 3), np.uint8)), {})


def test_stage_describes_its_weights_and_refuses_others(tmp_path: Path):
    state = tiny().state_dict()
    save_weights(tmp_path / "good.safetensors", state, {"trained_on": "simulator"}, half=True)
    described = stage(tmp_path / "good.safetensors").describe()
    assert described["trained_on"] == "simulator"
    assert len(described["weights_sha256"]) == 64
    state["backbone.conv1.weight"] = torch.zeros(1, 3, 7, 7)
    del state["bbox_head.reg_head.offset_map.2.bias"]
    save_weights(tmp_path / "bad.safetensors", state)
    with pytest.raises(PerceptionError, match=r"(?s), 3, 7, 7\), found \(1, 3, 7, 7\).*1 missing.*reg_head"):
        stage(tmp_path / "bad.safetensors")


def test_converting_a_published_layout(tmp_path: Path):
    state = {f"module.{key}": value for key, value in tiny().state_dict().items()}
    state["module.bbox_head.centerpts_head.hm.0.weight"] = torch.zeros(1)
    torch.save({"meta": {"epoch": 1}, "state_dict": state}, tmp_path / "published.pth")
    report = convert_checkpoint(tmp_path / "published.pth", TINY, tmp_path / "ours.safetensors")
    assert report.unused == ("bbox_head.centerpts_head.hm.0.weight",)
    assert report.missing == ()
    assert stage(tmp_path / "ours.safetensors").describe()["trained_on"] == "published checkpoint"
    with pytest.raises(PerceptionError, match="not a checkpoint for"):
        convert_checkpoint(tmp_path / "published.pth", CONFIGS / "lane_detection/ganet_small_culane.py", tmp_path / "x")


def test_the_convert_command_says_what_it_did_and_writes_nothing_that_does_not_fit(tmp_path: Path, capsys):
    torch.save(tiny().state_dict(), tmp_path / "published.pth")
    arguments = ["convert", str(tmp_path / "published.pth"), "--config"]
    assert main([*arguments, "lane_detection/ganet_tiny_sim.py"]) == 0
    assert "missing: 0" in capsys.readouterr().out
    out = tmp_path / "x.safetensors"
    assert main([*arguments, "lane_detection/ganet_small_culane.py", "--out", str(out)]) == 2
    assert "not a checkpoint for" in capsys.readouterr().err and not out.exists()
    assert main(["convert", str(tmp_path / "published.safetensors"), *arguments[2:], str(TINY)]) == 2
    assert "--out" in capsys.readouterr().err
    assert main([*arguments, str(TINY), "--out", str(tmp_path / "published.pth" / "x")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_the_config_of_a_checkpoint_is_found_by_its_tensors(tmp_path: Path, capsys):
    state = {**tiny().state_dict(), "head.unused": torch.zeros(1)}
    torch.save({key: value for key, value in state.items() if "num_batches" not in key}, tmp_path / "published.pth")
    assert main(["convert", str(tmp_path / "published.pth"), "--plugin", "lane_detection"]) == 0
    told = capsys.readouterr().out
    assert "config: lane_detection/ganet_tiny_sim.py" in told and "unused: 1\n  head.unused" in told
    assert "perception test lane_detection/ganet_tiny_sim.py" in told and "perception run DRIVE --pipeline" in told
    torch.save({"backbone.conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "other.pth")
    assert main(["convert", str(tmp_path / "other.pth"), "--plugin", "lane_detection"]) == 2
    assert "fills none of" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ganet_tiny_sim", "ganet_small_culane"])
@pytest.mark.parametrize("size", [(1640, 590), (1000, 700)])
def test_tensor_pipeline_equals_the_image_pipeline(name: str, size: tuple[int, int]):
    import cv2

    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 2)
    pipeline = Pipeline(load_config(CONFIGS / f"lane_detection/{name}.py").test_pipeline)
    expected = pipeline({"img": image, "image_size": size})["inputs"]
    found = network_input(torch.from_numpy(image).float().permute(2, 0, 1)[None], pipeline)[0]
    assert (found - expected).abs().max() < 1.5 / 50, "at most rounding to whole grey levels, 1 / std"


def test_gradients_reach_the_pixels():
    lanes = stage()
    image = torch.full((1, 3, 360, 640), 90.0, requires_grad=True)
    lanes.maps_from_image(image).keypoint_logit.sum().backward()
    assert image.grad is not None
    assert image.grad[:, :, 126:].abs().sum() > 0
    assert image.grad[:, :, :126].abs().sum() == 0, "above the view"
