"""A plugin that somebody else packaged is found and runs; a broken one is reported and stops nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
RUN = """
import json, sys
import numpy as np
from perception import plugin
from perception.registry import STAGES
from perception.structures import Calibration, Frame, Provenance
spec = plugin.get("bright_spot")
before = "sample_plugin.stage" in sys.modules
plugin.load("bright_spot")
image = np.zeros((40, 60, 3), np.uint8)
image[10:21, 30:45] = 255
frame = Frame(
    timestamp_ns=0, index=0, images={"front": image}, clouds={}, calibration=Calibration(), ego_pose=None,
    truth={}, faults=(), provenance=Provenance(),
)
result = STAGES.build({"type": "BrightSpotStage", "threshold": 128})(frame, {})
print(json.dumps({"lazy": not before, "result": result.to_dict()}))
"""


@pytest.fixture(scope="module")
def environment(wheel, new_environment, tmp_path_factory):
    """The wheel with the sample plugin and the broken one."""
    made = new_environment()
    copies = tmp_path_factory.mktemp("third_party")
    for name in ("sample_plugin", "broken_plugin"):
        shutil.copytree(HERE / name, copies / name, ignore=shutil.ignore_patterns("__pycache__"))
    made.install(str(wheel), str(copies / "sample_plugin"), str(copies / "broken_plugin"))
    return made


def test_the_sample_plugin_is_found_and_its_stage_runs(environment):
    ran = json.loads(environment.run("-c", RUN).splitlines()[-1])
    assert ran["lazy"], "the stage module was imported before it was asked for"
    assert ran["result"]["kind"] == "boxes_2d"
    assert ran["result"]["boxes"] == [[30.0, 10.0, 44.0, 20.0]]


def test_the_broken_plugin_is_reported_and_skipped(environment):
    overview = json.loads(environment.run("-m", "perception", "plugins", "--json"))
    names = [entry["name"] for entry in overview["plugins"]]
    assert "bright_spot" in names and "lane_detection" in names and "broken" not in names
    (failure,) = overview["failures"]
    assert failure["name"] == "broken" and "the lantern driver is not installed" in failure["reason"]


def test_doctor_lists_both_and_still_passes(environment):
    report = json.loads(environment.run("-m", "perception", "doctor", "--json"))
    lines = [found for found in report["findings"] if found["name"] == "plugins"]
    assert report["works"] is True
    assert "bright_spot" in lines[0]["text"]
    assert [found["status"] for found in lines] == ["ok", "warning"] and "broken" in lines[1]["text"]
