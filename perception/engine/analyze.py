"""Comparing runs, and what models cost."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.utils.flop_counter import FlopCounterMode

from perception.engine.curves import Curves
from perception.engine.defaults import explain_build_errors
from perception.engine.train import TrainOptions, common
from perception.errors import InputError, PerceptionError
from perception.registry import MODELS

__all__ = ["Cost", "compare_runs", "draw_runs", "model_cost", "read_run"]


class Cost(NamedTuple):
    """What one forward pass of a model takes.

    Attributes:
        parameters: Number of weights.
        gflops: 1e9 floating point operations (a multiplication and an addition are two) of the layers torch counts:
            convolutions and matrix products.
        milliseconds: Median time on the CPU with the threads torch has, or None when it was not measured.
        input_shape: Of the input.
    """

    parameters: int
    gflops: float
    milliseconds: float | None
    input_shape: tuple[int, ...]


def read_run(folder: str | Path) -> Curves:
    """The curves of a run folder.

    Raises:
        InputError: There are none.
    """
    curves = Curves(folder)
    curves.load(until=2**62)
    if not curves.points:
        raise InputError(folder, "metrics.csv", "the curves of a training run", "none")
    return curves


def compare_runs(runs: Mapping[str, Curves]) -> list[dict[str, Any]]:
    """A row for every curve: its last, smallest and largest value in every run that has it."""
    summaries = {name: curves.summary() for name, curves in runs.items()}
    keys = dict.fromkeys(key for summary in summaries.values() for key in summary)
    rows = []
    for key in keys:
        row: dict[str, Any] = {"curve": key}
        for name, summary in summaries.items():
            entry = summary.get(key, {})
            for kind in ("last", "min", "max"):
                if kind in entry:
                    row[f"{name}/{kind}"] = entry[kind]["value"]
        rows.append(row)
    return rows


def draw_runs(runs: Mapping[str, Curves], path: str | Path) -> None:
    """One panel a curve with a line for every run, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    keys = list(dict.fromkeys(f"{point.split}/{point.name}" for curves in runs.values() for point in curves.points))
    columns = min(3, max(1, len(keys)))
    rows = -(-len(keys) // columns)
    figure = Figure(figsize=(5.5 * columns, 3.2 * rows), layout="tight")
    FigureCanvasAgg(figure)
    for index, key in enumerate(keys):
        axes = figure.add_subplot(rows, columns, index + 1)
        for name, curves in runs.items():
            points = [point for point in curves.points if f"{point.split}/{point.name}" == key]
            few = len(points) < 30
            axes.plot([p.iteration for p in points], [p.value for p in points], marker="o" if few else None, label=name)
        axes.set_title(key, fontsize=10)
        axes.legend(fontsize=7)
        axes.grid(alpha=0.3)
    figure.savefig(path, format="png", dpi=80)


def model_cost(config: Config, repeats: int = 5) -> Cost:
    """Parameters, operations and latency of a config's model for one sample of the size it is made for.

    Args:
        config: Its ``example_input`` (shape of one batched input) or ``input_size`` (width, height) says how large.
        repeats: Timed passes; 0 counts on the ``meta`` device, without time or memory.

    Raises:
        PerceptionError: The config names no input size.
    """
    config = common(config, TrainOptions())
    if "example_input" in config:
        shape = tuple(config.example_input)
    elif "input_size" in config:
        shape = (1, 3, config.input_size[1], config.input_size[0])
    else:
        raise PerceptionError(f"{config.filename}: expected example_input or input_size, to know the size of the input")
    init_default_scope(config.default_scope)
    device = torch.device("cpu" if repeats else "meta")
    with explain_build_errors(config), device:
        model = MODELS.build(config.model).eval()
    inputs = torch.zeros(shape, device=device)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(inputs, mode="tensor")
    times = []
    with torch.inference_mode():
        for _ in range(repeats):
            start = time.perf_counter()
            model(inputs, mode="tensor")
            times.append(1e3 * (time.perf_counter() - start))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    median = statistics.median(times) if times else None
    return Cost(parameters, counter.get_total_flops() / 1e9, median, shape)


def cost_table(costs: Mapping[str, Cost | str]) -> Sequence[str]:
    """Lines of a table; a text stands for a model that could not be measured."""
    lines = [f"{'config':<48} {'parameters':>12} {'GFLOP':>9} {'ms':>9}  input"]
    for name, cost in costs.items():
        if isinstance(cost, str):
            lines.append(f"{name:<48} {cost}")
            continue
        elapsed = "-" if cost.milliseconds is None else f"{cost.milliseconds:.1f}"
        size = "x".join(map(str, cost.input_shape))
        lines.append(f"{name:<48} {cost.parameters:>12,} {cost.gflops:>9.2f} {elapsed:>9}  {size}")
    return lines
