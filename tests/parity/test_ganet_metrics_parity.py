"""Every golden case of family ``ganet-metrics`` must agree with the official tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from perception import parity

RUNNER = {"ganet-metrics": "perception.plugins.lane_detection.parity_metrics:run"}


def cases(root: Path) -> list[str]:
    return [found.label for found in parity.find(root) if found.case and found.case.family == "ganet-metrics"]


def test_metrics_agree_with_the_official_tools(golden_data: Path):
    labels = cases(golden_data)
    if not labels:
        pytest.skip(f"no ganet-metrics below {golden_data}")
    for label in labels:
        (result,) = parity.run(golden_data, label, RUNNER)
        wrong = [row for row in result.rows if not row.ok]
        assert (result.status, wrong) == ("ok", []), result.note
        assert len(result.rows) >= 2


def test_an_unknown_kind_is_uncovered(tmp_path: Path):
    (tmp_path / "manifest.json").write_text(
        '{"family": "ganet-metrics", "cases": [{"name": "a", "kind": "metric/new"}]}'
    )
    (result,) = parity.run(tmp_path, runners=RUNNER)
    assert result.status == "uncovered"
