"""``perception simulate --format signs``: COCO boxes and the REAP table against rendered instance masks."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from perception.errors import PerceptionError
from perception.plugins.patch_robustness.scenes import SignTableScenes
from perception.sim.city.faces import SHAPES
from perception.sim.city.sensors.camera import View
from perception.sim.city.truth_objects import SignView, hidden_pixels
from perception.sim.writers import Request, writer
from perception.sim.writers import signs as writing

SIZE, SEED = (256, 192), 900_320


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("signs")
    list(writer("signs")(Request(out, 1, 4, SEED, "day", SIZE)))
    return out


@pytest.fixture(scope="module")
def views():
    """The same pictures rendered again, with the sign that each pixel belongs to."""
    job = writing._Job("", SEED, "day", 4, 2.0, SIZE, 55.0, 12.0, "stops")
    drive = writing._drive(job)
    return drive.town, [sample.views["front"].instance for sample in writing._samples(drive, job)]


def annotations(folder, split="test"):
    content = json.loads((folder / f"annotations/signs_{split}.json").read_text())
    return content["images"], content["annotations"], [entry["name"] for entry in content["categories"]]


def test_boxes_surround_the_rendered_signs(folder, views):
    images, signs, names = annotations(folder)
    assert len(images) == 4 and len(signs) >= 4 and names == list(SHAPES)
    whole = 0
    for sign in signs:
        mask = views[1][sign["image_id"] - 1] == sign["instance"]
        rows, columns = np.nonzero(mask)
        x, y, w, h = sign["bbox"]
        seen = np.array([columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5])
        box = np.array([x, y, x + w, y + h])
        assert (seen[:2] >= box[:2] - 1).all() and (seen[2:] <= box[2:] + 1).all()
        element = next(e for e in views[0].elements if e.instance == sign["instance"])
        assert names[sign["category_id"] - 1] == element.shape
        whole += bool(np.abs(seen - box).max() <= 1)
    assert whole >= len(signs) / 2  # the others are partly hidden


def test_masks_are_white_where_something_stands_in_front_of_a_sign(folder, views):
    for number in range(4):
        mask = cv2.imread(str(folder / f"masks/{SEED:07d}/{number:05d}.png"), cv2.IMREAD_GRAYSCALE)
        assert mask.shape == SIZE[::-1] and set(np.unique(mask)) <= {0, 255}
        signs = [sign["instance"] for sign in annotations(folder)[1] if sign["image_id"] == number + 1]
        assert not (mask[np.isin(views[1][number], signs)] > 0).any()


def test_what_hides_a_sign_is_nearer_than_it():
    instance, depth = np.zeros((6, 8), np.int32), np.full((6, 8), 50.0, np.float32)
    instance[1:5, 1:7], depth[1:5, 1:7] = 7, 10.0
    instance[2, 4:8], depth[2, 4:8] = 9, 6.0  # a branch, which goes on beside the sign
    instance[3, 2], depth[3, 2] = 8, 9.0  # another sign
    view = View(np.zeros((6, 8, 3), np.float32), depth, np.zeros((6, 8), np.uint8), instance)

    def sign(number: int, box: list[float]) -> SignView:
        return SignView(SimpleNamespace(instance=number), np.zeros((4, 2)), 1.0, np.array(box))

    first, second = sign(7, [0.6, 0.6, 6.4, 4.4]), sign(8, [1.5, 2.5, 2.5, 3.5])
    assert np.argwhere(hidden_pixels(view, [first, second])).tolist() == [[2, 4], [2, 5], [2, 6], [2, 7]]
    assert np.argwhere(hidden_pixels(view, [first])).tolist() == [[2, 4], [2, 5], [2, 6], [2, 7], [3, 2]]
    assert not hidden_pixels(view, [sign(5, [0, 0, 3, 3]), sign(7, [-9, -9, -5, -5])]).any()


def test_every_picture_is_taken_before_a_sign(folder):
    images, signs, _ = annotations(folder)
    assert {sign["image_id"] for sign in signs} == {image["id"] for image in images}


def test_the_table_names_corners_and_the_light_that_the_picture_has(folder, views):
    images, signs, _ = annotations(folder)
    with open(folder / "reap_annotations.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["object_id"]) for row in rows] == [sign["id"] for sign in signs]
    lit = 0
    for row, sign in zip(rows, signs):
        image = images[sign["image_id"] - 1]
        assert row["filename"] == image["file_name"]
        points = np.array(json.loads(row["tgt_points"]))
        assert points.shape == (len(SHAPES[row["final_shape"]].keypoints), 2)
        x, y, w, h = sign["bbox"]
        inside = points.clip([0, 0], np.array(SIZE) - 1)
        assert (inside >= np.array([x, y]) - 2).all() and (
            inside <= np.array([x + w, y + h]) + 2
        ).all()  # corners around a disc
        if row["percentile_coeffs"] == "[]":
            continue
        lit += 1
        [[gain, offset]] = json.loads(row["percentile_coeffs"])
        picture = cv2.imread(str(folder / "images" / row["filename"]))
        values = picture[views[1][sign["image_id"] - 1] == sign["instance"]] / 255
        low, high = np.percentile(values, [20, 80])
        assert abs(gain - (high - low)) < 0.06 and abs(offset - low) < 0.06  # but for JPEG
    assert lit >= len(rows) / 2


def test_signs_that_something_hides_carry_no_patch(folder):
    record = json.loads(next(folder.glob("images/*/00000.json")).read_text())
    record["signs"] = [{**record["signs"][0], "visible": visible} for visible in (0.95, 0.5)]
    writing._write_files(folder / "hidden", {"train": [], "val": [], "test": [record]})
    with open(folder / "hidden/reap_annotations.csv", newline="") as file:
        lights = [row["percentile_coeffs"] for row in csv.DictReader(file)]
    assert lights[0] != "[]" and lights[1] == "[]"


def test_the_scenes_of_attacks_read_the_folder(folder):
    scenes = SignTableScenes(str(folder), "annotations/signs_test.json", "reap_annotations.csv", "images", min_side=12)
    sample = scenes[0]
    assert sample.image.shape == (SIZE[1], SIZE[0], 3) and sample.surfaces
    for surface in sample.surfaces:
        box = sample.truth.boxes[surface.instance]
        assert surface.label == sample.truth.class_names[sample.truth.labels[surface.instance]]
        assert (surface.quad.amin(0).numpy() >= box[:2] - 1).all()


def test_held_out_towns_are_for_testing_and_one_in_ten_of_the_others():
    assert [writing._split(number, 5 + number) for number in range(10)] == ["train"] * 8 + ["val", "test"]
    assert {writing._split(number, 900_000 + number) for number in range(10)} == {"test"}


def test_nonsense_is_refused(tmp_path):
    with pytest.raises(PerceptionError, match="stops"):
        list(writer("signs")(Request(tmp_path, 1, 1, 0, "day", SIZE, options={"path": "walk"})))
