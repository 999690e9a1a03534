"""Muon against its definition: equal singular values, AdamW for the rest."""

from __future__ import annotations

import pytest
import torch

from perception.engine.muon import ConvMuon, orthogonal
from perception.errors import PerceptionError


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (8, 8)])
def test_directions_get_about_the_same_length(shape: tuple[int, int]):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert values.min() > 0.3 and values.max() < 1.3
    product = (orthogonal(matrix) * (left @ right)).sum() / min(shape)  # the nearest matrix with equal values
    assert product > 0.6


def test_filters_turn_and_the_rest_adapts():
    bank = torch.nn.Parameter(torch.zeros(4, 2, 3, 3))
    rest = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((3,), (5, 1, 3, 3), (1, 4, 1, 1))]
    copies = [torch.nn.Parameter(part.detach().clone()) for part in rest]
    ours, adam = ConvMuon([bank, *rest], lr=0.1), torch.optim.AdamW(copies, lr=0.1, weight_decay=1e-2)
    generator = torch.Generator().manual_seed(1)
    for step in range(3):
        bank.grad = torch.randn(bank.shape, generator=generator)
        for part, copy in zip(rest, copies):
            part.grad = torch.randn(part.shape, generator=generator)
            copy.grad = part.grad.clone()
        ours.step()
        adam.step()
        if step == 0:  # Nesterov's first direction is the gradient's; 0.2 * sqrt(18) times values near 1
            values = torch.linalg.svdvals(bank.detach().flatten(1)) / (0.1 * 0.2 * 18**0.5)
            assert values.min() > 0.3 and values.max() < 1.3
            assert (bank * bank.grad).sum() < 0
    for part, copy in zip(rest, copies):
        torch.testing.assert_close(part, copy)


def test_it_resumes():
    def run(steps: int, optimizer: ConvMuon, weight: torch.nn.Parameter) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            ((weight - 1) ** 2).sum().backward()
            optimizer.step()

    whole, halves = (torch.nn.Parameter(torch.zeros(3, 4)) for _ in range(2))
    run(4, ConvMuon([whole], lr=0.05), whole)
    first = ConvMuon([halves], lr=0.05)
    run(2, first, halves)
    second = ConvMuon([halves], lr=0.05)
    second.load_state_dict(first.state_dict())
    run(2, second, halves)
    torch.testing.assert_close(whole, halves, rtol=0, atol=0)
    with pytest.raises(PerceptionError, match=r"momentum=1\.5"):
        ConvMuon([whole], momentum=1.5)
