"""Every PPN case of family ``ppn_crowd`` must agree with the original implementation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception import parity

RUNNER = {"ppn_crowd": "perception.plugins.lidar_bev.parity:run"}


def test_all_cases_agree(golden_data: Path):
    cases = [found for found in parity.find(golden_data) if found.case and found.case.family == "ppn_crowd"]
    labels = [found.label for found in cases if found.case and found.case.name.startswith("ppn/")]
    if not labels:
        pytest.skip(f"no PPN cases below {golden_data}")
    for label in labels:
        (result,) = parity.run(golden_data, label, RUNNER)
        wrong = [row for row in result.rows if not row.ok]
        assert (result.status, wrong) == ("ok", []), f"{label}: {result.note}"


def test_cases_of_the_other_plugin_and_unknown_ones_are_uncovered(tmp_path: Path):
    groups = {"crowd": {"m": {"file": "a.npz"}}, "ppn": {"new": {"file": "a.npz"}}}
    (tmp_path / "manifest.json").write_text(json.dumps({"family": "ppn_crowd", **groups}))
    assert [result.status for result in parity.run(tmp_path, runners=RUNNER)] == ["uncovered"] * 2
