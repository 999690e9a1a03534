"""Readers and ``perception data`` on small trees of every format, whole and damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from perception.cli import main
from perception.engine.datasets import examine, find_tool
from perception.errors import PerceptionError
from perception.plugins.crowd_counting import (
    components,  # noqa: F401
    tiny_data,
)
from perception.registry import DATASETS

KINDS = {
    "shanghaitech": "ShanghaiTechDataset",
    "ucf_qnrf": "QNRFDataset",
    "jhu_crowd": "JHUCrowdDataset",
    "trancos": "TrancosDataset",
    "own_points": "OwnPointsDataset",
}


def tree(root: Path, kind: str) -> Path:
    tiny_data.write(root, {"train_dataloader": {"dataset": {"type": kind}}}, 3)
    return root


@pytest.mark.parametrize("name", KINDS)
def test_a_whole_tree_is_read_and_found_sound(name: str, tmp_path: Path):
    root = tree(tmp_path, KINDS[name])
    dataset = DATASETS.build({"type": KINDS[name], "data_root": str(root), "pipeline": [], "split": "train"})
    sample = dataset.sample(2)
    image, points = tiny_data.draw(2, 10)
    assert sample["img"].shape == image.shape
    tolerance = 0.6 if name == "jhu_crowd" else 0.02  # whole pixels there
    if name == "trancos":
        points = points[points[:, 1] >= 10]  # the region leaves out the first ten rows
    np.testing.assert_allclose(sample["points"], points, atol=tolerance)
    reports = list(examine(find_tool(name), root, cache=tmp_path / "cache"))
    assert not [f for f in reports[-1].findings if f.fatal]
    assert reports[-1].stats()["heads"]["max"] >= 100


def test_damage_is_named(tmp_path: Path, capsys):
    root = tree(tmp_path / "sha", "ShanghaiTechDataset")
    (root / "train_data/images/IMG_2.jpg").write_bytes(b"x")
    (root / "train_data/ground_truth/GT_IMG_3.mat").write_bytes(b"x")
    findings = list(examine(find_tool("shanghaitech"), root, cache=tmp_path / "cache"))[-1].findings
    assert {f.where for f in findings if f.fatal} == {"train_data/images/IMG_2.jpg", "train_data/images/IMG_3.jpg"}
    assert main(["data", "check", "shanghaitech", str(root)]) != 0
    assert "IMG_2.jpg" in "".join(capsys.readouterr())


def test_own_files(tmp_path: Path):
    image, _ = tiny_data.draw(0, 3)
    tiny_data._picture(tmp_path / "a b.jpg", image)
    (tmp_path / "train.csv").write_text("image,x,y\na b.jpg,3,4\na b.jpg,5.5,6\n")
    (tmp_path / "val.csv").write_text("image,x,y\na b.jpg,,\n")
    for split, expected in (("train", [[3, 4], [5.5, 6]]), ("val", [])):
        dataset = DATASETS.build(
            {"type": "OwnPointsDataset", "data_root": str(tmp_path), "pipeline": [], "split": split}
        )
        assert dataset.sample(0)["points"].tolist() == expected
    for content, message in (
        ([{"image": "../x.jpg", "points": []}], "below the data root"),
        ([{"image": "a b.jpg", "points": [[1, float("nan")]]}], "finite"),
        ([{"image": "a b.jpg"}], "image and points"),
        ({"images": 3}, "a list of records"),
    ):
        (tmp_path / "test.json").write_text(json.dumps(content))
        with pytest.raises(PerceptionError, match=message):
            DATASETS.build({"type": "OwnPointsDataset", "data_root": str(tmp_path), "pipeline": [], "split": "test"})


def test_metric_command(tmp_path: Path, capsys):
    truth = [
        {"image": "a", "size": [100, 100], "points": [[10, 10], [90, 90]]},
        {"image": "b", "size": [9, 9], "points": []},
    ]
    ours = [{"image": "a", "points": [[12, 10], [10, 90]]}, {"image": "b", "points": []}]
    for name, content in (("gt", truth), ("pred", ours)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"images": content}))
    out = tmp_path / "scores.json"
    assert main(["metric", "crowd", str(tmp_path / "pred.json"), str(tmp_path / "gt.json"), "--json", str(out)]) == 0
    scores = json.loads(out.read_text())
    assert scores["MAE"] == 0 and scores["GAME1"] == 1.0 and scores["precision"] == 0.5 and scores["mean"] == 1.0
    (tmp_path / "counts.csv").write_text("image,count\na,5\nb,0\n")
    main(["metric", "crowd", str(tmp_path / "counts.csv"), str(tmp_path / "gt.json"), "--json", str(out)])
    assert json.loads(out.read_text())["MAE"] == 1.5
    (tmp_path / "counts.csv").write_text("image,count\na,5\n")
    assert main(["metric", "crowd", str(tmp_path / "counts.csv"), str(tmp_path / "gt.json")]) != 0
    assert "missing" in "".join(capsys.readouterr())
