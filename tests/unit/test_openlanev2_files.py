"""``perception metric openlanev2`` on json files: forms it reads, and faults it names."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perception.cli import main
from perception.errors import InputError
from perception.metrics.openlanev2 import evaluate_paths, open_frames

LINE = [[0.0, 0.0, 0.0], [5.0, 0.0, 0.0], [10.0, 0.5, 0.0]]
FRAME = "val/10000/111"


def centerline_block(confidence: bool) -> dict[str, Any]:
    scores = {"confidence": 0.9} if confidence else {}
    return {
        "lane_centerline": [
            {"id": name, "points": [[x, y + shift, z] for x, y, z in LINE], **scores}
            for name, shift in (("a", 0.0), ("b", 4.0))
        ],
        "traffic_element": [{"id": 7, "category": 1, "attribute": 2, "points": [[10, 10], [30, 50]], **scores}],
        "topology_lclc": [[0, 1], [0, 0]],
        "topology_lcte": [[1], [0]],
    }


def segment_block(confidence: bool) -> dict[str, Any]:
    block = centerline_block(confidence)
    lanes = block.pop("lane_centerline")
    for lane in lanes:
        line = lane.pop("points")
        lane |= {"centerline": line, "left_laneline": line, "right_laneline": line}
    ring = [[0.0, 0, 0], [4, 0, 0], [4, 3, 0], [0, 3, 0], [0, 0, 0]]
    area = {"id": "a", "category": 1, "points": ring} | ({"confidence": 0.5} if confidence else {})
    graphs = {"topology_lsls": block.pop("topology_lclc"), "topology_lste": block.pop("topology_lcte")}
    return {**block, **graphs, "lane_segment": lanes, "area": [area]}


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def results(path: Path, blocks: dict[str, Any], key: str = "predictions") -> Path:
    return write(path, {"method": "m", "results": {name: {key: block} for name, block in blocks.items()}})


@pytest.fixture()
def tree(tmp_path: Path) -> Path:
    """A raw tree of one frame in both forms, and its split list."""
    info = tmp_path / "tree" / "val" / "10000" / "info"
    write(info / "111.json", {"segment_id": "10000", "timestamp": 111, "annotation": centerline_block(False)})
    write(info / "111-ls.json", {"segment_id": "10000", "timestamp": 111, "annotation": segment_block(False)})
    write(tmp_path / "tree" / "data_dict_sample.json", {"val": {"10000": ["111.json"]}})
    return tmp_path / "tree"


@pytest.mark.parametrize(("track", "block"), [("centerline", centerline_block), ("lane_segment", segment_block)])
def test_every_form_of_truth_gives_the_same_scores(tree: Path, tmp_path: Path, track: str, block: Callable):
    pred = results(tmp_path / "pred.json", {FRAME: block(True)})
    expected = evaluate_paths(pred, tree, track=track)
    assert expected["frames"] == 1
    ending = "-ls" if track == "lane_segment" else ""
    listed, single = tree / "data_dict_sample.json", tree / f"val/10000/info/111{ending}.json"
    named = results(tmp_path / "gt.json", {FRAME: block(False)}, "annotation")
    for truth in (listed, single, named):
        assert evaluate_paths(pred, truth, track=track) == expected
    assert expected["scores"]["DET_l"] == 1.0 if track == "centerline" else expected["lanesegnet"]["AP_ped"] < 1.0


def test_raw_annotation_is_thinned_out_as_in_the_collections(tmp_path: Path):
    block = centerline_block(False)
    block["lane_centerline"][0]["points"] = [[0.1 * i, 0, 0] for i in range(201)]
    frames = open_frames(results(tmp_path / "gt.json", {FRAME: block}, "annotation"))
    scene = frames.scene(("10000", "111"), "truth")
    assert [len(line) for line in scene.lanes[0]] == [11, 3]
    assert scene.lanes[0][0][1, 0] == pytest.approx(2.0)
    frames = open_frames(results(tmp_path / "ls.json", {FRAME: segment_block(False)}, "annotation"))
    scene = frames.scene(("10000", "111"), "truth")
    assert [[len(line) for line in lines] for lines in (*scene.lanes, scene.areas)] == [[10, 10]] * 3 + [[20]]


def lane(block: dict[str, Any]) -> dict[str, Any]:
    return block["lane_centerline"][1]


FAULTS: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (
        lambda b: lane(b).update(points=[[0, 0], [1, 1]]),
        r"lane_centerline 'b', points: expected shape \(P, 3\).*\(2, 2\)",
    ),
    (lambda b: lane(b).update(points=[]), r"lane_centerline 'b', points: expected shape \(P, 3\)"),
    (lambda b: lane(b).update(points=[[0, 0, 0], [1]]), "'b', points: .*found rows of different length"),
    (lambda b: lane(b)["points"][1].__setitem__(2, float("nan")), r"'b', points: expected finite.*nan at \[1, 2\]"),
    (lambda b: lane(b).update(points=[["0", "0", "0"]]), "'b', points: expected numbers"),
    (lambda b: lane(b).pop("confidence"), "'b', confidence: expected a finite number, found nothing"),
    (lambda b: lane(b).update(confidence=float("inf")), "'b', confidence: expected a finite number, found inf"),
    (lambda b: lane(b).update(id="a"), r"lane_centerline\[1\], id: .*'a' as of lane_centerline\[0\]"),
    (lambda b: lane(b).update(id=7), r"traffic_element\[0\], id: .*7 as of lane_centerline\[1\]"),
    (lambda b: lane(b).pop("id"), r"lane_centerline\[1\], id: expected a number or text"),
    (lambda b: b.pop("lane_centerline"), "lane_centerline: expected a list of objects, found nothing"),
    (lambda b: b["traffic_element"][0].update(attribute=13), "traffic_element 7, attribute: .*0 to 12, found 13"),
    (lambda b: b["traffic_element"][0].update(points=[[0, 0]]), r"traffic_element 7, points: expected shape \(2, 2\)"),
    (lambda b: b.update(topology_lclc=[[0, 1]]), r"topology_lclc: expected shape \(2, 2\), found shape \(1, 2\)"),
    (lambda b: b.update(topology_lcte=[[], []]), r"topology_lcte: expected shape \(2, 1\), found shape \(2, 0\)"),
    (lambda b: b["topology_lclc"][0].__setitem__(0, float("nan")), r"topology_lclc: .*nan at \[0, 0\]"),
    (lambda b: b.pop("topology_lclc"), r"topology_lclc: expected shape \(2, 2\), found nothing"),
]


@pytest.mark.parametrize(("spoil", "message"), FAULTS)
def test_a_malformed_prediction_is_named(tree: Path, tmp_path: Path, spoil: Callable, message: str):
    block = copy.deepcopy(centerline_block(True))
    spoil(block)
    pred = results(tmp_path / "pred.json", {FRAME: block})
    with pytest.raises(InputError, match=rf"pred\.json: frame 10000/111, .*{message}"):
        evaluate_paths(pred, tree)


def test_ids_are_shared_only_where_the_devkit_lets_them(tree: Path, tmp_path: Path):
    truth = centerline_block(False)
    lane(truth).update(id=7)  # as the traffic element
    pred = results(tmp_path / "pred.json", {FRAME: centerline_block(True)})
    assert evaluate_paths(pred, results(tmp_path / "gt.json", {FRAME: truth}, "annotation"))["scores"]["OLS"] == 1.0
    segments = segment_block(True)
    segments["lane_segment"][1]["id"] = 7
    assert evaluate_paths(results(tmp_path / "a.json", {FRAME: segments}), tree, track="lane_segment")["frames"] == 1
    segments["lane_segment"][0]["id"] = 7
    with pytest.raises(InputError, match=r"lane_segment\[1\], id: .*7 as of lane_segment\[0\]"):
        evaluate_paths(results(tmp_path / "b.json", {FRAME: segments}), tree, track="lane_segment")


def test_truth_must_hold_zeros_and_ones(tree: Path, tmp_path: Path):
    block = centerline_block(False)
    block["topology_lclc"][0][1] = 0.5
    truth = results(tmp_path / "gt.json", {FRAME: block}, "annotation")
    with pytest.raises(InputError, match=r"gt\.json: frame 10000/111, topology_lclc: expected 0 or 1, found .*0\.5"):
        evaluate_paths(tree, truth)


def test_no_frame_is_skipped(tree: Path, tmp_path: Path):
    block = centerline_block(True)
    empty = results(tmp_path / "empty.json", {})
    with pytest.raises(InputError, match=r"empty\.json: expected at least one frame, found none"):
        evaluate_paths(empty, tree)
    other = results(tmp_path / "other.json", {"val/10000/222": block})
    with pytest.raises(InputError, match=r"other\.json: frame 10000/111: expected a prediction for each of the 1"):
        evaluate_paths(other, tree)
    more = results(tmp_path / "more.json", {FRAME: block, "val/10000/222": block, "val/10000/333": block})
    with pytest.raises(InputError, match=r"more\.json: frame 10000/222: expected only frames of .*1 other"):
        evaluate_paths(more, tree)
    twice = results(tmp_path / "twice.json", {FRAME: block, "train/10000/111": block})
    with pytest.raises(InputError, match=r"twice\.json: frame 10000/111: .*found it twice"):
        evaluate_paths(twice, tree)


def test_what_is_no_truth_is_named(tree: Path, tmp_path: Path):
    write(tree / "data_dict_sample.json", {"val": {"10000": ["111.json", "444.json"]}})
    with pytest.raises(InputError, match=r"val/10000/444\.json: expected the file .*444\.json, found nothing"):
        open_frames(tree / "data_dict_sample.json")
    write(tree / "data_dict_sample.json", {"..": {"..": ["111.json"]}})
    with pytest.raises(InputError, match="a file below the list's folder"):
        open_frames(tree / "data_dict_sample.json")
    write(tree / "val/10000/info/111.json", {"segment_id": "10000", "timestamp": 111})
    with pytest.raises(InputError, match=r"111\.json: frame 10000/111, .*annotation \(test frames have none\)"):
        evaluate_paths(tree, tree)
    with pytest.raises(InputError, match=r"expected frames .*, found none"):
        open_frames(tmp_path / "tree" / "val")
    with pytest.raises(InputError, match="--trust to open a pickle"):
        open_frames(tmp_path / "results.pkl")
    (tmp_path / "cut.json").write_text('{"results": {')
    with pytest.raises(InputError, match=r"cut\.json: expected json"):
        open_frames(tmp_path / "cut.json")


def test_worst_frames_come_first(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    good, bad = centerline_block(True), centerline_block(True)
    for item in bad["lane_centerline"]:
        item["points"] = [[x, y + 30, z] for x, y, z in LINE]
    other = "val/10000/222"
    pred = results(tmp_path / "pred.json", {FRAME: good, other: bad})
    truth = results(
        tmp_path / "gt.json", {FRAME: centerline_block(False), other: centerline_block(False)}, "annotation"
    )
    rows = evaluate_paths(pred, truth, per_frame=True)["per_frame"]
    assert [(row["frame"], row["DET_l"], row["TOP_ll"]) for row in rows] == [("10000/222", 0, 0), ("10000/111", 1, 1)]
    assert "per_frame" not in evaluate_paths(pred, truth)
    assert main(["metric", "openlanev2", str(pred), str(truth), "--worst", "1"]) == 0
    printed = capsys.readouterr().out
    assert "10000/222: DET_l 0.0000" in printed
    assert "10000/111:" not in printed


def test_command(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out" / "scores.json"
    assert main(["metric", "openlanev2", str(tree), str(tree), "--version", "v1.1", "--json", str(out)]) == 0
    assert "OpenLane-V2 v1.1, centerline, 1 frames" in capsys.readouterr().out
    report = json.loads(out.read_text())
    assert (report["metric"], report["version"], report["scores"]["OLS"]) == ("openlanev2", "v1.1", 1.0)
    assert main(["metric", "openlanev2", str(tree), str(tree), "--track", "lane_segment", "--version", "v1.0"]) == 2
    assert "does not define the track 'lane_segment'" in capsys.readouterr().err


def test_real_frames_against_themselves(real_data: Path):
    root = real_data / "openlanev2_from_av2"
    if not root.is_dir():
        pytest.skip(f"no OpenLane-V2 frames at {root}")
    report = evaluate_paths(root, root)
    assert report["frames"] == 12
    expected = {"DET_l": 1.0, "DET_t": 1.0, "TOP_ll": 1.0, "TOP_lt": 0.0, "OLS": 0.75}
    assert report["scores"] == pytest.approx(expected, abs=1e-7)
    segments = evaluate_paths(root, root / "data_dict_sample.json", track="lane_segment", threads=2)
    assert segments["frames"] == 12
    assert segments["scores"]["UniScore"] == pytest.approx(0.8, abs=1e-7)
    assert segments["lanesegnet"]["mAP"] == pytest.approx(1.0, abs=1e-7)
