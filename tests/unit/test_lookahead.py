"""Lookahead against the rule written out."""

from __future__ import annotations

import pytest
import torch

from perception.engine.lookahead import Lookahead
from perception.errors import PerceptionError


def run(steps: int, optimizer: torch.optim.Optimizer, weight: torch.Tensor) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        (weight**2).sum().backward()
        optimizer.step()


def test_slow_weights_follow_every_k_steps():
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    run(3, Lookahead([weight], {"type": "SGD", "lr": 0.1}, alpha=0.5, steps=2), weight)
    # 1 -> 0.8 -> 0.64, slow = (1 + 0.64) / 2 = 0.82; then one fast step.
    assert weight.item() == pytest.approx(0.82 * 0.8)


def test_it_resumes_and_shares_its_learning_rate():
    weights = [torch.nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2)]
    optimizers = [Lookahead([weight], {"type": "Adam", "lr": 0.05}, steps=3) for weight in weights]
    run(7, optimizers[0], weights[0])
    run(4, optimizers[1], weights[1])
    copy = torch.nn.Parameter(weights[1].detach().clone())
    again = Lookahead([copy], {"type": "Adam", "lr": 0.05}, steps=3)
    again.load_state_dict(optimizers[1].state_dict())
    run(3, again, copy)
    torch.testing.assert_close(copy, weights[0])
    again.param_groups[0]["lr"] = 0.0
    before = copy.detach().clone()
    again.steps = 100
    run(1, again, copy)
    torch.testing.assert_close(copy.detach(), before)


def test_numbers_out_of_range():
    with pytest.raises(PerceptionError, match="alpha"):
        Lookahead([torch.nn.Parameter(torch.zeros(1))], {"type": "SGD", "lr": 1.0}, alpha=0.0)
