"""Every golden case of family ``reap``, from masks to attack loops and metrics."""

from __future__ import annotations

from pathlib import Path

import pytest

from perception import parity

RUNNER = {"reap": "perception.plugins.patch_robustness.parity:run"}


def test_all_cases_agree(golden_data: Path):
    labels = [found.label for found in parity.find(golden_data) if found.case and found.case.family == "reap"]
    if not labels:
        pytest.skip(f"no reap cases below {golden_data}")
    for label in labels:
        (result,) = parity.run(golden_data, label, RUNNER)
        wrong = [row for row in result.rows if not row.ok]
        assert (result.status, wrong) == ("ok", []), f"{label}: {result.note}"


def test_unknown_files_are_uncovered(tmp_path: Path):
    (tmp_path / "manifest.json").write_text('{"family": "reap", "files": {"surprise.npz": {}}}')
    (result,) = parity.run(tmp_path, runners=RUNNER)
    assert result.status == "uncovered"
