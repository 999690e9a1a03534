"""Readers, transforms and augmentation of lanes, and the metrics that close the loop."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.engine.collate import stack_samples
from perception.errors import InputError, PerceptionError
from perception.plugins.lane_detection.augment import CHANGES, LaneAppearance, LaneWarp, view_matrix, warp_points
from perception.plugins.lane_detection.dataset import CULaneDataset, TuSimpleDataset
from perception.plugins.lane_detection.metric import LaneF1Metric, TuSimpleMetric
from perception.plugins.lane_detection.published_augment import GANetAugment, LaneFlip
from perception.plugins.lane_detection.transforms import LaneCrop, LaneNormalize, LaneResize

PACK = [{"type": "LaneNormalize", "mean": (0, 0, 0), "std": (1, 1, 1)}, {"type": "PackLanes"}]


@pytest.fixture
def culane(tmp_path: Path) -> Path:
    """Two images, the second without a lane file."""
    (tmp_path / "list").mkdir()
    (tmp_path / "a").mkdir()
    for i, size in enumerate([(60, 120), (30, 40)]):
        image = np.full((*size, 3), (0, 0, 200), np.uint8)  # OpenCV writes BGR: this is red
        cv2.imwrite(str(tmp_path / "a" / f"{i}.png"), image)
    (tmp_path / "a" / "0.lines.txt").write_text("10 59 20 30 30 10 \n5 5\n-3.5 50 130 20\n")
    (tmp_path / "list" / "train.txt").write_text("/a/0.png /seg/0.png 1 1 0 0\na/1.png\n")
    return tmp_path


def test_culane_reader(culane: Path):
    data = CULaneDataset(str(culane), "list/train.txt", PACK)
    sample = data.sample(0)
    assert (len(data), sample["name"], sample["image_size"]) == (2, "a/0.png", (120, 60))
    assert sample["img"][0, 0].tolist() == [200, 0, 0], "RGB"
    assert [lane.tolist() for lane in sample["lanes"]] == [[[10, 59], [20, 30], [30, 10]], [[-3.5, 50], [130, 20]]]
    assert data.sample(1)["lanes"] == []


def test_cached_images_keep_lanes_in_place(culane: Path):
    data = CULaneDataset(str(culane), "list/train.txt", PACK, cache_size=(60, 30))
    sample = data.sample(0)
    assert sample["img"].shape == (30, 60, 3)
    np.testing.assert_allclose(sample["lanes"][0][0], [(10.5 * 0.5) - 0.5, (59.5 * 0.5) - 0.5])


def test_faulty_lists_are_named(culane: Path):
    (culane / "list" / "bad.txt").write_text("../../etc/passwd\n")
    with pytest.raises(InputError, match=r"bad\.txt: line 1"):
        CULaneDataset(str(culane), "list/bad.txt", PACK)
    (culane / "list" / "bad.txt").write_text("a/7.png\n")
    with pytest.raises(InputError, match=r"7\.png.*no file"):
        CULaneDataset(str(culane), "list/bad.txt", PACK)[0]
    (culane / "a" / "1.lines.txt").write_text("1 2 x 4\n")
    with pytest.raises(PerceptionError, match=r"1\.lines\.txt.*line 1"):
        CULaneDataset(str(culane), "list/train.txt", PACK)[1]
    (culane / "list" / "bad.txt").write_text("\n")
    with pytest.raises(PerceptionError, match="no images"):
        CULaneDataset(str(culane), "list/bad.txt", PACK)


def test_tusimple_reader_and_metric(culane: Path):
    record = {"raw_file": "a/0.png", "h_samples": [10, 20, 30, 40], "lanes": [[-2, 5, 10, 15], [-2, -2, -2, 9]]}
    (culane / "label.json").write_text(json.dumps(record) + "\n")
    data = TuSimpleDataset(str(culane), "label.json", PACK)
    sample = data.sample(0)
    assert [sorted(lane.tolist()) for lane in sample["lanes"]] == [[[5, 20], [10, 30], [15, 40]]]
    metric = TuSimpleMetric()
    metric.process(None, [{**sample, "lanes": [lane.astype(np.float32) for lane in sample["lanes"]], "scores": [1.0]}])
    assert metric.compute_metrics(metric.results) == pytest.approx({"accuracy": 0.75, "FP": 0, "FN": 0.5, "F1": 2 / 3})
    (culane / "label.json").write_text("{}\n")
    with pytest.raises(InputError, match="line 1"):
        TuSimpleDataset(str(culane), "label.json", PACK)


def test_f1_of_perfect_and_empty_predictions(tmp_path: Path):
    lane = np.stack([np.linspace(300, 320, 20), np.linspace(350, 150, 20)], axis=1).astype(np.float32)
    sample = {"image_size": (640, 360), "gt_lanes": [lane], "name": "x/1.jpg"}
    metric = LaneF1Metric(out_dir=str(tmp_path))
    metric.process(None, [{**sample, "lanes": [lane], "scores": [1.0]}, {**sample, "lanes": [], "scores": []}])
    scores = metric.compute_metrics(metric.results)
    assert scores["F1"] == pytest.approx(2 / 3)
    assert (scores["precision"], scores["recall"]) == (1.0, 0.5)
    assert (tmp_path / "x" / "1.lines.txt").is_file()


def test_crop_is_proportional_for_other_sizes_and_resize_follows():
    sample = {"img": np.zeros((295, 820, 3), np.uint8), "lanes": [np.array([[410.0, 135.0]])]}
    cropped = LaneCrop((0, 270, 1640, 590), (1640, 590))(sample)
    assert cropped["crop"] == (0, 135, 820, 295)
    resized = LaneResize((800, 320))(cropped)
    np.testing.assert_allclose(resized["lanes"][0], [[400, 0]])
    assert resized["input_size"] == (800, 320)


def test_normalisation_orders_channels():
    image = np.zeros((1, 2, 3), np.uint8)
    image[..., 0] = 10
    values = LaneNormalize(mean=(1, 2, 3), std=(1, 2, 7), order="bgr")({"img": image})["inputs"]
    np.testing.assert_allclose(values[:, 0, 0], [-1, -1, 1])
    assert values.dtype == np.float32


def blob(x: float, y: float, width: int = 480, height: int = 270) -> np.ndarray:
    """A black image with a bright Gaussian at (x, y)."""
    rows, columns = np.mgrid[:height, :width]
    value = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18)
    return np.repeat(value[..., None], 3, axis=2).astype(np.uint8)


def center_of(image: np.ndarray) -> np.ndarray:
    weight = image[..., 0].astype(np.float64)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


def test_unchanged_warp_is_the_test_view():
    matrix = view_matrix((0, 94, 480, 270), (400, 160))
    np.testing.assert_allclose(
        warp_points(np.array([[-0.5, 93.5], [479.5, 269.5]]), matrix), [[-0.5, -0.5], [399.5, 159.5]]
    )


@pytest.mark.parametrize("seed", range(5))
def test_warp_moves_image_and_lanes_alike(seed: int):
    warp = LaneWarp((400, 160), (0, 0.35, 1, 1), shift=((-0.1, 0.1), (-0.1, 0.1)), tilt=0.05)
    warp.seed(seed)
    warp._random_matrix = (lambda matrix: lambda: matrix)(warp._random_matrix())  # type: ignore[method-assign]
    black = warp({"img": np.zeros((270, 480, 3), np.uint8), "lanes": []})["img"].astype(np.float64)
    warp.flip = 0.0
    sample = warp({"img": blob(240, 180), "lanes": [np.array([[240.0, 180.0]])]})
    shown = sample["img"].astype(np.float64)
    weight = np.where(
        np.hypot(*(np.mgrid[:160, :400] - sample["lanes"][0][0][::-1, None, None])) < 25, shown[..., 0], 0
    )
    assert black.shape == shown.shape
    np.testing.assert_allclose(center_of(np.repeat(weight[..., None], 3, 2)), sample["lanes"][0][0], atol=0.3)


def test_points_behind_the_horizon_are_dropped():
    matrix = np.array([[1, 0, 0], [0, 1, 0], [0, 0.1, -1]])
    assert warp_points(np.array([[1.0, 0.0], [1.0, 20.0]]), matrix).tolist() == [[1, 20]]


@pytest.mark.parametrize("name", CHANGES)
def test_changes_of_appearance_keep_shape_and_differ(name: str):
    image = np.random.default_rng(1).integers(0, 256, (160, 400, 3)).astype(np.uint8)
    before = image.copy()
    changed = [CHANGES[name][0](image, np.random.default_rng(seed)) for seed in range(4)]
    assert all(other.shape == image.shape and other.dtype == np.uint8 for other in changed)
    assert (image == before).all(), "the cached original stays as it is"
    assert any((other != image).any() for other in changed)


def test_strength_zero_changes_nothing():
    image = blob(10, 10)
    assert (LaneAppearance(strength=0)({"img": image})["img"] == image).all()


def test_flip_mirrors_pixel_centres():
    sample = LaneFlip(1.0)({"img": blob(30, 20, 100, 40), "lanes": [np.array([[30.0, 20.0]])]})
    np.testing.assert_allclose(sample["lanes"][0], [[69, 20]])
    np.testing.assert_allclose(center_of(sample["img"]), [69, 20], atol=0.05)


def test_published_geometry_follows_the_image():
    augment = GANetAugment()
    found = []
    for _ in range(20):
        image, (lane,) = augment._similarity(blob(400, 160, 800, 320), [np.array([[400.0, 160.0]])])
        image, (lane,) = augment._crop(image, [lane])
        found.append(np.abs(center_of(image) - lane[0]).max())
    assert np.median(found) < 1.0


def test_collate_keeps_samples_apart():
    import torch

    items = [{"inputs": torch.zeros(3, 4, 5), "data_samples": {"crop": (0, 0, i, i)}} for i in range(3)]
    batch = stack_samples(items)
    assert batch["inputs"].shape == (3, 3, 4, 5)
    assert [sample["crop"][2] for sample in batch["data_samples"]] == [0, 1, 2]
