"""OpenLane-V2 on disk: frames, truth and result files both ways, our index, pitfalls, drawings."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from perception.cli import main
from perception.datasets.openlanev2 import (
    OpenLaneV2,
    from_result,
    read_block,
    read_submission,
    to_result,
    write_submission,
)
from perception.datasets.openlanev2.draw import HIT, MISSED, VIEW, WRONG, draw_frame
from perception.datasets.openlanev2.index import build_index
from perception.datasets.openlanev2.tool import OpenLaneV2Tool
from perception.engine.datasets import examine
from perception.errors import InputError, PerceptionError, UnknownNameError
from perception.geometry.polyline import resample
from perception.metrics.openlanev2 import TRACKS, evaluate_paths
from perception.metrics.openlanev2.records import Place
from perception.structures import LaneSegments
from tests.fixtures import toy_openlanev2 as toy

PLACE = Place(Path("toy.json"), "frame")


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    return toy.write_tree(tmp_path_factory.mktemp("olv2"))


def annotation(track: str, **changes):
    block = toy.segments() if track == "lane_segment" else toy.centerlines()
    return read_block(PLACE, block | changes, track, predicted=False)


def findings(root: Path, tmp_path: Path) -> list[str]:
    *_, report = examine(OpenLaneV2Tool(), root, cache=tmp_path / "cache")
    return [f"{item.where}: {item.expected}; {item.found}" for item in report.findings]


def same(one, other) -> None:
    """Every array and id of two annotations."""
    assert one.lane_ids == other.lane_ids and one.element_ids == other.element_ids and one.area_ids == other.area_ids
    for name in ("intersections", "line_types", "categories"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("lane_scores", "lane_lane", "boxes", "box_labels", "box_scores", "lane_element", "area_labels"):
        np.testing.assert_array_equal(getattr(one.scene, name), getattr(other.scene, name), err_msg=name)
    for first, second in zip((*one.scene.lanes, one.scene.areas), (*other.scene.lanes, other.scene.areas)):
        np.testing.assert_array_equal(first.points, second.points)
        np.testing.assert_array_equal(first.offsets, second.offsets)


@pytest.mark.parametrize("track", TRACKS)
def test_blocks_survive_the_way_there_and_back(track):
    block = toy.segments() if track == "lane_segment" else toy.centerlines()
    assert annotation(track).to_block() == block


@pytest.mark.parametrize("track", TRACKS)
@pytest.mark.parametrize("suffix", [".json", ".pkl"])
def test_results_survive_the_official_form(tmp_path, track, suffix):
    rng = np.random.default_rng(0)
    block = annotation(track).to_block(predicted=True)
    for key, value in block.items():
        if key.startswith("topology"):
            block[key] = rng.random(np.shape(value)).astype(np.float32).tolist()
    for item in block["traffic_element"]:
        item["confidence"] = float(np.float32(rng.random()))
    predicted = read_block(PLACE, block, track, predicted=True)
    result = to_result(predicted, "ring_front_center", (1550, 2048))
    ours = from_result(result)
    assert ours.lane_ids == (0, 1, 2) and ours.element_ids == (3, 4)
    file = tmp_path / f"results{suffix}"
    header = {"method": "toy", "authors": ["somebody"], "team": "us"}
    assert write_submission(file, [(f"val/{toy.SEGMENT}/{stamp}", ours) for stamp in toy.STAMPS], header) == 2
    read = dict(read_submission(file, trust=suffix == ".pkl"))
    assert list(read) == [f"{toy.SEGMENT}/{stamp}" for stamp in toy.STAMPS]
    for other in read.values():
        same(ours, other)
        back = to_result(other, "ring_front_center", (1550, 2048))
        assert back.to_dict() == result.to_dict()
        assert isinstance(back, LaneSegments) == (track == "lane_segment")


def test_official_result_files_hold_what_the_devkit_asks_for(tmp_path):
    write_submission(tmp_path / "r.pkl", [("val/1/2", annotation("centerline"))])
    content = pickle.loads((tmp_path / "r.pkl").read_bytes())
    assert {"method", "authors", "e-mail", "institution / company", "country / region", "results"} <= content.keys()
    predictions = content["results"]["val", "1", "2"]["predictions"]
    assert predictions["lane_centerline"][0]["points"].shape == (201, 3)
    assert predictions["traffic_element"][0]["points"].shape == (2, 2)
    assert predictions["topology_lcte"].shape == (3, 2) and predictions["topology_lclc"].dtype == np.float32


@pytest.mark.parametrize(
    ("name", "frames", "header", "message"),
    [
        ("r.txt", [], {}, "ending in .pkl or .json"),
        ("r.json", [], {}, "no frame"),
        ("r.json", ["val/2"], {}, "<split>/<segment>/<timestamp>"),
        ("r.json", ["val/1/2", "val/1/2"], {}, "given twice"),
        ("r.json", ["val/1/2"], {"authors": ["a"] * 11}, "at most 10"),
    ],
)
def test_result_files_that_would_be_refused_are_not_written(tmp_path, name, frames, header, message):
    with pytest.raises(PerceptionError, match=message):
        write_submission(tmp_path / name, [(frame, annotation("centerline")) for frame in frames], header)
    assert not list(tmp_path.iterdir())


def test_frames_are_sorted_and_know_their_history(tree):
    frames = OpenLaneV2(tree)
    assert [frames.name(i) for i in range(len(frames))] == [f"val/{toy.SEGMENT}/{stamp}" for stamp in toy.STAMPS]
    assert frames.history(1, 3) == [0] and frames.history(0, 3) == [] and frames.position(1) == 1
    frame = frames[1]
    assert (frame.subset, frame.timestamp_ns, frame.track) == ("A", toy.STAMPS[1], "centerline")
    assert frame.front.size == (1550, 2048)
    uv, valid = frame.front.project_ego([[21.6, 0, 0]])
    assert valid[0] and np.allclose(uv, [[775, 1024 + 1500 * 1.5 / 20]])
    np.testing.assert_allclose(frame.world_from_ego @ [1, 0, 0, 1], [100, 201, 3, 1])
    full = frame.to_frame(tree, index=1)
    assert full.images[toy.CAMERA].shape == (2048, 1550, 3) and len(full.truth["ego/lane_graph"]) == 3
    with pytest.raises(UnknownNameError, match="val"):
        OpenLaneV2(tree, split="vall")
    assert len(OpenLaneV2(tree / "data_dict_toy.json", "lane_segment")) == 2


@pytest.mark.parametrize("track", TRACKS)
def test_the_index_opens_what_was_indexed(tree, tmp_path, track):
    for _ in build_index(tree, tmp_path, track):
        pass
    raw, indexed = OpenLaneV2(tree, track), OpenLaneV2(tmp_path, track)
    assert indexed.root == tree.resolve() and len(raw) == len(indexed)
    one, other = raw[1], indexed[1]
    assert (one.name, one.images, one.source) == (other.name, other.images, other.source)
    np.testing.assert_array_equal(one.world_from_ego, other.world_from_ego)
    np.testing.assert_array_equal(one.cameras[toy.CAMERA].intrinsics, other.cameras[toy.CAMERA].intrinsics)
    np.testing.assert_array_equal(one.distortions[toy.CAMERA], other.distortions[toy.CAMERA])
    for first, second in zip(one.annotation.scene.lanes, other.annotation.scene.lanes):
        np.testing.assert_array_equal(first.points.astype(np.float32), second.points)
    assert one.annotation.lane_ids == other.annotation.lane_ids
    np.testing.assert_array_equal(one.annotation.line_types, other.annotation.line_types)


def test_the_index_is_made_anew_only_where_files_changed(tmp_path):
    root = toy.write_tree(tmp_path / "data", pictures=False)
    arguments = ["data", "index", "openlanev2", str(root), "--out", str(tmp_path / "index")]
    assert main(arguments) == 0
    files = sorted((tmp_path / "index").glob("*/*.npz"))
    assert [file.parent.name for file in files] == ["centerline", "lane_segment"]
    before = [file.stat().st_mtime_ns for file in files]
    changed = root / "val" / toy.SEGMENT / "info" / f"{toy.STAMPS[0]}.json"
    os.utime(changed, ns=(1, 1))
    files[1].write_bytes(files[1].read_bytes()[:100])  # as an interruption would not leave it
    assert main(arguments) == 0
    after = [file.stat().st_mtime_ns for file in files]
    assert after[0] > before[0] and after[1] > before[1]
    assert main(arguments) == 0
    assert [file.stat().st_mtime_ns for file in files] == after
    assert len(OpenLaneV2(tmp_path / "index", "lane_segment")) == 2


def test_collections_open_only_when_trusted_and_build_arrays_only(tmp_path):
    record = toy.record(toy.STAMPS[0], "centerline")
    block = record["annotation"]
    for lane in block["lane_centerline"]:
        lane["points"] = np.array(lane["points"][::20], np.float32)
    for item in block["traffic_element"]:
        item["points"], item["attribute"] = np.array(item["points"], np.float32), np.int64(item["attribute"])
    record["annotation"] = block | {key: np.array(block[key], np.int8) for key in ("topology_lclc", "topology_lcte")}
    record["sensor"]["sd_map"] = {"road": [np.zeros((4, 2), np.float32)]}
    file = tmp_path / "data_dict_toy_val_sd.pkl"
    file.write_bytes(pickle.dumps({("val", toy.SEGMENT, str(toy.STAMPS[0])): record}))
    with pytest.raises(InputError, match="--trust"):
        OpenLaneV2(file)
    frame = OpenLaneV2(file, trust=True)[0]
    assert list(frame.cameras) == [toy.CAMERA] and frame.sd_map["road"][0].shape == (4, 2)
    assert len(frame.annotation.scene.lanes[0].points) == 33
    write_submission(tmp_path / "r.pkl", [(frame.name, frame.annotation)])
    scores = evaluate_paths(tmp_path / "r.pkl", file, trust=True)["scores"]
    assert scores["DET_t"] == 1 and scores["TOP_lt"] == 1
    file.write_bytes(pickle.dumps({("val", "1", "2"): os.system}))
    with pytest.raises(InputError, match=r"arrays and plain values.*system"):
        OpenLaneV2(file, trust=True)


def test_a_good_tree_has_no_findings(tree, tmp_path, capsys):
    assert findings(tree, tmp_path) == [
        f"val/{toy.SEGMENT}/{stamp}{ending}, sensor: all 7 cameras; no {', '.join(names)}"
        for names in [["ring_front_left", "ring_front_right", "ring_rear_left", "ring_rear_right"]]
        for names in [[*names, "ring_side_left", "ring_side_right"]]
        for stamp in toy.STAMPS
        for ending in ("", "-ls")
    ]
    assert main(["data", "check", "openlanev2", str(tree)]) == 0


def test_pitfalls_are_named(tmp_path):
    root = toy.write_tree(tmp_path / "data", pictures=False)
    info = root / "val" / toy.SEGMENT / "info"
    block = toy.segments()
    block["area"][0]["points"] = block["area"][0]["points"][:4]
    block["traffic_element"][1]["points"] = [[940.0, 520.0], [900.0, 480.0]]
    block["topology_lsls"][1][2] = 1
    block["lane_segment"][0]["centerline"] = [[1.0, 1.0, 1.0]] * 3
    (info / f"{toy.STAMPS[0]}-ls.json").write_text(json.dumps(toy.record(0, "lane_segment") | {"annotation": block}))
    block = toy.segments()
    block["area"] = [{"id": "a", "category": 1, "points": toy.line(0, 1, 0, 20)}]
    changed = toy.record(toy.STAMPS[1], "lane_segment") | {"annotation": block}
    changed["sensor"]["sd_map"] = {"road": []}
    (info / f"{toy.STAMPS[1]}-ls.json").write_text(json.dumps(changed))
    (info / f"{toy.STAMPS[1]}.json").unlink()
    (info / f"{toy.STAMPS[0]}.json").write_text('{"segment_id": "1", "timestamp": 2}')
    told = "\n".join(findings(root, tmp_path))
    for part in (
        "that the split list names; none",
        "sensor: an object; nothing",
        "area 'zebra': a crossing of 5 points, the last equal to the first; 4 points, open",
        "traffic_element 'sign': top left before bottom right",
        "lane '1' to '2': an end within 2 m of the next start; 3.5 m apart",
        "lane '0': a line of some length",
        "20 points each: resampled already, as in collections",
        "image_path: 1 pictures; 1 missing",
    ):
        assert part in told, told
    assert main(["data", "check", "openlanev2", str(root)]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["sensor"][toy.CAMERA].update(image_path="../../etc/x.jpg"), "image_path: expected a path below"),
        (lambda r: r["pose"].update(rotation=np.diag([1, 1, 2]).tolist()), "pose rotation: expected a rotation matrix"),
        (lambda r: r["sensor"][toy.CAMERA]["intrinsic"].update(K=[[1, 2], [3, 4]]), r"intrinsic K.*\(3, 3\)"),
        (lambda r: r.update(timestamp="soon"), "a whole number"),
        (lambda r: r["annotation"]["lane_centerline"][0].update(points=[[0, 0, float("nan")]]), "finite numbers"),
        (lambda r: r["annotation"]["traffic_element"][0].update(category=7), "'light', category.*one of"),
    ],
)
def test_malformed_frames_are_named(tmp_path, change, message):
    root = toy.write_tree(tmp_path, pictures=False)
    content = toy.record(toy.STAMPS[0], "centerline")
    change(content)
    (root / "val" / toy.SEGMENT / "info" / f"{toy.STAMPS[0]}.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"{toy.STAMPS[0]}\.json.*{message}"):
        OpenLaneV2(root)[0]


def test_lists_do_not_leave_their_folder(tmp_path):
    root = toy.write_tree(tmp_path, pictures=False)
    (root / "data_dict_bad.json").write_text(json.dumps({"val": {"..": ["x.json"]}}))
    with pytest.raises(InputError, match="one outside"):
        OpenLaneV2(root / "data_dict_bad.json")


LEGEND = 30
"""Rows at the top whose words have the colours of lanes."""


def has(image: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((np.abs(image.astype(int) - color).sum(2) < 12).any())


@pytest.mark.parametrize("track", TRACKS)
def test_drawings_tell_hits_from_errors(tree, tmp_path, track):
    frame = OpenLaneV2(tree, track)[0]
    key = "lane_segment" if track == "lane_segment" else "lane_centerline"
    block = frame.annotation.to_block(predicted=True)
    for name in ("points", "centerline"):
        if name in block[key][2]:
            block[key][2][name] = (np.array(block[key][2][name]) + (0, 12, 0)).tolist()
    predicted = read_block(PLACE, block, track, predicted=True)
    for root in (None, tree):
        picture = draw_frame(frame, predicted, root=root)
        assert all(has(picture[LEGEND:], color) for color in (HIT, WRONG, MISSED))
        x, y = VIEW.pixels(np.array([[20.0, 0, 0]]))[0].round().astype(int)
        assert has(picture[y - 2 : y + 3, x - 2 : x + 3], HIT), "the lane ahead was found"
    thinned = frame.annotation.to_block(predicted=True)
    for lane in thinned[key]:
        for name in ("points", "centerline", "left_laneline", "right_laneline"):
            if name in lane:
                lane[name] = resample(np.array(lane[name]), 11 if track == "centerline" else 10).tolist()
    picture = draw_frame(frame, read_block(PLACE, thinned, track, predicted=True))[LEGEND:]
    assert has(picture, HIT) and not has(picture, WRONG) and not has(picture, MISSED), "as models predict them"
    truth = draw_frame(frame)
    assert not has(truth, WRONG) and not has(truth, MISSED)
    assert main(["data", "draw", "openlanev2", str(tree), "--count", "2", "--out", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("val_*.png"))) == 2


def test_real_frames_load_draw_and_score_themselves(real_data, tmp_path):
    root = real_data / "openlanev2_from_av2"
    for track, total in (("centerline", 0.75), ("lane_segment", 0.80)):
        frames = OpenLaneV2(root, track)
        assert len(frames) == 12 and {frames[i].subset for i in (0, 5, 11)} == {"A"}
        picture = draw_frame(frames[0], root=root)
        assert picture.shape[0] > 600 and picture.shape[1] > 1500
        scores = evaluate_paths(root, root, track=track)["scores"]
        assert list(scores.values())[-1] == pytest.approx(total, abs=1e-9)
        assert (scores["DET_l"], scores["DET_t"], scores["TOP_ll"], scores["TOP_lt"]) == (1, 1, 1, 0)
