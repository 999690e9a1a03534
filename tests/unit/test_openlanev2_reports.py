"""What OpenLane-V2 scores are made of: classes, frames, curves, pictures; LaneSegNet's truth; mmengine's metric."""

from __future__ import annotations

import copy
import csv
import json
from pathlib import Path

import numpy as np
import pytest

from perception.cli import main
from perception.errors import InputError, PerceptionError
from perception.geometry.polyline import resample
from perception.metrics.openlanev2 import TRACKS, evaluate_paths
from perception.metrics.openlanev2.lanesegnet import lanesegnet_truth, two_edges
from perception.metrics.openlanev2.matching import precision_recall
from perception.metrics.openlanev2.records import Place, parse_scene
from perception.metrics.openlanev2.runner import OpenLaneV2Metric
from tests.fixtures import toy_openlanev2 as toy

FRAMES = [f"{toy.SEGMENT}/{stamp}" for stamp in toy.STAMPS]


def predictions(track: str, shift: float = 0.0) -> dict:
    """The truth with confidences; the last lane is moved to the side."""
    block = toy.segments() if track == "lane_segment" else toy.centerlines()
    for number, lane in enumerate(block["lane_segment" if track == "lane_segment" else "lane_centerline"]):
        lane["confidence"] = 0.9 - 0.1 * number
        for key in ("points", "centerline", "left_laneline", "right_laneline"):
            if key in lane:
                points = resample(np.array(lane[key]), 10) if track == "lane_segment" else np.array(lane[key])[::20]
                lane[key] = (points + (0, shift * (number == 2), 0)).tolist()
    for item in (*block["traffic_element"], *block.get("area", [])):
        item["confidence"] = 0.8
    return block


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions that miss one lane in the second frame, and truth."""
    root = toy.write_tree(tmp_path / "data", pictures=False)
    results = {f"val/{name}": {"predictions": predictions("centerline", 20.0 * i)} for i, name in enumerate(FRAMES)}
    (tmp_path / "results.json").write_text(json.dumps({"results": results}))
    return tmp_path / "results.json", root


def test_precision_over_recall_by_hand():
    recall, precision, scores = precision_recall(np.array([True, False, True]), np.array([0.2, 0.9, 0.5]), 4)
    assert scores.tolist() == [0.9, 0.5, 0.2]
    assert recall.tolist() == [0, 0.25, 0.5] and np.allclose(precision, [0, 1 / 2, 2 / 3])


def test_the_report_tells_classes_frames_and_curves(files, tmp_path, capsys):
    out = tmp_path / "report"
    assert main(["metric", "openlanev2", *map(str, files), "--worst", "1", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "OpenLane-V2 v2.1, centerline, 2 frames" in told and f"\n{FRAMES[1]}: " in told, "the worst frame"
    with open(out / "classes.csv") as file:
        rows = {row["class"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"lane < 1", "lane < 2", "lane < 3", "element green < 0.75", "element go_straight < 0.75"}
    assert (rows["lane < 1"]["true"], rows["lane < 1"]["predicted"]) == ("6", "6")
    assert float(rows["lane < 1"]["AP"]) == pytest.approx(9 / 11), "five of six lanes: recall 0.83"
    with open(out / "frames.csv") as file:
        frames = list(csv.DictReader(file))
    assert [row["frame"] for row in frames] == FRAMES[::-1] and float(frames[1]["OLS"]) == 1
    curve = json.loads((out / "curves.json").read_text())["lane < 1"]
    assert curve["recall"][-1] == pytest.approx(5 / 6, abs=1e-6)
    assert (out / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert [path.name for path in (out / "worst").iterdir()] == [f"00_{FRAMES[1].replace('/', '_')}.png"]
    assert json.loads((out / "scores.json").read_text())["version"] == "v2.1"


def test_crossings_become_two_edges():
    corners = np.array([[0.0, 0, 0], [9, 0, 0], [9, 3, 0], [0, 3, 0], [0, 0, 0]])
    points = two_edges(corners)
    np.testing.assert_allclose(points[:10], np.stack([np.arange(10.0), np.zeros(10), np.zeros(10)], 1))
    np.testing.assert_allclose(points[10:], np.stack([np.arange(9.0, -1, -1), np.full(10, 3.0), np.zeros(10)], 1))
    with pytest.raises(PerceptionError, match="resampled already, take the raw json"):
        two_edges(np.zeros((20, 3)))
    raw = parse_scene(Place(Path("x"), "f"), toy.segments(), "lane_segment", predicted=False)
    ready = lanesegnet_truth(raw)
    assert ready.area_labels.tolist() == [1] and len(ready.areas[0]) == 20
    assert [len(line) for line in ready.lanes[2]] == [10, 10, 10]


def test_lanesegnets_own_numbers(tmp_path, capsys):
    root = toy.write_tree(tmp_path / "data", pictures=False)
    block = predictions("lane_segment")
    block["area"] = [{"id": "p", "category": 1, "confidence": 0.5}]
    block["area"][0]["points"] = two_edges(np.array(toy.segments()["area"][0]["points"])).tolist()
    results = {f"val/{name}": {"predictions": block} for name in FRAMES}
    (tmp_path / "r.json").write_text(json.dumps({"results": results}))
    numbers = evaluate_paths(tmp_path / "r.json", root, lanesegnet=True)["lanesegnet"]
    assert numbers == {"AP_ls": 1, "AP_ped": 1, "mAP": 1, "TOP_lsls": 1, "TOP_lste": 1}
    assert main(["metric", "openlanev2", str(tmp_path / "r.json"), str(root), "--lanesegnet"]) == 0
    assert "mAP" in capsys.readouterr().out
    info = root / "val" / toy.SEGMENT / "info" / f"{toy.STAMPS[0]}-ls.json"
    content = json.loads(info.read_text())
    content["annotation"]["area"][0]["points"] = toy.line(0, 1, 0, 20)
    info.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"{toy.STAMPS[0]}.*crossing: expected 4 corners.*resampled already"):
        evaluate_paths(tmp_path / "r.json", root, lanesegnet=True)


@pytest.mark.parametrize("track", TRACKS)
def test_the_metric_of_mmengine_gives_the_scores_of_files(track, tmp_path):
    root = toy.write_tree(tmp_path / "data", pictures=False)
    metric = OpenLaneV2Metric(track)
    truth = toy.segments() if track == "lane_segment" else toy.centerlines()
    results = {}
    for number, name in enumerate(FRAMES):
        block = predictions(track, 20.0 * number)
        results[f"val/{name}"] = {"predictions": copy.deepcopy(block)}
        arrays = block | {
            key: np.array(value, np.float32) for key, value in block.items() if key.startswith("topology")
        }
        arrays["traffic_element"] = [
            item | {"attribute": np.int64(item["attribute"])} for item in block["traffic_element"]
        ]
        metric.process(None, [{"frame": name, "truth": truth, "predictions": arrays}])
    scores = metric.evaluate(2)
    (tmp_path / "r.json").write_text(json.dumps({"results": results}))
    report = evaluate_paths(tmp_path / "r.json", root, track=track)
    for name, value in {**report["scores"], **report.get("lanesegnet", {}), **report["extra"]}.items():
        assert scores[f"openlanev2/v2.1/{name}"] == value
    assert 0 < list(report["scores"].values())[-1] < 1


def test_the_metric_names_what_is_malformed():
    metric = OpenLaneV2Metric()
    good = {"frame": "1/2", "truth": toy.centerlines(), "predictions": predictions("centerline")}
    spoilt = good["predictions"] | {"topology_lclc": [[np.nan] * 3] * 3}
    for change, message in (
        ({"predictions": None}, "frame 1/2, predictions: expected a block"),
        ({"predictions": {}}, "frame 1/2, lane_centerline: expected a list"),
        ({"predictions": spoilt}, "topology_lclc: expected finite"),
    ):
        with pytest.raises(InputError, match=message):
            metric.process(None, [good | change])
    with pytest.raises(PerceptionError, match=r"v1\.0 does not define"):
        OpenLaneV2Metric("lane_segment", "v1.0")
