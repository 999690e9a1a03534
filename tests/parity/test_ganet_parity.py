"""Every golden case of family ``ganet`` must agree with the original implementation."""

from __future__ import annotations

from pathlib import Path

import pytest

from perception import parity

RUNNER = {"ganet": "perception.plugins.lane_detection.parity:run"}


def test_all_cases_agree(golden_data: Path):
    labels = [found.label for found in parity.find(golden_data) if found.case and found.case.family == "ganet"]
    if not labels:
        pytest.skip(f"no ganet cases below {golden_data}")
    for label in labels:
        (result,) = parity.run(golden_data, label, RUNNER)
        wrong = [row for row in result.rows if not row.ok]
        assert (result.status, wrong) == ("ok", []), f"{label}: {result.note}"


def test_an_unknown_kind_is_uncovered(tmp_path: Path):
    (tmp_path / "manifest.json").write_text('{"family": "ganet", "cases": [{"name": "a", "kind": "ganet/new"}]}')
    (result,) = parity.run(tmp_path, runners=RUNNER)
    assert result.status == "uncovered"
