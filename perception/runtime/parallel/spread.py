"""Stages of a pipeline spread over devices by the time and memory that they were measured to take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from perception.runtime.config import PipelineConfig, StageConfig
from perception.runtime.parallel.placement import Cost, Room, plan
from perception.runtime.stage import Stage

__all__ = ["spread_stages"]


def spread_stages(
    config: PipelineConfig,
    rooms: Sequence[Room],
    build: Callable[[StageConfig, str], Stage],
    allocated: Callable[[str], float] | None = None,
    report: Callable[[str], None] = print,
) -> PipelineConfig:
    """Choose a device for every stage whose config says ``auto``, and print the plan.

    Each of them is built on the first device and warmed up twice; the second time and the memory that it took are its
    cost.

    Args:
        config: Checked pipeline.
        rooms: Devices to choose from.
        build: Makes a stage on a device.
        allocated: Megabytes in use on a device; None asks torch.
        report: Gets the plan as text.

    Returns:
        The pipeline with devices in place of ``auto``.

    Raises:
        PerceptionError: No device has room for a stage.
    """
    used = allocated or _allocated
    costs: dict[str, Cost] = {}
    for stage in config.stages:
        if stage.device != "auto":
            continue
        before = used(rooms[0].name)
        built = build(stage, rooms[0].name)
        built.warmup()
        began = time.perf_counter()
        built.warmup()
        costs[stage.name] = Cost(1e3 * (time.perf_counter() - began), max(used(rooms[0].name) - before, 0.0))
        del built
    made = plan(costs, rooms)
    report(made.table())
    stages = tuple(replace(stage, device=made.devices.get(stage.name, stage.device)) for stage in config.stages)
    return replace(config, stages=stages)


def _allocated(device: str) -> float:
    if not device.startswith("cuda"):
        return 0.0
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) / 2**20
