"""Data to attack: drawn signs, REAP tables, places in the world; and the commands."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from perception.cli import main
from perception.errors import InputError, PerceptionError
from perception.geometry import Camera, make_pose
from perception.geometry.transforms import CAMERA_AXES_IN_EGO
from perception.plugins.patch_robustness.lighting import Lighting
from perception.plugins.patch_robustness.placement import board_corners, place, road_corners
from perception.plugins.patch_robustness.reap_table import SignRow, read_labels, read_table, write_table
from perception.plugins.patch_robustness.scenes import DrawnSigns, SignTableScenes, _around
from perception.plugins.patch_robustness.signs import SIGN_CLASSES


def test_drawn_signs_have_boxes_around_them():
    for number in range(3):
        sample = DrawnSigns(3, seed=5)[number]
        (surface,), box = sample.surfaces, sample.truth.boxes[0]
        assert surface.instance == 0 and surface.label == SIGN_CLASSES[sample.truth.labels[0]].name
        assert 20 < box[2] - box[0] + box[3] - box[1] < 2 * 70
    again = DrawnSigns(3, seed=5)[2]
    assert np.array_equal(again.image, sample.image)


def _rows() -> list[SignRow]:
    light = {"percentile": Lighting("percentile", torch.tensor([[0.4, 0.1]]))}
    square = np.array([[10, 10], [40, 10], [40, 40], [10, 40]], np.float32)
    return [SignRow("a.png", "1", "octagon", square, light), SignRow("a.png", "2", "triangle", square[:3], light)]


def test_tables_are_written_and_read(tmp_path: Path):
    write_table(tmp_path / "t.csv", _rows())
    rows = read_table(tmp_path / "t.csv")
    assert [row.label for row in rows] == ["octagon", "triangle"]
    assert np.array_equal(rows[0].keypoints, _rows()[0].keypoints)
    assert torch.allclose(rows[0].lights["percentile"].coefficients, torch.tensor([[0.4, 0.1]]))
    assert rows[1].surface(instance=3, scale=0.5).quad.tolist() == [[5, 5], [20, 5], [20, 20]]
    with pytest.raises(InputError, match="light of method polynomial"):
        rows[0].surface("polynomial")


def test_older_tables_and_wrong_ones(tmp_path: Path):
    head = "filename,object_id,final_shape,tgt_points,alpha,beta\n"
    path = tmp_path / "old.csv"
    path.write_text(
        head + 'x.jpg,7,up-triangle,"[[0,0],[9,0],[4,8],[4.3,2.7]]",0.5,0.1\nx.jpg,8,other,"[[0,0],[9,0],[4,8]]",,\n'
    )
    rows = read_table(path)
    assert len(rows[0].keypoints) == 3 and rows[0].lights["percentile"].gain == pytest.approx(0.5)
    assert not rows[1].lights
    for line, words in (
        ('x.jpg,7,blob,"[[0,0],[9,0],[4,8]]",,', "line 2.*sign class"),
        ("x.jpg,7,octagon,__import__('os'),,", "line 2.*numbers in tgt_points"),
        ('x.jpg,7,octagon,"[[0,0]]",,', "line 2.*three or four"),
        ('x.jpg,7,octagon,"[[0,0],[9],[4,8]]",,', "line 2.*numbers in tgt_points"),
        ('x.jpg,7,octagon,"[[0,0],[9,0],[9,9],[0,9]]",1e999,0.1', "line 2.*coefficients of percentile"),
        ("x.jpg,7,octagon,\"[[0,0],[9,0],[9,9],[0,9]]\",'a',0.1", "line 2.*numbers in alpha"),
    ):
        path.write_text(head + line + "\n")
        with pytest.raises(InputError, match=words):
            read_table(path)
    path.write_text("a,b\n")
    with pytest.raises(InputError, match="columns filename"):
        read_table(path)


def test_label_files(tmp_path: Path):
    path = tmp_path / "x.txt"
    path.write_text("3,1.5,2,30,40,800,600,77\n")
    assert read_labels(path) == [(3, (1.5, 2.0, 30.0, 40.0), (800, 600), "77")]
    path.write_text("3,1.5\n")
    with pytest.raises(InputError, match="line 1"):
        read_labels(path)


def test_scenes_join_boxes_and_table(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((60, 80, 3), 90, np.uint8))
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 80, "height": 60}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 11, "bbox": [10, 10, 30, 30]}],
        "categories": [{"id": index + 1, "name": found.name} for index, found in enumerate(SIGN_CLASSES)],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    write_table(tmp_path / "t.csv", _rows())
    scenes = SignTableScenes(str(tmp_path), "boxes.json", "t.csv")
    sample = scenes[0]
    assert len(scenes) == 1 and sample.surfaces[0].label == "octagon" and sample.surfaces[0].instance == 0
    assert sample.truth.class_names[sample.truth.labels[0]] == "octagon"
    with pytest.raises(InputError, match="at least 99 px"):
        SignTableScenes(str(tmp_path), "boxes.json", "t.csv", min_side=99)
    with pytest.raises(InputError, match=r"t\.csv: expected light of the method 'percentil', .* mean 'percentile'"):
        SignTableScenes(str(tmp_path), "boxes.json", "t.csv", method="percentil")
    drawn, boxes = scenes.picture(0)
    assert len(boxes) == 1 and (sample.image == 90).all(), "what is drawn stays out of the sample"
    high, wide = drawn.shape[:2]
    assert wide < 80 and boxes.image_size == (wide, high)
    points = scenes.rows["a.png", "1"].keypoints
    (x, y), (u, v) = (points[:2] - _around(points, (80, 60))[:2]).round().astype(int)
    assert drawn[y, x, 0] > 200 > drawn[y, x, 1], "the first keypoint is red"
    assert drawn[v, u, 1] > 200 > drawn[v, u, 0]
    assert sample.hidden is None, "no masks, nothing is known"
    mask = np.zeros(sample.image.shape[:2], np.uint8)
    mask[:5] = 255
    (tmp_path / "masks").mkdir()
    path = (tmp_path / "masks" / sample.name).with_suffix(".png")
    cv2.imwrite(str(path), mask)
    assert np.array_equal(scenes[0].hidden, mask > 0)
    cv2.imwrite(str(path), mask[1:])
    with pytest.raises(InputError, match="expected a mask of"):
        scenes[0]


CAMERA = Camera(
    "front",
    400,
    200,
    [[300, 0, 200], [0, 300, 100], [0, 0, 1]],
    ego_from_camera=make_pose(CAMERA_AXES_IN_EGO, [0, 0, 1.5]),
)


def test_a_road_patch_comes_nearer_while_we_drive():
    corners = road_corners(20, 0, (2, 4))
    here = place(corners, (2, 4), CAMERA)
    assert here is not None
    # 21 m ahead, 2 m left and right, 1.5 m below the camera
    assert here.quad[0].tolist() == pytest.approx([200 - 300 * 2 / 21, 100 + 300 * 1.5 / 21], abs=1e-3)
    ahead = make_pose(np.eye(3), [10, 0, 0])
    later = place(corners, (2, 4), CAMERA, np.eye(4), ahead)
    assert later is not None
    assert later.quad[0].tolist() == pytest.approx([200 - 300 * 2 / 11, 100 + 300 * 1.5 / 11], abs=1e-3)
    assert place(corners, (2, 4), CAMERA, np.eye(4), make_pose(np.eye(3), [30, 0, 0])) is None  # passed
    with pytest.raises(PerceptionError, match="both poses"):
        place(corners, (2, 4), CAMERA, np.eye(4))


def test_a_board_stands_upright():
    surface = place(board_corners(10, 2, (1, 2), below=1.0), (1, 2), CAMERA)
    assert surface is not None
    expected = [[200 - 90, 100 - 15], [200 - 30, 100 - 15], [200 - 30, 100 + 15], [200 - 90, 100 + 15]]
    assert torch.allclose(surface.quad, torch.tensor(expected, dtype=torch.float32), atol=1e-3)


def test_commands_craft_evaluate_and_report(tmp_path: Path, capsys):
    patch, report = tmp_path / "p", tmp_path / "r"
    assert (
        main(["attack", "craft", "robustness/drawn_signs.py", "--out", str(patch), "--cfg-options", "attack.steps=2"])
        == 0
    )
    arguments = ["attack", "eval", "robustness/drawn_signs.py", "--patch", str(patch / "seed_0"), "--out", str(report)]
    assert main(arguments) == 0
    content = json.loads((report / "report.json").read_text())
    assert set(content["conditions"]) == {"grey", "random", "seed 0"}
    assert content["threat_model"]["knowledge"] == "white box"
    assert main(["attack", "report", str(report)]) == 0
    assert "seed 0" in capsys.readouterr().out
    assert main([*arguments, "--fail-above", "asr=2"]) == 2
    same = [*arguments, "--cfg-options", "eval_data.seed=0"]
    assert main(same) == 2 and "held-out" in capsys.readouterr().err
