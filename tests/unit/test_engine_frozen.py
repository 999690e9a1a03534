"""Frozen layers and the weights that they need."""

from __future__ import annotations

import pytest
import torch

from perception.engine.checkpoint import save_weights
from perception.errors import PerceptionError
from perception.nn.resnet import ResNet
from perception.registry import MODELS
from tests.fixtures.toy_training import ToyModel, plain_configs, run  # noqa: F401


@MODELS.register_module()
class ToyWithBackbone(ToyModel):
    """The toy with a backbone beside it, which it does not use."""

    def __init__(self, backbone) -> None:
        super().__init__(plain=True)
        self.backbone = MODELS.build(backbone)


def model(**backbone) -> dict:
    return {"type": "ToyWithBackbone", "backbone": {"type": "SlimResNet", "depth": 10, "base_width": 8, **backbone}}


def test_frozen_layers_without_weights_are_refused_and_the_file_is_named(tmp_path):
    with pytest.raises(PerceptionError, match=r"backbone freezes 1 stages .* no file is configured(?s:.)*checkpoints"):
        run(tmp_path, model=model(frozen_stages=1))
    with pytest.raises(PerceptionError, match=r"looked for .*absent\.pth"):
        run(tmp_path, model=model(frozen_stages=1, pretrained=str(tmp_path / "absent.pth")))


def test_mmdet_backbones_are_looked_at_too(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    content = {"type": "mmdet.ResNet", "depth": 18, "base_channels": 8, "frozen_stages": 1}
    toy = {"type": "ToyWithBackbone", "backbone": content}
    with pytest.raises(PerceptionError, match="backbone freezes 1 stages but has random weights"):
        run(tmp_path, model=toy)
    content["init_cfg"] = {"type": "Pretrained", "checkpoint": str(tmp_path / "absent.pth")}
    with pytest.raises(PerceptionError, match=r"absent\.pth can not be found.*hub/checkpoints"):
        run(tmp_path, model=toy)


def test_weights_from_anywhere_make_frozen_layers_welcome(tmp_path):
    torch.save(ResNet(10, base_width=8).state_dict(), tmp_path / "backbone.pth")
    assert run(tmp_path / "a", model=model(frozen_stages=1, pretrained=str(tmp_path / "backbone.pth"))).iter == 12
    start = tmp_path / "start.safetensors"
    save_weights(start, MODELS.build(model()).state_dict())
    assert run(tmp_path / "b", model=model(frozen_stages=1), load_from=str(start)).iter == 12
    assert run(tmp_path / "c", model=model()).iter == 12, "nothing frozen, nothing needed"
