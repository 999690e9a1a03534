"""COCO files and the pictures they name: values by hand, and what broken files say."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.datasets.coco import read_coco
from perception.datasets.files import path_below, read_image
from perception.errors import InputError

BOX = {"id": 5, "image_id": 7, "category_id": 3, "bbox": [1, 2, 10, 20]}
IMAGE = {"id": 7, "file_name": "a.png", "width": 40, "height": 30}
CONTENT = {
    "images": [IMAGE],
    "annotations": [BOX],
    "categories": [{"id": 3, "name": "stop"}, {"id": 1, "name": "yield"}],
}


def _file(folder: Path, **changes) -> Path:
    path = folder / "boxes.json"
    path.write_text(json.dumps({**CONTENT, **changes}))
    return path


def test_boxes_labels_and_ids(tmp_path):
    other = {**BOX, "id": "k2", "category_id": 1, "bbox": [0, 0, 4, 5], "iscrowd": 1, "area": 12.5}
    [record], names = read_coco(_file(tmp_path, annotations=[BOX, other]))
    assert names == ("yield", "stop")
    assert (record["file_name"], record["image_id"], record["size"]) == ("a.png", 7, (40, 30))
    assert record["boxes"].tolist() == [[1, 2, 11, 22], [0, 0, 4, 5]] and record["boxes"].dtype == np.float32
    assert record["labels"].tolist() == [1, 0] and record["areas"].tolist() == [200.0, 12.5]
    assert record["crowd"].tolist() == [False, True] and record["ids"] == ("5", "k2")


def test_classes_are_chosen_and_of_one_name_are_one(tmp_path):
    path = _file(tmp_path)
    assert read_coco(path, ["stop"])[0][0]["labels"].tolist() == [0]
    assert read_coco(path, ["yield"])[0][0]["boxes"].shape == (0, 4)
    twice = [{"id": 3, "name": "stop"}, {"id": 4, "name": "stop"}]
    [record], names = read_coco(_file(tmp_path, categories=twice, annotations=[BOX, {**BOX, "category_id": 4}]))
    assert names == ("stop",) and record["labels"].tolist() == [0, 0]


def test_images_come_by_rising_id_and_may_have_no_boxes(tmp_path):
    images = [IMAGE, {**IMAGE, "id": 2, "file_name": "b.png"}]
    records, _ = read_coco(_file(tmp_path, images=images, annotations=[]))
    assert [record["file_name"] for record in records] == ["b.png", "a.png"]
    assert all(record["boxes"].shape == (0, 4) and record["ids"] == () for record in records)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"annotations": [BOX, {**BOX, "bbox": [0, 0, float("nan"), 1]}]}, r"annotation 1: bbox.*found \[0, 0, nan"),
        ({"annotations": [{**BOX, "bbox": [0, 0, -1, 1]}]}, "annotation 0: bbox"),
        ({"annotations": [{**BOX, "bbox": [0, 0, 1]}]}, "annotation 0: bbox"),
        ({"annotations": [{**BOX, "bbox": [0, 0, 10**400, 1]}]}, "annotation 0: bbox"),
        ({"annotations": [{**BOX, "bbox": [0, 0, True, 1]}]}, "annotation 0: bbox"),
        ({"annotations": [{**BOX, "image_id": 8}]}, "annotation 0: image_id: expected the id of an image, found 8"),
        ({"annotations": [{**BOX, "category_id": 9}]}, "annotation 0: category_id.*found 9"),
        ({"annotations": [{"image_id": 7, "bbox": [0, 0, 1, 1]}]}, "annotation 0: category_id.*found nothing"),
        ({"annotations": [{**BOX, "area": "large"}]}, "annotation 0: area"),
        ({"annotations": [{**BOX, "iscrowd": 2}]}, "annotation 0: iscrowd"),
        ({"annotations": [{**BOX, "id": None}]}, "annotation 0: id"),
        ({"annotations": [4]}, "annotations 0: expected a record, found 4"),
        ({"annotations": {"a": 1}}, "annotations: expected a list of records, found dict"),
        ({"images": None}, "images: expected a list of records, found nothing"),
        ({"images": [{"id": 7}]}, "image 7: file_name: expected text, found nothing"),
        ({"images": [{**IMAGE, "width": 0}]}, "image 7: width, height.*found 0 x 30"),
        ({"images": [{**IMAGE, "height": 1.5}]}, "image 7: height: expected a whole number, found 1.5"),
        ({"images": [{**IMAGE, "id": float("inf")}]}, "image number 0: id"),
        ({"images": [IMAGE, IMAGE]}, "image number 1: id.*found 7 again"),
        ({"images": [{**IMAGE, "file_name": "../a.png"}]}, "image 7: file_name.*below the data root"),
        ({"images": [{**IMAGE, "file_name": "/etc/a.png"}]}, "image 7: file_name.*below the data root"),
        ({"categories": 5}, "categories: expected a list of records, found int"),
        ({"categories": [{"id": "three", "name": "stop"}]}, "category 0: id: expected a whole number, found 'three'"),
        ({"categories": [{"id": 3, "name": ""}]}, "category 0: name"),
    ],
)
def test_wrong_files_name_the_record(tmp_path, changes, words):
    path = _file(tmp_path, **changes)
    with pytest.raises(InputError, match=words) as error:
        read_coco(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\xff", b"[" * 100_000])
def test_what_is_no_coco_file(tmp_path, content):
    path = tmp_path / "boxes.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="a COCO file with images and categories"):
        read_coco(path)
    with pytest.raises(InputError, match="FileNotFoundError"):
        read_coco(tmp_path / "missing.json")


def test_unknown_classes_are_named(tmp_path):
    with pytest.raises(InputError, match="the classes merge, found stop, yield"):
        read_coco(_file(tmp_path), ["stop", "merge"])


def test_images_are_rgb_and_of_the_stated_size(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((3, 4, 3), (30, 20, 10), np.uint8))  # OpenCV writes blue, green, red
    assert read_image(path, (4, 3))[0, 0].tolist() == [10, 20, 30]
    with pytest.raises(InputError, match="expected 3 x 4 pixels, as annotated, found 4 x 3"):
        read_image(path, (3, 4))
    with pytest.raises(InputError, match="no file"):
        read_image(tmp_path / "b.png")
    path.write_bytes(b"no image")
    with pytest.raises(InputError, match="cannot be decoded"):
        read_image(path)


def test_paths_stay_below_the_root(tmp_path):
    assert path_below(tmp_path, "a/b.png", "list.txt") == tmp_path / "a" / "b.png"
    for name in ("", "..", "a/../../b", "/b", "a\0b"):
        with pytest.raises(InputError, match=r"list\.txt: line 3: expected a path below"):
            path_below(tmp_path, name, "list.txt", "line 3")
