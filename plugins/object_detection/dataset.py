"""Images and boxes in COCO files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from perception.errors import InputError
from perception.registry import DATASETS
from perception.structures import Boxes2D, Result

from .letterbox import letterbox

__all__ = ["CocoBoxes", "read_coco"]

_AIM = 0.85
"""Share of crops that are cut around an object."""
_VISIBLE = 0.3
"""Objects of which less is left in a crop are not learned."""


def read_coco(path: str | Path, class_names: Sequence[str] = ()) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Read a COCO annotation file.

    Args:
        path: The file.
        class_names: Classes to keep, in the order of the labels; empty keeps all by rising ``category_id``.

    Returns:
        One dict per image: ``file_name``, ``image_id``, ``size`` (width, height), ``boxes`` (N, 4) float32 x0, y0, x1,
        y1 in pixels, ``labels`` (N,) int64, ``areas`` (N,), ``crowd`` (N,) bool, ``ids``; and the class names.

    Raises:
        InputError: Names the file and the record that is not what COCO asks for.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        categories = {int(entry["id"]): str(entry["name"]) for entry in content["categories"]}
        images = {int(entry["id"]): entry for entry in content["images"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            path, "", "a COCO file with images and categories", f"{type(error).__name__}: {error}"
        ) from error
    names = tuple(class_names) or tuple(categories[key] for key in sorted(categories))
    unknown = sorted(set(names) - set(categories.values()))
    if unknown:
        raise InputError(path, "categories", f"the classes {', '.join(unknown)}", ", ".join(categories.values()))
    label_of = {key: names.index(name) for key, name in categories.items() if name in names}
    rows: dict[int, list[tuple]] = {key: [] for key in images}
    for index, entry in enumerate(content.get("annotations", ())):
        rows_of = _annotation(path, index, entry, rows)
        label = label_of.get(int(entry["category_id"]))
        if label is not None:
            x, y, w, h = (float(value) for value in entry["bbox"])
            area = float(entry.get("area", w * h))
            rows_of.append(
                ((x, y, x + w, y + h), label, area, bool(entry.get("iscrowd", 0)), int(entry.get("id", index)))
            )
    return [_sample(path, key, images[key], rows[key]) for key in sorted(images)], names


def _annotation(path: str | Path, index: int, entry: Any, rows: Mapping[int, list]) -> list:
    try:
        box = [float(value) for value in entry["bbox"]]
        found = rows[int(entry["image_id"])]
        int(entry["category_id"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            path, f"annotation {index}", "image_id, category_id, bbox", f"{type(error).__name__}: {error}"
        ) from error
    if len(box) != 4 or not np.isfinite(box).all() or min(box[2:]) < 0:
        raise InputError(path, f"annotation {index}", "bbox x, y, width, height", str(box))
    return found


def _sample(path: str | Path, key: int, entry: Mapping[str, Any], rows: list[tuple]) -> dict[str, Any]:
    if not all(name in entry for name in ("file_name", "width", "height")):
        raise InputError(path, f"image {key}", "file_name, width, height", ", ".join(entry))
    boxes, labels, areas, crowd, ids = zip(*rows) if rows else ((),) * 5
    return {
        "file_name": str(entry["file_name"]),
        "image_id": key,
        "size": (int(entry["width"]), int(entry["height"])),
        "boxes": np.array(boxes, np.float32).reshape(-1, 4),
        "labels": np.array(labels, np.int64),
        "areas": np.array(areas, np.float64),
        "crowd": np.array(crowd, bool),
        "ids": np.array(ids, np.int64),
    }


@DATASETS.register_module()
class CocoBoxes(Dataset):
    """Samples for ``MMDetDetector``.

    Args:
        data_root: Folder of the dataset.
        ann_file: COCO file below it.
        image_dir: Folder of the images below it.
        class_names: See ``read_coco``.
        input_size: (width, height) of the network's input.
        flip: Chance of a mirrored image. Signs with arrows or text change their meaning: leave it 0 there.
        brightness: Largest relative change of brightness and contrast.
        zoom: Range of a random magnification about a random point.
        crop: (width, height) cut out of the magnified image in training, most often around an object: small objects at
            full resolution for little work. The network must be fully convolutional.
        min_size: Boxes with a shorter side, in input pixels, are not learned.
        cache: Keep decoded images in memory, one copy a worker.
        train: Draw augmentations and leave out crowd boxes.
        seed: Of the augmentations.

    Raises:
        InputError: The annotation file is missing or wrong.
    """

    METAINFO: Mapping[str, Any] = {}

    def __init__(
        self,
        data_root: str,
        ann_file: str,
        input_size: tuple[int, int],
        image_dir: str = "",
        class_names: Sequence[str] = (),
        flip: float = 0.0,
        brightness: float = 0.0,
        zoom: tuple[float, float] = (1.0, 1.0),
        crop: tuple[int, int] | None = None,
        min_size: float = 2.0,
        cache: bool = False,
        train: bool = False,
        seed: int = 0,
    ) -> None:
        self.root = Path(data_root) / image_dir
        self.records, self.class_names = read_coco(Path(data_root) / ann_file, class_names)
        if not self.records:
            raise InputError(Path(data_root) / ann_file, "images", "at least one image", "none")
        self.input_size = (int(input_size[0]), int(input_size[1]))
        self.flip, self.brightness, self.zoom, self.min_size = flip, brightness, tuple(zoom), min_size
        self.train, self.seed = train, seed
        self.crop = None if crop is None else (int(crop[0]), int(crop[1]))
        self._cached: dict[int, np.ndarray] | None = {} if cache else None
        self.metainfo = {"classes": self.class_names}

    def __len__(self) -> int:
        return len(self.records)

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB.

        Raises:
            InputError: The file is missing, damaged, or not of the size the annotations state.
        """
        if self._cached is not None and index in self._cached:
            return self._cached[index]
        image = self._read(self.records[index])
        if self._cached is not None:
            self._cached[index] = image
        return image

    def _read(self, record: Mapping[str, Any]) -> np.ndarray:
        path = (self.root / record["file_name"]).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise InputError(path, record["file_name"], "a file below the dataset", "a path that leads out of it")
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise InputError(path, "", "an image", "a damaged file" if path.exists() else "nothing")
        if (image.shape[1], image.shape[0]) != record["size"]:
            raise InputError(path, "", f"{record['size']} pixels", f"{(image.shape[1], image.shape[0])}")
        return np.ascontiguousarray(image[..., ::-1])

    def picture(self, index: int) -> tuple[np.ndarray, Result]:
        """Image as stored and its boxes (``perception browse``)."""
        record = self.records[index]
        return self.image(index), self._result(record["size"], record["boxes"], record["labels"])

    def augmented(self, index: int) -> tuple[np.ndarray, Result]:
        """The network's input and its boxes."""
        sample = self[index]
        image = sample["inputs"].numpy().transpose(1, 2, 0).round().astype(np.uint8)
        boxes, labels = (sample["data_samples"][name].numpy() for name in ("boxes", "labels"))
        return image, self._result((image.shape[1], image.shape[0]), boxes, labels)

    def prediction(self, sample: Mapping[str, Any]) -> Result:
        """Boxes that the model predicted for a sample."""
        found = (sample[f"found_{name}"] for name in ("boxes", "labels", "scores"))
        return self._result(sample["size"], *found)

    def _result(
        self, size: tuple[int, int], boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray | None = None
    ) -> Boxes2D:
        scores = np.ones(len(boxes)) if scores is None else scores
        return Boxes2D("camera", size, boxes, scores, labels, self.class_names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        record = self.records[index]
        image, boxes, labels = self.image(index), record["boxes"].copy(), record["labels"]
        matrix = np.eye(3)
        if self.train:
            keep = ~record["crowd"]
            boxes, labels = boxes[keep], labels[keep]
            image, boxes, matrix = self._augment(image, boxes)
        inputs, placed = letterbox(image, (self.train and self.crop) or self.input_size)
        boxes = boxes * placed.scale
        if self.train:
            whole, boxes = boxes, boxes.clip(0, [placed.resized[0], placed.resized[1]] * 2)
            keep = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) >= self.min_size
            keep &= _area(boxes) >= _VISIBLE * _area(whole)
            boxes, labels = boxes[keep], labels[keep]
        sample = {
            **{name: record[name] for name in ("file_name", "image_id", "size")},
            "fit": placed,
            "matrix": np.diag([*placed.scale[:2], 1.0]) @ matrix,
            "boxes": torch.from_numpy(boxes.astype(np.float32)),
            "labels": torch.from_numpy(labels),
            "truth": record,
        }
        return {"inputs": torch.from_numpy(inputs), "data_samples": sample}

    def _augment(self, image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Image, boxes, and the (3, 3) map of pixels of the image as stored to those of the result."""
        matrix = np.eye(3)
        rng = np.random.default_rng([self.seed, int(torch.randint(1 << 31, ()))])
        height, width = image.shape[:2]
        if rng.random() < self.flip:
            image = image[:, ::-1]
            matrix[0] = [-1, 0, width - 1]
            boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
        scale = float(np.exp(rng.uniform(np.log(self.zoom[0]), np.log(self.zoom[1]))))
        size = self.crop or (width, height)
        if scale != 1.0 or self.crop:
            full = (width * scale, height * scale)
            x, y = _corner(rng, boxes * scale, full, size, _AIM if self.crop else 0.0)
            zoomed = np.array([[scale, 0, -x], [0, scale, -y], [0, 0, 1]])
            image = cv2.warpAffine(np.ascontiguousarray(image), zoomed[:2], size, borderValue=(114, 114, 114))
            matrix = zoomed @ matrix
            boxes = boxes * scale - np.array([x, y, x, y])
        if self.brightness:
            gain, offset = 1 + rng.uniform(-1, 1) * self.brightness, rng.uniform(-1, 1) * self.brightness * 64
            image = np.clip(image.astype(np.float32) * gain + offset, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(image), boxes.astype(np.float32), matrix


def _corner(
    rng: np.random.Generator, boxes: np.ndarray, full: tuple[float, float], size: tuple[int, int], aim: float
) -> np.ndarray:
    """(2,) upper left corner of a window of ``size`` in an image of ``full``: with odds ``aim`` an object is in it."""
    room = np.array(full) - size
    if len(boxes) and rng.random() < aim:
        box = boxes[int(rng.integers(len(boxes)))]
        corner = (box[:2] + box[2:]) / 2 - rng.uniform(0.1, 0.9, 2) * size
        return np.clip(corner, np.minimum(room, 0), np.maximum(room, 0))
    return np.asarray(rng.uniform(0, 1, 2) * room)


def _area(boxes: np.ndarray) -> np.ndarray:
    sides: np.ndarray = (boxes[:, 2:] - boxes[:, :2]).clip(min=0)
    return sides.prod(1)
