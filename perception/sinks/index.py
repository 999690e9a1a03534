"""``index.html`` over the drives of one call: what needs attention comes first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perception.sinks.page import cards, document, number, picture, text
from perception.sinks.storage import write_file

__all__ = ["DriveRow", "index_html", "read_row", "write_index"]

_STYLE = """
td{vertical-align:middle}td.shots{white-space:nowrap;padding:4px 9px}td.shots img{height:48px;border-radius:5px;
margin-right:4px;vertical-align:middle}th[data-k]{cursor:pointer;user-select:none}th[data-k]:hover{color:var(--ink)}
.bar{display:inline-block;width:64px;height:9px;border-radius:5px;background:var(--line);overflow:hidden;
margin-right:8px}.bar i{display:block;height:100%;background:currentColor}td.share{white-space:nowrap}
td .soft{font-size:13px;line-height:1.35}
td.drive .soft{width:190px;white-space:nowrap;overflow:hidden;text-overflow:ellipsis;direction:rtl;
text-align:left}
td.told .soft{min-width:165px;max-width:300px}th,td{padding:7px 9px}
.state{font-weight:600;white-space:nowrap}em.bad{font-style:normal}
"""
_SCRIPT = """
document.querySelectorAll('th[data-k]').forEach(function(head,column){head.onclick=function(){
var body=head.closest('table').tBodies[0],k=head.cellIndex,sign=head.dataset.s==='1'?-1:1;head.dataset.s=sign;
Array.from(body.rows).sort(function(a,b){var x=a.cells[k].dataset.v,y=b.cells[k].dataset.v;
return sign*(isNaN(x)||isNaN(y)?x.localeCompare(y):x-y)}).forEach(function(row){body.appendChild(row)})}});
"""
_STATES = {"failed": 0, "stopped": 1, "running": 2, "waiting": 3, "done": 4}
_COLORS = {"failed": "bad", "stopped": "bad", "running": "warn", "waiting": "soft", "done": "good"}


@dataclass(frozen=True)
class DriveRow:
    """One drive of the list.

    Attributes:
        name: Name of its folder.
        drive: Path or URI.
        state: ``failed``, ``stopped``, ``running``, ``waiting`` or ``done``.
        message: Why it failed or stopped.
        report: Its ``report.json``, empty before it exists.
        pictures: A few (H, W, 3) uint8 RGB pictures, in order of time.
    """

    name: str
    drive: str
    state: str
    message: str
    report: Mapping[str, Any]
    pictures: Sequence[np.ndarray] = ()

    @property
    def total(self) -> int:
        """Frames the run is to have."""
        return int(self.report.get("frames", {}).get("total", 0))

    @property
    def coverage(self) -> float:
        """Share of the frames that have a result, 0 without a report."""
        return self.report.get("frames", {}).get("done", 0) / self.total if self.total else 0.0

    @property
    def faults(self) -> int:
        """Number of faults."""
        return sum(int(fault.get("count", 1)) for fault in self.report.get("faults", ()))

    @property
    def slowest(self) -> tuple[str, Mapping[str, float | None]]:
        """The stage with the highest p95, and its latency in ms."""
        stages = self.report.get("stages", {})
        latencies = {name: about.get("latency_ms", {}) for name, about in stages.items()}
        name = max(latencies, key=lambda stage: latencies[stage].get("p95") or 0.0, default="")
        return name, latencies.get(name, {})

    @property
    def urgency(self) -> tuple[Any, ...]:
        """Sorts what needs attention to the front: state, share of faults, missing coverage, latency."""
        latency = self.slowest[1].get("p95") or 0.0
        return _STATES[self.state], -self.faults / max(self.total, 1), self.coverage, -latency, self.name


def read_row(folder: Path, drive: str, state: str = "", message: str = "", pictures: int = 3) -> DriveRow:
    """Read what a run left in its folder; without a ``state`` its report says whether it is done."""
    report: dict[str, Any] = {}
    try:
        report = json.loads((folder / "report.json").read_bytes())
    except (OSError, ValueError):
        state = state or "waiting"
    frames = report.get("frames", {})
    whole = frames.get("done", 0) + frames.get("skipped", 0) == frames.get("total", -1)
    state = state or ("done" if whole else "stopped")
    return DriveRow(folder.name, drive, state, message, report, _pictures(folder, pictures) if pictures else ())


def write_index(path: Path, rows: Sequence[DriveRow], title: str = "Drives") -> None:
    """Write :func:`index_html`; a reader sees all of it or the old one.

    Raises:
        PerceptionError: The disk is full or not writable.
    """
    write_file(path, index_html(rows, title).encode())


def index_html(rows: Sequence[DriveRow], title: str = "Drives") -> str:
    """Build the page. Its links lead to ``<name>/report.html``; a click on a heading sorts, also without it is sorted.

    Args:
        rows: The drives, in any order.
        title: Heading.
    """
    ordered = sorted(rows, key=lambda row: row.urgency)
    headings = ("Drive", "", "State", "Frames", "Coverage", "Faults", "Slowest stage", "p95 ms", "p99 ms")
    keys = [0, 2, 3, 4, 5, 6, 7, 8, 9]
    head = "".join(
        f"<th{' data-k' if i in keys else ''}{' class=n' if i in (3, 7, 8, 9) else ''}>{name}</th>"
        for i, name in enumerate((*headings, "fps"))
    )
    body = "".join(_line(row) for row in ordered)
    listing = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    return document(title, [f"<h1>{text(title)}</h1>", _totals(ordered), "<h2>Worst first</h2>", listing],
                    _STYLE, True, _SCRIPT)  # fmt: skip


def _totals(rows: Sequence[DriveRow]) -> str:
    done = sum(row.state == "done" for row in rows)
    frames = sum(row.total for row in rows)
    covered = sum(row.coverage * row.total for row in rows)
    worst = max((row.slowest[1].get("p95") or 0.0 for row in rows), default=0.0)
    troubled = sum(row.state in ("failed", "stopped") for row in rows)
    return cards(
        [
            (number(done, 0), f"of {number(len(rows), 0)} drives done"),
            (f'<em class="bad">{troubled}</em>' if troubled else "0", "failed or stopped"),
            (number(frames, 0), "frames"),
            (number(100 * covered / frames) + " %" if frames else "&ndash;", "of them have results"),
            (number(sum(row.faults for row in rows), 0), "faults"),
            (number(worst) + " ms", "highest p95 of a stage"),
        ]
    )


def _line(row: DriveRow) -> str:
    name = text(row.name)
    link = f'<a href="{name}/report.html">{name}</a>' if row.report else name
    shots = "".join(f'<img alt="" src="{picture(image, 75)}">' for image in row.pictures)
    stage, latency = row.slowest
    told = row.message.removeprefix(f"{row.drive}: ").splitlines()
    note = f'<div class="soft">{text(told[0][:200])}</div>' if told else ""
    share = 100 * row.coverage
    color = "good" if share >= 95 else "warn" if share >= 50 else "bad"
    filled = f'<span class="bar {color}"><i style="width:{share:.0f}%"></i></span>'
    bar = f"{filled}{share:.1f} %" if row.total else "&ndash;"
    cells = [
        (
            "drive",
            row.name,
            f'<b>{link}</b><div class="soft" title="{text(row.drive)}"><bdi>{text(row.drive)}</bdi></div>',
        ),
        ("shots", "", shots),
        ("told", _STATES[row.state], f'<span class="state {_COLORS[row.state]}">{row.state}</span>{note}'),
        ("n", row.total, number(row.total, 0) if row.report else "&ndash;"),
        ("share", row.coverage, bar),
        ("told", row.faults, _faults(row)),
        ("", stage, text(stage)),
        *(("n", latency.get(key) or 0, number(latency.get(key))) for key in ("p95", "p99")),
        ("n", row.report.get("throughput_fps", 0), number(row.report.get("throughput_fps"))),
    ]
    return "<tr>" + "".join(f'<td class="{c}" data-v="{text(str(v))}">{cell}</td>' for c, v, cell in cells) + "</tr>"


def _faults(row: DriveRow) -> str:
    if not row.report:
        return "&ndash;"
    if not row.faults:
        return '<span class="soft">none</span>'
    ordered = sorted(row.report["faults"], key=lambda fault: -int(fault.get("count", 1)))
    kinds = [f"{fault.get('where')}: {fault.get('kind')} &times;{fault.get('count', 1)}" for fault in ordered[:3]]
    more = f"<br>and {len(ordered) - 3} more" if len(ordered) > 3 else ""
    shown = "<br>".join(text(kind).replace("&amp;times;", "&times;") for kind in kinds)
    return f'<b class="warn">{number(row.faults, 0)}</b><div class="soft">{shown}{more}</div>'


def _pictures(folder: Path, count: int, height: int = 116) -> list[np.ndarray]:
    import cv2

    paths = sorted((folder / "thumbnails").glob("*.jpg"))
    chosen = [paths[int((i + 0.5) * len(paths) / count)] for i in range(min(count, len(paths)))]
    images = [cv2.imread(str(path)) for path in chosen]
    return [
        cv2.resize(
            image, (max(1, round(image.shape[1] * height / image.shape[0])), height), interpolation=cv2.INTER_AREA
        )[:, :, ::-1]
        for image in images
        if image is not None
    ]
