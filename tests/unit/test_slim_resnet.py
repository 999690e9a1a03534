"""The small ResNet: torchvision's keys, freezing, and the refusal to train frozen random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision

from perception.errors import PerceptionError
from perception.nn.resnet import ResNet


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_keys_and_shapes_are_those_of_torchvision(depth: int):
    with torch.device("meta"):
        ours = ResNet(depth).state_dict()
        theirs = getattr(torchvision.models, f"resnet{depth}")().state_dict()
    assert {key: tuple(value.shape) for key, value in ours.items()} == {
        key: tuple(value.shape) for key, value in theirs.items() if not key.startswith("fc.")
    }


def test_maps_equal_torchvision():
    ours, theirs = ResNet(18).eval(), torchvision.models.resnet18().eval()
    theirs.load_state_dict(ours.state_dict(), strict=False)
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        maps = ours(x)
        y = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
        for stage, found in enumerate(maps, start=1):
            y = getattr(theirs, f"layer{stage}")(y)
            torch.testing.assert_close(found, y)


def test_frozen_stages_keep_weights_and_statistics():
    model = ResNet(18, base_width=8, frozen_stages=1).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    sum(out.sum() for out in model(torch.randn(2, 3, 32, 32))).backward()
    assert model.layer1[0].conv1.weight.grad is None
    assert model.layer2[0].conv1.weight.grad is not None
    assert torch.equal(model.bn1.running_mean, before["bn1.running_mean"])
    assert not torch.equal(model.layer2[0].bn1.running_mean, before["layer2.0.bn1.running_mean"])


def test_pretrained_file_is_loaded_and_missing_one_is_named(tmp_path: Path):
    source = ResNet(18, base_width=8)
    path = tmp_path / "backbone.pth"
    torch.save({**source.state_dict(), "fc.weight": torch.zeros(2, 2)}, path)
    model = ResNet(18, base_width=8, frozen_stages=1, pretrained=str(path))
    with pytest.raises(PerceptionError, match=r"backbone\.pth"):
        model.check_frozen()
    model.init_weights()
    model.check_frozen()
    assert torch.equal(model.conv1.weight, source.conv1.weight)
    with pytest.raises(PerceptionError, match=r"absent\.pth"):
        ResNet(18, base_width=8, pretrained=str(tmp_path / "absent.pth")).init_weights()
    with pytest.raises(PerceptionError, match="not weights of this ResNet-34"):
        ResNet(34, base_width=8, pretrained=str(path)).init_weights()
