"""The schedule of LaneSegNet and TopoNet against its published formula."""

from __future__ import annotations

import math

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS


class Detector(torch.nn.Module):
    """As much of a camera BEV model as the optimiser looks at: the names of its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.img_backbone = torch.nn.Linear(2, 2)
        self.img_neck = torch.nn.Linear(2, 2)
        self.pts_bbox_head = torch.nn.Linear(2, 2)


def published(iteration: int, batches: int, base: float) -> float:
    """Cosine per epoch down to base / 1000, times the warm-up factor of the first 500 iterations."""
    epoch = iteration // batches
    regular = base * 1e-3 + base * (1 - 1e-3) * (1 + math.cos(math.pi * epoch / 24)) / 2
    return regular * (1 - (1 - iteration / 500) * (1 - 1 / 3)) if iteration < 500 else regular


@pytest.mark.parametrize("batches", [600, 3515])
def test_rates_and_multipliers_of_ten_iterations(repository, batches: int):
    config = Config.fromfile(str(repository / "configs/_base_/schedule_24e.py"))
    model = Detector()
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    optimizer = wrapper.optimizer
    schedulers = []
    for item in config.param_scheduler:
        keywords = dict(item)
        schedulers.append(PARAM_SCHEDULERS.get(keywords.pop("type"))(optimizer, **keywords))
    backbone = {id(parameter) for parameter in model.img_backbone.parameters()}
    wanted = [0, 1, 10, 250, 499, 500, 501, batches - 1, batches, 5 * batches + 3]
    optimizer.step()
    for iteration in range(max(wanted) + 1):
        if iteration in wanted:
            for group in optimizer.param_groups:
                base = 2e-5 if {id(parameter) for parameter in group["params"]} <= backbone else 2e-4
                assert group["lr"] == pytest.approx(published(iteration, batches, base), rel=1e-9), iteration
                assert group["weight_decay"] == 0.01
        for scheduler in schedulers:
            if not scheduler.by_epoch or (iteration + 1) % batches == 0:
                scheduler.step()
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 6
