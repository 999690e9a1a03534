"""The numbers of a run over time, as csv, json and pictures."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from perception.engine.atomic import replacing, write_text
from perception.errors import InputError

__all__ = ["Curves", "Point"]


class Point(NamedTuple):
    """One value at one moment; `split` is ``train`` or ``val``."""

    iteration: int
    epoch: int
    split: str
    name: str
    value: float


class Curves:
    """All points of a run, in order; a resumed run goes on with those of before.

    Args:
        folder: Receives ``metrics.csv``, ``metrics.json`` and ``curves.png``.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.points: list[Point] = []

    def add(self, iteration: int, epoch: int, split: str, values: Mapping[str, float]) -> None:
        """Append one point per value."""
        self.points += [Point(iteration, epoch, split, name, float(value)) for name, value in values.items()]

    def load(self, until: int) -> None:
        """Take over the points that an interrupted run wrote, up to iteration `until`.

        Raises:
            InputError: ``metrics.csv`` is not what this class writes.
        """
        path = self.folder / "metrics.csv"
        if not path.is_file():
            return
        try:
            with open(path, newline="") as file:
                rows = [Point(int(i), int(e), s, n, float(v)) for i, e, s, n, v in list(csv.reader(file))[1:]]
        except ValueError as error:
            raise InputError(path, "", "rows of " + ",".join(Point._fields), str(error)) from error
        self.points = [row for row in rows if row.iteration <= until]

    def write(self) -> None:
        """Replace the csv and the json file."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([Point._fields, *self.points])
        write_text(self.folder / "metrics.csv", text.getvalue())
        write_text(self.folder / "metrics.json", json.dumps(self.summary(), indent=1))

    def summary(self) -> dict[str, Any]:
        """``split/name`` -> last, smallest and largest finite value with their iterations, and the number of points."""
        result: dict[str, Any] = {}
        for key, points in self._series().items():
            finite = [point for point in points if math.isfinite(point.value)]
            entry: dict[str, Any] = {"points": len(points), "not_finite": len(points) - len(finite)}
            if finite:
                chosen = {"last": finite[-1], "min": min(finite, key=_value), "max": max(finite, key=_value)}
                entry |= {name: {"value": p.value, "iteration": p.iteration} for name, p in chosen.items()}
            result[key] = entry
        return result

    def draw(self) -> None:
        """Replace the picture: panels for losses, learning rate, other training values, and validation scores."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        panels: dict[str, list[str]] = {}
        series = self._series()
        for key in series:
            panels.setdefault(_panel(key), []).append(key)
        if not panels:
            return
        figure = Figure(figsize=(7, 3.2 * len(panels)))
        FigureCanvasAgg(figure)
        figure.subplots_adjust(left=0.1, right=0.97, top=0.97, bottom=0.04, hspace=0.3)
        for index, (title, keys) in enumerate(panels.items()):
            axes = figure.add_subplot(len(panels), 1, index + 1)
            for key in keys:
                x, y = [point.iteration for point in series[key]], [point.value for point in series[key]]
                axes.plot(
                    x, y, label=key.partition("/")[2], linewidth=1, marker="o" if len(x) < 30 else None, markersize=3
                )
            axes.set_title(title, fontsize=10)
            axes.legend(fontsize=7, loc="best")
            axes.grid(alpha=0.3)
        with replacing(self.folder / "curves.png") as temporary:
            figure.savefig(temporary, format="png", dpi=80)

    def _series(self) -> dict[str, list[Point]]:
        series: dict[str, list[Point]] = {}
        for point in self.points:
            series.setdefault(f"{point.split}/{point.name}", []).append(point)
        return series


def _value(point: Point) -> float:
    return point.value


def _panel(key: str) -> str:
    split, _, name = key.partition("/")
    if split == "val":
        return "validation"
    if "loss" in name:
        return "training loss"
    return {"lr": "learning rate", "grad_norm": "gradient norm"}.get(name, "training")
