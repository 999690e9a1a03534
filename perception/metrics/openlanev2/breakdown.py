"""What scores are made of: per class, per frame, and precision over recall, as files to look at."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perception.metrics.openlanev2.matching import ClassCurve
from perception.sinks.storage import write_file

__all__ = ["draw_curves", "write_breakdown"]

POINTS = 200
"""At most so many points of a curve are written."""


def write_breakdown(folder: Path, report: Mapping[str, Any], curves: Mapping[str, ClassCurve]) -> None:
    """Write ``scores.json``, ``classes.csv``, ``frames.csv`` (worst first), ``curves.json`` and ``curves.png``.

    Args:
        folder: Made if need be.
        report: Of :func:`perception.metrics.openlanev2.evaluate`, with ``per_frame``.
        curves: Of :meth:`Evaluator.curves`.

    Raises:
        PerceptionError: A file cannot be written.
    """
    rows = report.get("per_frame", [])
    summary = {key: value for key, value in report.items() if key != "per_frame"}
    write_file(folder / "scores.json", json.dumps(summary, indent=1).encode())
    classes = [
        {"class": name, "true": curve.truths, "predicted": curve.predictions, "AP": curve.ap}
        for name, curve in curves.items()
    ]
    write_file(folder / "classes.csv", _csv(classes))
    write_file(folder / "frames.csv", _csv(rows))
    points = {name: _thinned(curve) for name, curve in curves.items()}
    write_file(folder / "curves.json", json.dumps(points).encode())
    write_file(folder / "curves.png", draw_curves(curves, f"OpenLane-V2 {report['version']}, {report['track']}"))


def draw_curves(curves: Mapping[str, ClassCurve], title: str) -> bytes:
    """Draw precision over recall, a panel for lanes, elements and areas each; returns a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(name.split()[0] for name in curves)) or ["nothing"]
    figure = Figure(figsize=(5.5 * len(kinds), 4.5), layout="tight")
    FigureCanvasAgg(figure)
    for column, kind in enumerate(kinds, start=1):
        axes = figure.add_subplot(1, len(kinds), column)
        for name, curve in curves.items():
            if name.split()[0] == kind and curve.truths:
                label = f"{name}: AP {curve.ap:.3f} of {curve.truths}"
                axes.plot(
                    np.append(0, curve.recall), np.append(1, curve.precision), drawstyle="steps-post", label=label
                )
        axes.set(title=f"{title}: {kind}", xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=6)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()


def _thinned(curve: ClassCurve) -> dict[str, list[float]]:
    chosen = np.unique(np.linspace(0, len(curve.recall) - 1, min(POINTS, len(curve.recall))).round().astype(int))
    arrays = {"recall": curve.recall, "precision": curve.precision, "confidence": curve.scores}
    return {name: np.asarray(array, np.float64)[chosen].round(6).tolist() for name, array in arrays.items()}


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    names = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
