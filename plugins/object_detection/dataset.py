"""Images and boxes in COCO files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from perception.datasets.coco import read_coco
from perception.datasets.files import read_image
from perception.errors import InputError
from perception.metrics.box_match import box_areas
from perception.registry import DATASETS
from perception.structures import Boxes2D, Result

from .letterbox import letterbox

__all__ = ["CocoBoxes"]

_AIM = 0.85
"""Share of crops that are cut around an object."""
_VISIBLE = 0.3
"""Objects of which less is left in a crop are not learned."""


@DATASETS.register_module()
class CocoBoxes(Dataset):
    """Samples for ``MMDetDetector``.

    Args:
        data_root: Folder of the dataset.
        ann_file: COCO file below it.
        image_dir: Folder of the images below it.
        class_names: See ``perception.datasets.coco.read_coco``.
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
        record = self.records[index]
        image = read_image(self.root / record["file_name"], record["size"])
        if self._cached is not None:
            self._cached[index] = image
        return image

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
            keep &= box_areas(boxes) >= _VISIBLE * box_areas(whole)
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
