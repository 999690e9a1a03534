"""Every golden case of family ``openlanev2`` must agree with the official devkit; the core runs this family itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception import parity, plugin
from perception.parity.runner import known_runners
from perception.plugin import PluginIndex, PluginSpec

RUNNER = {"openlanev2": "perception.metrics.openlanev2.parity:run"}


def test_all_cases_agree(golden_data: Path):
    labels = [found.label for found in parity.find(golden_data) if found.case and found.case.family == "openlanev2"]
    if not labels:
        pytest.skip(f"no openlanev2 cases below {golden_data}")
    for label in labels:
        (result,) = parity.run(golden_data, label, RUNNER)
        wrong = [row for row in result.rows if not row.ok]
        assert (result.status, wrong) == ("ok", []), f"{label}: {result.note}"
        assert len(result.rows) >= 6


def test_unknown_kinds_and_damaged_cases_are_told_apart(tmp_path: Path):
    for folder, group in (("new", "surprise"), ("damaged", "bench")):
        (tmp_path / folder).mkdir()
        manifest = (
            f'{{"family": "openlanev2", "cases": [{{"name": "a", "kind": "openlanev2/{group}", "file": "a.npz"}}]}}'
        )
        (tmp_path / folder / "manifest.json").write_text(manifest)
        np.savez(tmp_path / folder / "a.npz", track="centerline")
    results = {result.case: result for result in parity.run(tmp_path, runners=RUNNER)}
    assert results["new/a"].status == "uncovered"
    assert results["damaged/a"].status == "unreadable"
    assert "gt.lane_centerline.count" in results["damaged/a"].note


def test_core_families_need_no_plugin_but_a_plugin_wins(monkeypatch: pytest.MonkeyPatch):
    assert known_runners()["openlanev2"] == (RUNNER["openlanev2"],)
    toy = PluginSpec(name="toy", task="t", summary="s", result="lanes_2d", sensors=(), parity={"openlanev2": "toy:run"})
    monkeypatch.setattr(plugin, "discover", lambda: PluginIndex({"toy": toy}, ()))
    assert known_runners()["openlanev2"] == ("toy:run",)
