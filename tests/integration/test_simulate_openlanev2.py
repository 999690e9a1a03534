"""Simulated towns as an OpenLane-V2 tree: valid, resumable, the same for any number of workers, scored and indexed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from perception.cli import main
from perception.datasets.openlanev2 import OpenLaneV2
from perception.datasets.openlanev2.tool import OpenLaneV2Tool
from perception.engine.datasets import examine
from perception.errors import PerceptionError
from perception.metrics.openlanev2 import evaluate_paths
from perception.sim.writers.openlanev2 import write_openlanev2

SETTINGS = {"scenes": 1, "frames": 2, "seed": 900300, "preset": "day", "size": (320, 240), "split": "val"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("sim") / "olv2"
    lines = list(write_openlanev2(root, **SETTINGS))
    assert lines[-1].endswith("data_dict_subset_A.json")
    return root


def hashes(root: Path) -> dict[str, str]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_tree_is_valid_and_nothing_in_it_is_doubtful(tree, tmp_path):
    *_, report = examine(OpenLaneV2Tool(), tree, cache=tmp_path)
    assert len(report.records) == 4 and report.findings == []
    stats = report.stats()
    assert stats["lanes"]["min"] >= 4 and stats["lane edges"]["max"] > 0 and stats["subset"]["values"] == {"A": 4}


def test_both_forms_tell_of_the_same_lanes(tree):
    centerlines, segments = (
        OpenLaneV2(tree / "data_dict_subset_A.json", track) for track in ("centerline", "lane_segment")
    )
    assert [centerlines.name(i) for i in (0, 1)] == [segments.name(i) for i in (0, 1)]
    one, other = centerlines[1].annotation, segments[1].annotation
    assert one.lane_ids == other.lane_ids and one.element_ids == other.element_ids
    np.testing.assert_array_equal(one.scene.lane_lane, other.scene.lane_lane)
    for line, center, left, right in zip(one.scene.lanes[0], *other.scene.lanes):
        assert len(line) == 201
        np.testing.assert_allclose(line[[0, -1]], center[[0, -1]], atol=1e-4)
        step, side = center[1] - center[0], left[0] - right[0]
        assert step[0] * side[1] - step[1] * side[0] > 0, "left is left in driving direction"
    assert np.abs(one.scene.lanes[0].points[:, 0]).max() <= 50 and np.abs(one.scene.lanes[0].points[:, 1]).max() <= 25


def test_pictures_and_cameras_fit(tree):
    frame = OpenLaneV2(tree)[0]
    assert (frame.subset, len(frame.cameras), frame.front.size) == ("A", 7, (240, 320))
    full = frame.to_frame(tree)
    assert {name: image.shape[1::-1] for name, image in full.images.items()} == {
        name: camera.size for name, camera in full.calibration.cameras.items()
    }
    below, valid = frame.front.project_ego([[20.0, 0.0, 0.0]])
    assert valid[0] and below[0, 1] > 160, "the road ahead is below the horizon"


def test_truth_scores_itself(tree):
    for track in ("centerline", "lane_segment"):
        scores = evaluate_paths(tree, tree, track=track)["scores"]
        assert scores["DET_l"] == scores["DET_t"] == scores["TOP_ll"] == 1


def test_what_is_there_is_kept_and_what_is_not_is_made_the_same(tree):
    before = hashes(tree)
    victims = [path for path in tree.rglob("*") if path.name.startswith("1700000000500000000")]
    assert len(victims) == 9
    kept = next(path for path in tree.rglob("1700000000000000000-ls.json"))
    stamp = kept.stat().st_mtime_ns
    for path in victims:
        path.unlink()
    assert len(list(write_openlanev2(tree, **SETTINGS))) == 2
    assert hashes(tree) == before and kept.stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rig", "dash"], "expected the rig ring7 or nuscenes6"),
        (["--option", "split=nowhere"], "expected auto, train, val, test"),
        (["--option", "rate=often"], "expected a number"),
        (["--lidar", "32"], "no --lidar"),
    ],
)
def test_what_cannot_be_made_is_explained(tmp_path, capsys, arguments, message):
    assert main(["simulate", str(tmp_path / "x"), "--format", "openlanev2", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_test_frames_have_no_truth_and_nuscenes_rigs_make_subset_b(tmp_path):
    settings = {**SETTINGS, "frames": 1, "split": "test", "rig": "nuscenes6", "size": (160, 90)}
    assert list(write_openlanev2(tmp_path, **settings))[-1].endswith("data_dict_subset_B.json")
    frame = OpenLaneV2(tmp_path)[0]
    assert frame.annotation is None and (frame.subset, len(frame.cameras)) == ("B", 6)
    assert frame.timestamp == 1_700_000_000_000_000 and frame.timestamp_ns == 1_700_000_000_000_000_000
    with pytest.raises(PerceptionError, match="test frames have none"):
        evaluate_paths(tmp_path, tmp_path)
