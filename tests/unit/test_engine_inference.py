"""Networks made ready to run: the same results, norms gone, gradients to the input kept."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from perception.engine.inference import ready_to_run


class _Own(nn.Module):
    """A module that folds its norm itself."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.folded = 2.0, 0

    def fold_norm(self) -> None:
        self.folded += 1

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.BatchNorm2d(8))
    deep = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8))
    model = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), inner, deep, _Own())
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -1, 1)
    return model


def test_results_are_those_of_before():
    model, image = _network().eval(), torch.randn(2, 3, 16, 24)
    before = model(image)
    ready = ready_to_run(model)
    assert ready is model
    assert torch.allclose(model(image), before, rtol=1e-5, atol=1e-5)


def test_norms_behind_convolutions_are_gone_and_others_stay():
    model = ready_to_run(_network().to(memory_format=torch.channels_last))
    norms = [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms == ["3.3"]
    assert model[5].folded == 1
    assert not any(module.training for module in model.modules())
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert model[3][0].dilation == (2, 2) and model[0].dilation == model[4][0].dilation == (1, 1)


def test_gradients_reach_the_input():
    model, image = ready_to_run(_network()), torch.randn(1, 3, 8, 8, requires_grad=True)
    model(image).sum().backward()
    assert image.grad is not None and image.grad.abs().sum() > 0
