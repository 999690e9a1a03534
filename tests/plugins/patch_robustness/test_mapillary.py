"""Annotations of MTSD and Vistas, written here after their public descriptions, and what is wrong with others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception.plugins.patch_robustness.mapillary import read_mtsd, read_vistas, write_coco

SIGN = {"key": "k1", "label": "regulatory--stop--g1", "bbox": {"xmin": 10, "ymin": 20.5, "xmax": 30, "ymax": 60}}


def mtsd(root: Path, *objects: dict, key: str = "a", **more) -> Path:
    (root / "splits").mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    with (root / "splits/train.txt").open("a") as file:
        file.write(key + "\n")
    content = {"width": 100, "height": 50, "ispano": False, "objects": list(objects), **more}
    path = root / "annotations" / f"{key}.json"
    path.write_text(json.dumps(content))
    return path


def vistas(root: Path, *objects: dict, place: str = "v2.0/polygons") -> Path:
    path = root / "training" / place / "p.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"width": 100, "height": 50, "objects": list(objects)}))
    return path


def test_mtsd_boxes_are_cut_at_the_border(tmp_path: Path):
    outside = {"key": "k2", "label": "other-sign", "bbox": {"xmin": 120, "ymin": 0, "xmax": 130, "ymax": 5}}
    seam = {
        "key": "k3",
        "label": "other-sign",
        "bbox": {"xmin": 1, "ymin": 1, "xmax": 5, "ymax": 5, "cross_boundary": {}},
    }
    mtsd(tmp_path, SIGN, outside, seam)
    mtsd(tmp_path, SIGN, key="b", ispano=True)
    [photo] = read_mtsd(tmp_path)
    assert photo.filename == "images/a.jpg" and photo.size == (100, 50)
    assert photo.boxes.tolist() == [[10, 20.5, 30, 50]] and photo.boxes.dtype == np.float32
    assert photo.labels == ("regulatory--stop--g1",) and photo.object_ids == ("k1",)
    assert [found.filename for found in read_mtsd(tmp_path, panoramas=True)] == ["images/a.jpg", "images/b.jpg"]


@pytest.mark.parametrize("place", ["v2.0/polygons", "polygons"])
def test_vistas_signs_are_boxes_around_their_polygons(tmp_path: Path, place: str):
    sign = {"label": "object--traffic-sign--front", "polygon": [[5, 5], [15, 8], [9, 20]], "id": 7}
    road = {"label": "construction--flat--road", "polygon": [[0, 40], [100, 40], [50, 50]]}
    vistas(tmp_path, road, sign, place=place)
    [photo] = read_vistas(tmp_path)
    assert photo.filename == "training/images/p.jpg" and photo.object_ids == ("7",)
    assert photo.boxes.tolist() == [[5, 5, 15, 20]]
    assert len(next(read_vistas(tmp_path, prefix="")).labels) == 2


def test_photos_become_a_coco_file(tmp_path: Path):
    mtsd(tmp_path, SIGN)
    mtsd(tmp_path, key="c")
    names = write_coco(tmp_path / "out/train.json", read_mtsd(tmp_path))
    content = json.loads((tmp_path / "out/train.json").read_text())
    assert names == ("regulatory--stop--g1",) and len(content["images"]) == 2
    assert content["annotations"] == [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20.5, 20, 29.5], "area": 590, "iscrowd": 0}
    ]
    assert write_coco(tmp_path / "two.json", read_mtsd(tmp_path), ("circle", "other")) == ("circle", "other")
    assert json.loads((tmp_path / "two.json").read_text())["annotations"][0]["category_id"] == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"bbox": None}, "object 0"),
        ({"bbox": {"xmin": "1", "ymin": 0, "xmax": 2, "ymax": 2}}, "bbox.xmin"),
        ({"bbox": {"xmin": float("nan"), "ymin": 0, "xmax": 2, "ymax": 2}}, "a finite number"),
        ({"bbox": {"xmin": 5, "ymin": 0, "xmax": 2, "ymax": 2}}, "corners in order"),
        ({"label": 3}, "object 0: label"),
    ],
)
def test_wrong_objects_are_named(tmp_path: Path, change: dict, expected: str):
    mtsd(tmp_path, {**SIGN, **change})
    with pytest.raises(InputError, match=expected):
        list(read_mtsd(tmp_path))


def test_wrong_files_are_named(tmp_path: Path):
    with pytest.raises(InputError, match="a list of image keys"):
        list(read_mtsd(tmp_path))
    path = mtsd(tmp_path, SIGN, width=0)
    with pytest.raises(InputError, match="at least 1 pixel"):
        list(read_mtsd(tmp_path))
    for text, expected in (
        ("[1]", "a JSON object"),
        ("{", "a JSON annotation"),
        ('{"width": 9, "height": 9}', "objects"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=expected):
            list(read_mtsd(tmp_path))
    (tmp_path / "splits/train.txt").write_text("../secret\n")
    with pytest.raises(InputError, match="the key of an image"):
        list(read_mtsd(tmp_path))
    with pytest.raises(InputError, match="polygons"):
        list(read_vistas(tmp_path))
    vistas(tmp_path, {"label": "object--traffic-sign--front", "polygon": [[1, 2]]})
    with pytest.raises(InputError, match="3 points or more"):
        list(read_vistas(tmp_path))
