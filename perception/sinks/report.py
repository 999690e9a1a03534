"""``report.html``: what a run did, on one self-contained page."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perception.sinks import charts
from perception.sinks.storage import write_file

__all__ = ["report_html", "write_report_html"]

Thumbnail = tuple[str, np.ndarray]

_STYLE = """
:root{--ink:#1c2330;--soft:#5d6778;--line:#dfe3ea;--card:#fff;--page:#f4f6f9;--accent:#0b6bcb}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa5b5;--line:#323a47;--card:#1c222c;--page:#12161d;
--accent:#5aaeff}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}h1{font-size:26px;margin:0 0 2px;overflow-wrap:anywhere}
h2{font-size:18px;margin:34px 0 12px}.soft{color:var(--soft);overflow-wrap:anywhere}
.cards{display:flex;flex-wrap:wrap;gap:12px;margin-top:18px}.card{background:var(--card);border:1px solid var(--line);
border-radius:10px;padding:12px 16px;min-width:130px;flex:1}.card b{display:block;font-size:22px;line-height:1.25}
.card span{color:var(--soft);font-size:13px}.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);
border-radius:10px}table{border-collapse:collapse;width:100%}th,td{padding:7px 12px;text-align:left;
border-bottom:1px solid var(--line);vertical-align:top}th{font-weight:600;color:var(--soft);font-size:13px}
tr:last-child td{border-bottom:0}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.notice{border-left:5px solid #e39b00;background:#e39b0022;padding:11px 16px;border-radius:6px;margin:18px 0 0}
.thumbs{display:grid;grid-template-columns:repeat(auto-fill,minmax(330px,1fr));gap:12px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;overflow:hidden}
figure img{display:block;width:100%}figcaption{padding:6px 12px;color:var(--soft);font-size:13px}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(430px,1fr));gap:12px}
.charts>div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font-size:11px}
code{font-size:13px;overflow-wrap:anywhere}
"""


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
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def _text(value: Any) -> str:
    if isinstance(value, float):
        value = f"{value:.4g}"
    return html.escape("" if value is None else str(value))


def _number(value: Any, digits: int = 1) -> str:
    return f"{value:,.{digits}f}" if isinstance(value, int | float) else "&ndash;"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """A table of cells that are html already; the columns in ``numeric`` are set to the right."""

    def line(tag: str, cells: Sequence[str]) -> str:
        classes = [' class="n"' if i in numeric else "" for i in range(len(cells))]
        return "<tr>" + "".join(f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in zip(classes, cells)) + "</tr>"

    body = "".join(line("td", row) for row in rows)
    return f'<div class="scroll"><table>{line("th", header)}{body}</table></div>'


def _head(title: str, report: Mapping[str, Any]) -> str:
    span = " &ndash; ".join(_text(report[key]) for key in ("started", "finished") if report.get(key))
    return f'<h1>{_text(title)}</h1><div class="soft">{span}</div>'


def _notices(report: Mapping[str, Any]) -> str:
    out = []
    stages = report.get("stages", {})
    simulated = [name for name, stage in stages.items() if "simulat" in str(stage.get("trained_on", "")).lower()]
    if simulated:
        out.append(
            f"<b>Weights trained on simulated data only:</b> {_text(', '.join(simulated))}. Expect worse results on "
            "real recordings than on simulated ones; train on data of your own before relying on them."
        )
    frames = report.get("frames", {})
    if frames.get("done", 0) < frames.get("total", 0):
        out.append(f"<b>Not complete:</b> {_text(frames['done'])} of {_text(frames['total'])} frames are done.")
    return "".join(f'<div class="notice">{notice}</div>' for notice in out)


def _cards(report: Mapping[str, Any]) -> str:
    frames = report.get("frames", {})
    faults = sum(int(fault.get("count", 1)) for fault in report.get("faults", []))
    cards = [
        (_number(frames.get("done"), 0), f"of {_number(frames.get('total'), 0)} frames"),
        (_number(frames.get("skipped", 0), 0), "frames skipped"),
        (_number(sum(int(stage.get("results", 0)) for stage in report.get("stages", {}).values()), 0), "results"),
        (_number(faults, 0), "faults"),
        (_number(report.get("throughput_fps")), "frames per second"),
        (_number(report.get("warmup_s")) + " s", "warm-up"),
    ]
    return (
        '<div class="cards">'
        + "".join(f'<div class="card"><b>{a}</b><span>{b}</span></div>' for a, b in cards)
        + "</div>"
    )


def _stages(report: Mapping[str, Any]) -> str:
    rows = []
    for name, stage in report.get("stages", {}).items():
        latency = stage.get("latency_ms", {})
        weights = _text(stage.get("weights") or "none")
        if stage.get("weights_sha256"):
            weights += f"<br><code>{_text(str(stage['weights_sha256'])[:16])}</code>"
        if stage.get("trained_on"):
            weights += f"<br>trained on: {_text(stage['trained_on'])}"
        figures = [_number(latency.get(key)) for key in ("mean", "p50", "p95", "p99", "max")]
        about = [_text(stage.get(key)) for key in ("kind", "plugin")]
        rows.append([f"<b>{_text(name)}</b>", *about, weights, _number(stage.get("results", 0), 0), *figures])
    header = ["Stage", "Result", "Plugin", "Weights", "Results", "mean ms", "p50", "p95", "p99", "max"]
    return f"<h2>Stages</h2>{_table(header, rows, range(4, 10))}" if rows else ""


def _charts(report: Mapping[str, Any]) -> str:
    series = report.get("series", {})
    parts = []
    for number, (stage, values) in enumerate(series.get("latency_ms", {}).items()):
        marks = {key: report.get("stages", {}).get(stage, {}).get("latency_ms", {}).get(key) for key in charts.MARKS}
        svg = charts.line_chart(values, marks, number)
        parts.append(f"<div><b>{_text(stage)}</b>: latency in ms over the drive{svg}</div>")
    for number, (stage, values) in enumerate(series.get("counts", {}).items()):
        kind = _text(report.get("stages", {}).get(stage, {}).get("kind", "results"))
        svg = charts.histogram(values, number)
        parts.append(f"<div><b>{_text(stage)}</b>: frames by number of {kind}{svg}</div>")
    return f'<h2>Over the drive</h2><div class="charts">{"".join(parts)}</div>' if parts else ""


def _thumbnails(thumbnails: Sequence[Thumbnail]) -> str:
    import cv2

    figures = []
    for caption, picture in thumbnails:
        _, data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
        source = "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
        figures.append(
            f'<figure><img alt="{_text(caption)}" src="{source}"><figcaption>{_text(caption)}</figcaption></figure>'
        )
    return f'<h2>Pictures</h2><div class="thumbs">{"".join(figures)}</div>' if figures else ""


def _scores(report: Mapping[str, Any]) -> str:
    rows = [[_text(name), _text(value)] for name, value in _flat(report.get("scores") or {})]
    return f"<h2>Scores against ground truth</h2>{_table(['Metric', 'Value'], rows, [1])}" if rows else ""


def _faults(report: Mapping[str, Any]) -> str:
    faults = report.get("faults", [])
    if not faults:
        return '<h2>Faults</h2><div class="soft">None.</div>'
    ordered = sorted(faults, key=lambda fault: (str(fault.get("where")), str(fault.get("kind"))))
    rows = [
        [_text(fault.get("where")), _text(fault.get("kind")), _number(fault.get("count", 1), 0)]
        + [_text(fault.get("first_index")), _text(fault.get("message"))]
        for fault in ordered
    ]
    return f"<h2>Faults</h2>{_table(['Where', 'Kind', 'Count', 'First frame', 'First message'], rows, [2, 3])}"


def _versions(report: Mapping[str, Any]) -> str:
    rows = [["config hash", f"<code>{_text(report['config_hash'])}</code>"]] if report.get("config_hash") else []
    rows += [[_text(name), _text(value)] for name, value in _flat(report.get("versions") or {})]
    return f"<h2>Made with</h2>{_table(['What', 'Version'], rows)}" if rows else ""


def _flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Leaves of nested mappings with their keys joined by dots."""
    out: list[tuple[str, Any]] = []
    for key, value in tree.items():
        out += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return out
