"""``report.html``: what a run did, on one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perception.sinks import charts
from perception.sinks.page import cards, document, flat, number, picture, table, text
from perception.sinks.storage import write_file

__all__ = ["report_html", "write_report_html"]

Thumbnail = tuple[str, np.ndarray]


def write_report_html(path: str | Path, report: Mapping[str, Any], thumbnails: Sequence[Thumbnail] = ()) -> None:
    """Write :func:`report_html` to ``path``.

    Raises:
        PerceptionError: The disk is full or not writable.
    """
    write_file(Path(path), report_html(report, thumbnails).encode())


def report_html(report: Mapping[str, Any], thumbnails: Sequence[Thumbnail] = ()) -> str:
    """Build the page.

    It contains no script and refers to nothing outside itself; every text of the report is escaped.

    Args:
        report: Content of ``report.json``; keys that are absent leave their part of the page out.
        thumbnails: (caption, (H, W, 3) uint8 RGB) pictures, in order of time.

    Returns:
        The html document.
    """
    title = f"{report.get('pipeline', 'pipeline')} on {report.get('drive', 'drive')}"
    sections = [
        _head(title, report),
        _notices(report),
        _cards(report),
        _stages(report),
        _charts(report),
        _thumbnails(thumbnails),
        _scores(report),
        _faults(report),
        _versions(report),
    ]
    return document(title, sections)


def _head(title: str, report: Mapping[str, Any]) -> str:
    span = " &ndash; ".join(text(report[key]) for key in ("started", "finished") if report.get(key))
    return f'<h1>{text(title)}</h1><div class="soft">{span}</div>'


def _notices(report: Mapping[str, Any]) -> str:
    out = []
    stages = report.get("stages", {})
    simulated = [name for name, stage in stages.items() if "simulat" in str(stage.get("trained_on", "")).lower()]
    if simulated:
        out.append(
            f"<b>Weights trained on simulated data only:</b> {text(', '.join(simulated))}. Expect worse results on "
            "real recordings than on simulated ones; train on data of your own before relying on them."
        )
    frames = report.get("frames", {})
    if frames.get("done", 0) < frames.get("total", 0):
        out.append(f"<b>Not complete:</b> {text(frames['done'])} of {text(frames['total'])} frames are done.")
    return "".join(f'<div class="notice">{notice}</div>' for notice in out)


def _cards(report: Mapping[str, Any]) -> str:
    frames = report.get("frames", {})
    faults = sum(int(fault.get("count", 1)) for fault in report.get("faults", []))
    figures = [
        (number(frames.get("done"), 0), f"of {number(frames.get('total'), 0)} frames"),
        (number(frames.get("skipped", 0), 0), "frames skipped"),
        (number(sum(int(stage.get("results", 0)) for stage in report.get("stages", {}).values()), 0), "results"),
        (number(faults, 0), "faults"),
        (number(report.get("throughput_fps")), "frames per second"),
        (number(report.get("warmup_s")) + " s", "warm-up"),
    ]
    return cards(figures)


def _stages(report: Mapping[str, Any]) -> str:
    rows = []
    for name, stage in report.get("stages", {}).items():
        latency = stage.get("latency_ms", {})
        weights = text(stage.get("weights") or "none")
        if stage.get("weights_sha256"):
            weights += f"<br><code>{text(str(stage['weights_sha256'])[:16])}</code>"
        if stage.get("trained_on"):
            weights += f"<br>trained on: {text(stage['trained_on'])}"
        figures = [number(latency.get(key)) for key in ("mean", "p50", "p95", "p99", "max")]
        about = [text(stage.get(key)) for key in ("kind", "plugin")]
        rows.append([f"<b>{text(name)}</b>", *about, weights, number(stage.get("results", 0), 0), *figures])
    header = ["Stage", "Result", "Plugin", "Weights", "Results", "mean ms", "p50", "p95", "p99", "max"]
    return f"<h2>Stages</h2>{table(header, rows, range(4, 10))}" if rows else ""


def _charts(report: Mapping[str, Any]) -> str:
    series = report.get("series", {})
    parts = []
    for index, (stage, values) in enumerate(series.get("latency_ms", {}).items()):
        marks = {key: report.get("stages", {}).get(stage, {}).get("latency_ms", {}).get(key) for key in charts.MARKS}
        svg = charts.line_chart(values, marks, index)
        parts.append(f"<div><b>{text(stage)}</b>: latency in ms over the drive{svg}</div>")
    for index, (stage, values) in enumerate(series.get("counts", {}).items()):
        kind = text(report.get("stages", {}).get(stage, {}).get("kind", "results"))
        if kind == "density_map":  # a count that changes slowly says more over time than how often it occurs
            svg = charts.line_chart(values, {}, index)
            parts.append(f"<div><b>{text(stage)}</b>: people over the drive{svg}</div>")
            continue
        svg = charts.histogram(values, index)
        parts.append(f"<div><b>{text(stage)}</b>: frames by number of {kind}{svg}</div>")
    return f'<h2>Over the drive</h2><div class="charts">{"".join(parts)}</div>' if parts else ""


def _thumbnails(thumbnails: Sequence[Thumbnail]) -> str:
    figures = []
    for caption, image in thumbnails:
        source = picture(image)
        figures.append(
            f'<figure><img alt="{text(caption)}" src="{source}"><figcaption>{text(caption)}</figcaption></figure>'
        )
    return f'<h2>Pictures</h2><div class="thumbs">{"".join(figures)}</div>' if figures else ""


def _scores(report: Mapping[str, Any]) -> str:
    rows = [[text(name), text(value)] for name, value in flat(report.get("scores") or {})]
    return f"<h2>Scores against ground truth</h2>{table(['Metric', 'Value'], rows, [1])}" if rows else ""


def _faults(report: Mapping[str, Any]) -> str:
    faults = report.get("faults", [])
    if not faults:
        return '<h2>Faults</h2><div class="soft">None.</div>'
    ordered = sorted(faults, key=lambda fault: (str(fault.get("where")), str(fault.get("kind"))))
    rows = [
        [text(fault.get("where")), text(fault.get("kind")), number(fault.get("count", 1), 0)]
        + [text(fault.get("first_index")), text(fault.get("message"))]
        for fault in ordered
    ]
    return f"<h2>Faults</h2>{table(['Where', 'Kind', 'Count', 'First frame', 'First message'], rows, [2, 3])}"


def _versions(report: Mapping[str, Any]) -> str:
    rows = [["config hash", f"<code>{text(report['config_hash'])}</code>"]] if report.get("config_hash") else []
    rows += [[text(name), text(value)] for name, value in flat(report.get("versions") or {})]
    return f"<h2>Made with</h2>{table(['What', 'Version'], rows)}" if rows else ""
