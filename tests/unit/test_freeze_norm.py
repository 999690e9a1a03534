"""Batch norm stops following the batches at its step, and its factors go on learning."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from perception.engine.hooks import FreezeNorm
from perception.errors import PerceptionError


def test_statistics_follow_and_then_stay():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sequential(nn.BatchNorm2d(4)))
    runner = SimpleNamespace(model=model, iter=0, max_iters=4)
    hook, means = FreezeNorm(after=0.5), []
    for runner.iter in range(4):
        model.train()  # as a loop does after a validation
        hook.before_train_iter(runner, runner.iter)
        model(torch.randn(2, 3, 4, 4)).sum().backward()
        means.append(model[1].running_mean.clone())
    assert not torch.equal(means[0], means[1])
    assert torch.equal(means[1], means[2]) and torch.equal(means[2], means[3])
    assert model[0].training and not model[2][0].training
    assert model[2][0].weight.grad is not None
    with pytest.raises(PerceptionError, match="within"):
        FreezeNorm(after=1.5)
