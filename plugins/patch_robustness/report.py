"""The report of an evaluation: ``report.json``, ``instances.csv`` and one self-contained HTML page."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from perception.sinks.storage import write_file
from perception.viz import draw_result

from .evaluate import Evaluation, summary

__all__ = ["write_report"]

SCHEMA = 1
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.3em .7em;text-align:right}
td:first-child,th:first-child{text-align:left}figure{display:inline-block;margin:.5em}img{max-width:32em;width:100%}
.bar{display:inline-block;height:.8em;background:#c33;vertical-align:middle}.warn{background:#fdd;padding:.6em 1em}"""


def write_report(folder: str | Path, evaluation: Evaluation, about: Mapping[str, Any]) -> dict[str, Any]:
    """Write all files and return what ``report.json`` holds.

    Args:
        folder: To write to; made when missing.
        evaluation: Of one set of samples.
        about: Plain data: threat model, victim, data, hashes, times.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    content = {"schema": SCHEMA, "threshold": evaluation.threshold, **about, **summary(evaluation)}
    write_file(root / "report.json", json.dumps(_plain(content), indent=1, sort_keys=True, allow_nan=False).encode())
    write_file(root / "instances.csv", _csv(evaluation.rows).encode())
    write_parquet(root / "instances.parquet", evaluation.rows)
    write_file(root / "report.html", _page(content, evaluation).encode())
    return content


def _plain(value: Any) -> Any:
    """The value with None for numbers that are not finite, which JSON does not know."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> bool:
    """Write rows as Parquet; False, and no file, where pyarrow (extra ``arrow``) is missing or there is no row."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return False
    if not rows:
        return False
    names = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pydict({name: [row.get(name) for row in rows] for name in names}), buffer)
    write_file(path, buffer.getvalue())
    return True


def _csv(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, names, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return buffer.getvalue()


def _percent(rate: Mapping[str, Any]) -> str:
    if rate["value"] is None:
        return f"- (n={rate['n']})"
    return f"{100 * rate['value']:.1f} % ({100 * rate['low']:.1f} to {100 * rate['high']:.1f}, n={rate['n']})"


def _table(head: list[str], rows: list[list[str]]) -> str:
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{cells}</tr>{body}</table>"


def _main_table(content: Mapping[str, Any]) -> str:
    names = list(content["metric_clean"])
    rows = [["clean", "-", "-", _percent(content["fnr_clean"]), str(content["detections_clean"])]]
    rows[0] += [f"{content['metric_clean'][name]:.3f}" for name in names]
    for name, part in content["conditions"].items():
        value = part["asr"]["value"] or 0.0
        ends = part["asr_by_scene"]
        scenes = "-" if ends[0] is None else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f} %"
        bar = f'<span class="bar" style="width:{5 * value:.2f}em"></span> '
        row = [html.escape(name), bar + _percent(part["asr"]), scenes, _percent(part["fnr"]), str(part["detections"])]
        rows.append(row + [f"{part['metric'][key]:.3f}" for key in names])
    return _table(["patch", "ASR (95 % Wilson)", "by scene", "missed", "detections", *names], rows)


def _details(content: Mapping[str, Any]) -> list[str]:
    """Numbers of instances beside the score: lateral deviation in metres, counts."""
    cases = {"clean": content["details_clean"]} | {name: c["details"] for name, c in content["conditions"].items()}
    names = list(content["details_clean"])
    rows = [[html.escape(case), *(_interval(found.get(name)) for name in names)] for case, found in cases.items()]
    heading = "<h2>Means a picture (95 % interval over scenes)</h2>"
    return [heading, _table(["patch", *map(html.escape, names)], rows)] if names else []


def _interval(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "-"
    return f"{found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f}, n={found['n']})"


def _over_time(content: Mapping[str, Any]) -> list[str]:
    """First detection and longest miss, where samples have a time."""
    cases = {"clean": content["over_time_clean"]} | {name: c["over_time"] for name, c in content["conditions"].items()}
    if content["over_time_clean"] is None:
        return []
    names = list(content["over_time_clean"])
    rows = [[html.escape(case), *(_number(found[name]) for name in names)] for case, found in cases.items()]
    return ["<h2>Over time</h2>", _table(["patch", *names], rows)]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _corruptions(content: Mapping[str, Any]) -> list[str]:
    """Weather and camera faults beside the patch."""
    table = content.get("corruptions")
    if not table:
        return []
    names = list(table[0]["metric"])
    rows = [
        [html.escape(row["kind"]), str(row["severity"] or "-"), _percent(row["lost"])]
        + [f"{row['metric'].get(name, float('nan')):.3f}" for name in names]
        for row in table
    ]
    return ["<h2>Without a patch, under faults</h2>", _table(["fault", "severity", "lost", *names], rows)]


def _transfer(content: Mapping[str, Any]) -> list[str]:
    """The same patches on other victims."""
    parts = []
    for victim, cases in content.get("transfer", {}).items():
        names = list(cases["clean"]["metric"])
        rows = [
            [html.escape(case), _percent(found["asr"]) if "asr" in found else "-"]
            + [f"{found['metric'][name]:.3f}" for name in names]
            for case, found in cases.items()
        ]
        parts += [f"<h2>Transfer to {html.escape(victim)}</h2>", _table(["patch", "ASR", *names], rows)]
    return parts


def _defence(found: Mapping[str, Any] | None) -> list[str]:
    """Name of the defence and the checks of the attack through it."""
    if found is None:
        return []
    word = "assessed" if found["assessed"] else "not assessed"
    parts = [f"<p>Defence: {html.escape(str(found['name']))}: <b>{word}</b>.</p>"]
    if "checks" in found:
        rows = [[html.escape(name), "yes" if good else "no"] for name, good in found["checks"].items()]
        parts.append(_table(["check of the attack through the defence", "passed"], rows))
    return parts


def _page(content: Mapping[str, Any], evaluation: Evaluation) -> str:
    threat = content.get("threat_model", {})
    parts = [
        "<h1>What a patch does</h1>",
        "<h2>Threat model</h2>",
        _table(["what", "value"], [[html.escape(str(k)), html.escape(str(v))] for k, v in threat.items()]),
        "<h2>Result</h2>",
    ]
    parts += _defence(content.get("defence"))
    if not content["valid"]:
        parts.append(f'<p class="warn">Only {content["detected_clean"]} instances were detected clean: not valid.</p>')
    parts += [
        f"<p>An instance counts as detected from a score of {content['threshold']:g}. ASR is the share of instances "
        "detected clean that are lost; a patch is credited only above the random one.</p>",
        _main_table(content),
    ]
    parts += _details(content) + _over_time(content) + _corruptions(content) + _transfer(content)
    parts.append("<h2>By class, size, view and light</h2>")
    for name, part in content["conditions"].items():
        if name in ("grey", "random"):
            continue
        for key, groups in part["by"].items():
            rows = [[html.escape(group), _percent(rate)] for group, rate in groups.items()]
            parts.append(f"<h3>{html.escape(name)}: {html.escape(key)}</h3>" + _table([key, "ASR"], rows))
    parts.append("<h2>Before and after</h2>")
    for name, image in evaluation.examples.items():
        picture = _picture(image, evaluation.predictions.get(name))
        parts.append(f'<figure><img alt="" src="{picture}"><figcaption>{html.escape(name)}</figcaption></figure>')
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>Patch report</title><style>{_STYLE}</style>'
    return f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>"


def _picture(image: np.ndarray, result: Any) -> str:
    drawn = image if result is None else draw_result(image.copy(), result)
    _, code = cv2.imencode(".png", np.ascontiguousarray(drawn[..., ::-1]))
    return "data:image/png;base64," + base64.b64encode(code.tobytes()).decode()
