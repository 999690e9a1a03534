"""The report page: self-contained, escaped, complete."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from perception.errors import PerceptionError
from perception.sinks import charts
from perception.sinks.report import report_html, write_report_html

EVIL = '<script>alert("x")</script>&'
LATENCY = {"mean": 12.5, "p50": 11.0, "p95": 20.0, "p99": 31.0, "max": 1234.5}
VOID = {"meta", "img", "br", "line", "path", "rect"}


def report(**changes: Any) -> dict[str, Any]:
    stage = {
        "kind": "lanes_2d",
        "plugin": "lane_detection",
        "weights": "ganet_tiny_sim.safetensors",
        "weights_sha256": "0123456789abcdef" * 4,
        "trained_on": "simulator",
        "latency_ms": LATENCY,
        "results": 95,
    }
    data = {
        "drive": "drives/a.mcap",
        "pipeline": "lanes.py",
        "frames": {"total": 100, "done": 98, "skipped": 2},
        "stages": {"lanes": stage, "crowd": {"kind": "density_map", "results": 3}},
        "faults": [
            {"where": "top", "kind": "missing", "count": 4, "first_index": 17, "message": EVIL},
            {"where": "front", "kind": "corrupt", "count": 1, "first_index": 3, "message": "bad jpeg"},
        ],
        "throughput_fps": 23.456,
        "warmup_s": 1.5,
        "versions": {"python": "3.11", "torch": "2.14", "perception": {"version": "0.1"}},
        "config_hash": "c0ffee",
        "scores": {"lanes": {"f1": 0.91234567}},
        "started": "2026-01-01T00:00:00",
        "finished": "2026-01-01T00:01:00",
        "series": {"latency_ms": {"lanes": [10, 12, None, 30, float("nan"), 9]}, "counts": {"lanes": [0, 2, 2, 4]}},
    }
    return {**data, **changes}


class Page(HTMLParser):
    """Checks nesting, collects tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def test_the_page_tells_what_happened() -> None:
    page = Page(report_html(report()))
    for word in ("lanes.py on drives/a.mcap", "ganet_tiny_sim.safetensors", "0123456789abcdef", "simulator", "1,234.5"):
        assert word in page.text
    for word in ("bad jpeg", "17", "c0ffee", "lanes.f1", "0.9123", "perception.version", "23.5", "11.0", "31.0"):
        assert word in page.text
    assert page.text.index("corrupt") < page.text.index("missing")
    assert page.tags.count("svg") == 2


def test_the_page_is_self_contained_and_has_no_script() -> None:
    source = report_html(report(drive="https://example.org/a.mcap"), [("t", np.zeros((4, 4, 3), np.uint8))])
    page = Page(source)
    assert "script" not in page.tags and "link" not in page.tags and "iframe" not in page.tags
    sources = [value or "" for name, value in page.attributes if name in ("src", "href")]
    assert sources and all(value.startswith("data:image/jpeg;base64,") for value in sources)
    assert "url(" not in source and "@import" not in source


@pytest.mark.parametrize("place", ["drive", "pipeline", "config_hash", "started"])
def test_all_text_is_escaped(place: str) -> None:
    assert EVIL not in report_html(report(**{place: EVIL}))


def test_text_inside_tables_and_captions_is_escaped() -> None:
    evil = report(versions={EVIL: EVIL}, scores={EVIL: EVIL})
    evil["stages"] = {EVIL: dict.fromkeys(("kind", "plugin", "weights", "weights_sha256", "trained_on"), EVIL)}
    evil["series"] = {"latency_ms": {EVIL: [1.0]}, "counts": {EVIL: [1]}}
    page = report_html(evil, [(EVIL + '" onload="x', np.zeros((4, 4, 3), np.uint8))])
    assert "<script" not in page and EVIL in Page(page).text
    assert not [name for name, _ in Page(page).attributes if name == "onload"]


def test_simulator_weights_are_announced() -> None:
    assert "trained on simulated data only" in report_html(report())
    stages = {"lanes": {"kind": "lanes_2d", "trained_on": "published checkpoint"}}
    assert "simulated data only" not in report_html(report(stages=stages))


def test_an_incomplete_run_is_announced() -> None:
    assert "Not complete" in report_html(report())
    assert "Not complete" not in report_html(report(frames={"total": 5, "done": 5, "skipped": 0}))


def test_pictures_are_embedded() -> None:
    picture = np.full((40, 60, 3), (200, 30, 30), np.uint8)
    page = report_html(report(), [("frame 1", picture), ("frame 2", picture)])
    found = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page)
    assert len(found) == 2
    image = cv2.imdecode(np.frombuffer(base64.b64decode(found[0]), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert np.abs(image.astype(int) - picture).max() < 12


@pytest.mark.parametrize("key", list(report()))
def test_parts_may_be_absent(key: str) -> None:
    data = report()
    del data[key]
    Page(report_html(data))


def test_an_empty_report_is_a_page(tmp_path: Path) -> None:
    write_report_html(tmp_path / "report.html", {})
    assert Page((tmp_path / "report.html").read_text()).tags[:2] == ["html", "head"]
    (tmp_path / "file").write_text("")
    with pytest.raises(PerceptionError, match="cannot write"):
        write_report_html(tmp_path / "file" / "report.html", {})


def heights(svg: str) -> list[float]:
    return [float(bar.get("height", "nan")) for bar in ElementTree.fromstring(svg).iter("rect")]


def test_line_charts_leave_gaps_and_mark_percentiles() -> None:
    svg = charts.line_chart([1.0, 2.0, None, float("inf"), 4.0, 3.0], {"p50": 2.0, "p95": 4.0, "p99": None})
    tree = ElementTree.fromstring(svg)
    (path,) = tree.iter("path")
    assert (path.get("d") or "").count("M") == 2 and (path.get("d") or "").count("L") == 2
    names = [text.text for text in tree.iter("text")]
    assert names[-2:] == ["p50", "p95"] and "5" in names


@pytest.mark.parametrize("values", [[], [0.0], [None], [3.5] * 4])
def test_charts_of_little_data_are_drawn(values: list[Any]) -> None:
    for svg in (charts.line_chart(values, {}), charts.histogram(values)):
        assert "nan" not in svg and ElementTree.fromstring(svg).tag == "svg"


def test_histogram_bars_follow_the_counts() -> None:
    zero, one, two = heights(charts.histogram([2, 2, 2, 2, 1, 1, None, 0]))
    assert two == pytest.approx(2 * one, abs=0.2) and one == pytest.approx(2 * zero, abs=0.2)
    wide = heights(charts.histogram(list(range(1000))))
    assert len(wide) <= 24 and max(wide[:-1]) == min(wide[:-1])
