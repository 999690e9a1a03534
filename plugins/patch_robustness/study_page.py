"""The table of a study as Markdown and as one HTML page in the style of the reports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from perception.sinks.charts import Interval, interval_chart
from perception.sinks.page import document, table, text

from .report_page import facts

__all__ = ["markdown", "study_page"]

_HEAD = (
    "victim",
    "made on",
    "measured on",
    "signs",
    "clean",
    "AP50",
    "grey",
    "random",
    "crafted (each seed)",
    "excess",
)
_NUMERIC = range(3, len(_HEAD))
_SEEDS = 3
_STYLE = "p{max-width:75ch}li{overflow-wrap:anywhere}"
TITLE = "Patches: realistic and synthetic, side by side"


def _known(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None or math.isnan(value) else format(value, form) + unit


def _cells(row: Mapping[str, Any]) -> list[str]:
    seeds = ", ".join(_known(value, ".1f") for value in row["asr_seeds"])
    return [
        *(row[key] for key in ("victim", "crafted", "measured")),
        str(row["instances"]),
        str(row["detected_clean"]) + ("" if row["valid"] else " (too few)"),
        _known(row["metric_clean"].get("AP50"), ".3f"),
        *(_known(row[key], ".1f", " %") for key in ("asr_grey", "asr_random")),
        f"{_known(row['asr'], '.1f', ' %')} ({seeds})",
        _known(row["excess"], "+.1f"),
    ]


def _sentences(content: Mapping[str, Any]) -> list[str]:
    lines = [
        "ASR: of the instances detected clean, the share that is lost. Excess: mean ASR over the seeds minus that of a "
        "random patch, in points."
    ]
    for cut in content["cuts"]:
        cost = ", ".join(f"{key} {100 * value:+.1f} points" for key, value in cut["cost"].items())
        where = f"{cut['crafted']} -> {cut['measured']}"
        lines.append(
            f"{cut['victim']} cuts the excess of {cut['against']} by {cut['cut']:.0f} % ({where}); cost: {cost}."
        )
    return lines


def markdown(content: Mapping[str, Any]) -> str:
    """The table and what it says, for a terminal or a document."""
    lines = ["| " + " | ".join(_HEAD) + " |", "| " + " | ".join("---" for _ in _HEAD) + " |"]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in content["rows"]]
    return "\n".join([*lines, "", *_sentences(content), ""])


def study_page(content: Mapping[str, Any], reports: Sequence[str] = ()) -> str:
    """The page for what ``study.json`` holds.

    Args:
        content: Rows, cuts and threat model.
        reports: Paths of the reports of its parts, relative to the page.
    """
    rows = [[text(cell) for cell in _cells(row)] for row in content["rows"]]
    links = "".join(
        f'<li><a href="{text(path)}">{text(path.removesuffix("/report.html"))}</a></li>' for path in reports
    )
    parts = [
        f"<h1>{TITLE}</h1>",
        f'<p class="soft">{text(content.get("config", ""))} &middot; {len(rows)} comparisons</p>',
        *(f'<p class="notice">{text(line)}</p>' for line in _notices(content)),
        "<h2>Threat model</h2>",
        facts(content.get("threat_model", {})),
        "<h2>Result</h2>",
        *(f"<p>{text(line)}</p>" for line in _sentences(content)),
        table([text(name) for name in _HEAD], rows, numeric=_NUMERIC),
        "<h2>ASR with 95 % Wilson intervals</h2>",
        f'<div class="charts">{"".join(f"<div>{interval_chart(group)}</div>" for group in _groups(content))}</div>',
        "<h2>Reports</h2>",
        f"<ul>{links}</ul>",
    ]
    return document(TITLE, parts, style=_STYLE, wide=True)


def _groups(content: Mapping[str, Any]) -> list[dict[str, list[Interval]]]:
    """A chart for each victim: its rows, each with the controls and the seeds."""
    charts: dict[str, dict[str, list[Interval]]] = {}
    for row in content["rows"]:
        names = list(row["intervals"])
        values = [row["asr_grey"], row["asr_random"], *row["asr_seeds"]]
        bars = [(name, value, *row["intervals"][name]) for name, value in zip(names, values, strict=True)]
        heading = f"{row['victim']}: made on {row['crafted']}, measured on {row['measured']}"
        charts.setdefault(row["victim"], {})[heading] = bars
    return list(charts.values())


def _notices(content: Mapping[str, Any]) -> list[str]:
    lines = []
    if few := [row for row in content["rows"] if not row["valid"]]:
        lines.append(
            f"Not valid: success could show in too few instances in {len(few)} of {len(content['rows'])} rows."
        )
    if any(len(row["asr_seeds"]) < _SEEDS for row in content["rows"]):
        lines.append(f"Fewer than {_SEEDS} patches: another seed may do more, or less.")
    return lines
