"""The shipped weights, trained on simulated roads only, on real highway pictures whose labels were checked by eye."""

import json
from pathlib import Path

import pytest

from perception.metrics.ego_lines import lines_found
from perception.plugin import load
from perception.registry import STAGES
from perception.sources import open_drive


@pytest.fixture(scope="module")
def labels(repository: Path) -> dict:
    return json.loads((repository / "tests/fixtures/highway_lanes.json").read_text())


@pytest.fixture(scope="module")
def stage():
    load("lane_detection")
    return STAGES.get("LaneDetectionStage")("lane_detection/ganet_tiny_sim.py", "ganet_tiny_sim.safetensors")


def share_found(stage, labels: dict, name: str, root: Path) -> float:
    truth = labels["sets"][name]
    found = []
    with open_drive(str(root / name)) as drive:
        for frame in drive:
            key = str(frame.index) if str(frame.index) in truth else Path(frame.provenance.record).name
            if key in truth:
                lanes = stage.detect(next(iter(frame.images.values())))
                found.append(lines_found(lanes, truth[key]["left"], truth[key]["right"], labels["rows"]))
    assert len(found) == len(truth)
    return sum(found) / len(found)


def test_both_lines_of_the_ego_lane_on_the_highway_clip(stage, labels, real_data):
    assert share_found(stage, labels, "road_video/solidWhiteRight.mp4", real_data) >= 0.9


def test_both_lines_of_the_ego_lane_on_highway_stills(stage, labels, real_data):
    assert share_found(stage, labels, "udacity_lanes", real_data) >= 0.8
