"""Training augmentation of the published models, as albumentations 0.4.6 defines it (spec ganet section 2.1)."""

from __future__ import annotations

import cv2
import numpy as np

from perception.registry import TRANSFORMS

from .augment import RandomTransform, recompress
from .transforms import Sample


@TRANSFORMS.register_module()
class LaneFlip(RandomTransform):
    """Mirror with a probability; x' = (width - 1) - x."""

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = probability

    def __call__(self, sample: Sample) -> Sample:
        """Change `img` and `lanes`."""
        if self.rng.random() < self.probability:
            width = sample["img"].shape[1]
            sample["img"] = np.ascontiguousarray(sample["img"][:, ::-1])
            sample["lanes"] = [np.column_stack([width - 1 - lane[:, 0], lane[:, 1]]) for lane in sample["lanes"]]
        return sample


@TRANSFORMS.register_module()
class GANetAugment(RandomTransform):
    """Colour, compression, blur, brightness, a similarity transform and a random crop of the network input.

    Takes an image that already has the size of the network input and keeps that size.
    """

    def __call__(self, sample: Sample) -> Sample:
        """Change `img` and `lanes`."""
        image = self._appearance(np.ascontiguousarray(sample["img"]))
        if self.rng.random() < 0.6:
            image, sample["lanes"] = self._similarity(image, sample["lanes"])
        if self.rng.random() < 0.6:
            image, sample["lanes"] = self._crop(image, sample["lanes"])
        sample["img"] = image
        return sample

    def _appearance(self, image: np.ndarray) -> np.ndarray:
        rng = self.rng
        if rng.random() < 0.7:
            image = self._shift_rgb(image) if rng.random() < 0.5 else self._shift_hsv(image)
        if rng.random() < 0.2:
            quality = int(rng.integers(85, 96))
            image = recompress(image, quality)
        if rng.random() < 0.2:
            image = cv2.blur(image, (3, 3)) if rng.random() < 0.5 else cv2.medianBlur(image, 3)
        if rng.random() < 0.6:
            image = _add(image, np.full(3, 255 * rng.uniform(-0.2, 0.2)))
        return image

    def _shift_rgb(self, image: np.ndarray) -> np.ndarray:
        return _add(image, self.rng.uniform(-10, 10, 3))

    def _shift_hsv(self, image: np.ndarray) -> np.ndarray:
        hue, saturation, value = self.rng.uniform((-10, -15, -10), (10, 15, 10))
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        level = np.arange(256, dtype=np.float64)
        tables = np.stack([(level + hue) % 180, level + saturation, level + value], axis=1).clip(0, 255)
        return cv2.cvtColor(cv2.LUT(hsv, tables.astype(np.uint8)[None]), cv2.COLOR_HSV2RGB)

    def _similarity(self, image: np.ndarray, lanes: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Rotate by up to 10 degrees, scale by 0.8 to 1.2, shift by up to a tenth; black outside."""
        height, width = image.shape[:2]
        angle, scale = self.rng.uniform(-10, 10), 1 + self.rng.uniform(-0.2, 0.2)
        matrix = np.array(cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale), np.float64)
        matrix[:, 2] += self.rng.uniform(-0.1, 0.1, 2) * (width, height)
        moved = [lane @ matrix[:, :2].T + matrix[:, 2] for lane in lanes]
        return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR), moved

    def _crop(self, image: np.ndarray, lanes: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Enlarge a random part of 0.8 to 1.2 of the area and of aspect ratio 1.7 to 2.7."""
        height, width = image.shape[:2]
        x0, y0, w, h = self._part(width, height)
        scale = np.array([width / w, height / h])
        part = cv2.resize(np.ascontiguousarray(image[y0 : y0 + h, x0 : x0 + w]), (width, height))
        return part, [(lane - (x0, y0)) * scale for lane in lanes]

    def _part(self, width: int, height: int) -> tuple[int, int, int, int]:
        for _ in range(10):
            area = self.rng.uniform(0.8, 1.2) * width * height
            ratio = np.exp(self.rng.uniform(np.log(1.7), np.log(2.7)))
            w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                return int(self.rng.integers(0, width - w + 1)), int(self.rng.integers(0, height - h + 1)), w, h
        w, h = min(width, round(height * 2.7)), min(height, round(width / 1.7))
        return (width - w) // 2, (height - h) // 2, w, h


def _add(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    table = np.arange(256, dtype=np.float64)[:, None] + shift
    return cv2.LUT(image, table.clip(0, 255).astype(np.uint8)[None])
