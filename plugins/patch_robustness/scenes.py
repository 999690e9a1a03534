"""Samples to attack: drawn signs, COCO files with a sign table, and simulated roads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from perception.attack import AttackSample
from perception.datasets.coco import read_coco
from perception.datasets.files import read_image
from perception.errors import InputError, PerceptionError, suggestion
from perception.registry import DATASETS
from perception.structures import Boxes2D, Lanes2D
from perception.viz.draw import dots, polylines

from .lighting import Lighting
from .occlusion import read_mask
from .placement import place, road_corners
from .reap_table import read_table
from .render import render
from .signs import SIGN_CLASSES, SignClass, letterbox, sign_class
from .surfaces import Surface
from .synthetic import resize_template

__all__ = ["DrawnSigns", "SignTableScenes", "SimulatedRoads", "sign_template"]

_LIT, _UNLIT, _FIRST = (60, 255, 60), (80, 120, 255), (255, 40, 40)
"""Colours of keypoints, RGB."""
CLASS_NAMES = tuple(found.name for found in SIGN_CLASSES)
GAIN, OFFSET = (0.42, 0.15), (0.11, 0.06)
"""Mean and spread of the light on real signs (percentile method)."""


@lru_cache(maxsize=64)
def sign_template(name: str, width: int = 64) -> Tensor:
    """(3, w, w) drawn sign of a class on its canonical canvas, in white light."""
    path = Path(__file__).parent / "templates" / f"{name}.png"
    image = read_image(path)
    rgb = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    ratio = image.shape[0] / image.shape[1]
    size = (width, round(width / ratio)) if ratio > 1 else (round(width * ratio), width)
    return letterbox(resize_template(rgb, size), width)[0]


@DATASETS.register_module()
class DrawnSigns:
    """Drawn signs in front of blurred noise, with the light and the turns of real ones: for tests and first tries.

    Args:
        count: Number of samples.
        size: (width, height) of the images.
        signs: Signs a sample.
        side: Range of their size in pixels.
        seed: Sample ``i`` depends on ``seed + i`` only.
        classes: Names of the classes that occur.

    Raises:
        PerceptionError: Numbers that do not fit, or a class that there is not.
    """

    def __init__(
        self,
        count: int = 4,
        size: tuple[int, int] = (160, 128),
        signs: int = 1,
        side: tuple[float, float] = (32, 56),
        seed: int = 0,
        classes: Sequence[str] = CLASS_NAMES,
    ) -> None:
        if count < 1 or signs < 1 or not 8 <= side[0] <= side[1] <= min(size) * 0.8:
            raise PerceptionError(f"drawn signs: expected count, signs >= 1 and side within the image, found {side}")
        self.count, self.signs, self.seed = count, signs, seed
        self.size, self.side = (int(size[0]), int(size[1])), (float(side[0]), float(side[1]))
        self.classes = tuple(sign_class(name).name for name in classes)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> AttackSample:
        if not 0 <= index < self.count:
            raise IndexError(index)
        rng = np.random.default_rng([self.seed + index, 9])
        width, height = self.size
        coarse = rng.uniform(40, 200, (6, 8, 3)).astype(np.float32)
        ground = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) + rng.normal(
            0, 4, (height, width, 3)
        )
        image = torch.from_numpy(np.clip(ground, 0, 255).astype(np.float32) / 255).permute(2, 0, 1)[None]
        surfaces, boxes, labels = [], [], []
        for number in range(self.signs):
            label = int(rng.integers(len(self.classes)))
            surface = self._sign(rng, SIGN_CLASSES[CLASS_NAMES.index(self.classes[label])], number)
            image = render(image, sign_template(surface.label)[None], [surface])
            surfaces.append(surface)
            outline = _outline(surface)
            boxes.append([*outline.amin(0).tolist(), *outline.amax(0).tolist()])
            labels.append(label)
        array = (image[0].permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        truth = Boxes2D("front", self.size, np.array(boxes), np.ones(len(boxes)), np.array(labels), self.classes)
        name = f"drawn_{self.seed + index:06d}"
        return AttackSample(name, array, truth, name, tuple(surfaces))

    def _sign(self, rng: np.random.Generator, found: SignClass, number: int) -> Surface:
        side = rng.uniform(*self.side)
        gain = float(np.clip(rng.normal(*GAIN), 0.15, 0.85))
        offset = float(np.clip(rng.normal(*OFFSET), 0.0, 0.3))
        light = Lighting("percentile", torch.tensor([[gain, offset]]))
        surface = Surface(torch.zeros(4, 2), found.shape, (found.height_mm / 1e3, found.width_mm / 1e3), light)
        points = surface.canonical(64)[1].float() / 63 - 0.5
        angle, squeeze = np.deg2rad(rng.normal(0, 3)), np.cos(rng.uniform(-0.6, 0.6))
        turn = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], dtype=torch.float32)
        points = points * torch.tensor([squeeze, 1.0], dtype=torch.float32) @ turn.T * side
        reach = side * 0.6
        centre = torch.tensor([rng.uniform(reach, self.size[0] - reach), rng.uniform(reach, self.size[1] - reach)])
        quad = (points + centre).float()
        return Surface(quad, found.shape, surface.size_m, light, 0, f"sign{number}", number, found.name)


def _outline(surface: Surface) -> Tensor:
    """(P, 2) image points of the border of the sign's mask."""
    from perception.geometry.homography import apply_homography

    from .surfaces import surface_matrices

    mask = surface.canonical(64)[0]
    rows, columns = mask.nonzero().unbind(1)
    points = torch.stack([columns, rows], -1).float()
    return apply_homography(surface_matrices([surface], 64), points[None])[0]


@DATASETS.register_module()
class SignTableScenes:
    """Photos or simulated pictures with boxes in a COCO file and surfaces in a REAP table.

    Rows of the table and annotations are joined by ``file_name`` and ``object_id`` = annotation ``id``.

    Args:
        data_root: Folder of the dataset.
        ann_file: COCO file below it.
        table: REAP table below it.
        image_dir: Folder of the images below it.
        method: Lighting method to use, a column of the table; ``none`` leaves patches as they are printed.
        min_side: Signs with a smaller size in pixels carry no patch.
        limit: First images only; 0 takes all.
        mask_dir: Folder below the root with pictures of the images' names (``.png``), white where something stands in
            front of a sign; nothing is known of images without one.

    Raises:
        InputError: A file is wrong, or no sign can be attacked.
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str,
        table: str,
        image_dir: str = "",
        method: str = "percentile",
        min_side: float = 16.0,
        limit: int = 0,
        mask_dir: str = "masks",
    ) -> None:
        root = Path(data_root)
        self.masks = root / mask_dir
        self.root = root / image_dir
        self.records, self.class_names = read_coco(root / ann_file)
        self.rows = {(row.filename, row.object_id): row for row in read_table(root / table)}
        self.method, self.min_side = method, min_side
        lights = sorted({name for row in self.rows.values() for name in row.lights})
        if method not in {"none", *lights}:
            hint = suggestion(method, lights)
            raise InputError(root / table, "", f"light of the method {method!r}", f"no column of it; {hint}")
        self.records = [record for record in self.records if self._surfaces(record)][: limit or None]
        if not self.records:
            raise InputError(root / table, "", f"signs of at least {min_side:g} px", "none")

    def __len__(self) -> int:
        return len(self.records)

    def _surfaces(self, record: Mapping[str, Any]) -> list[Surface]:
        found = []
        for instance, object_id in enumerate(record["ids"]):
            row = self.rows.get((record["file_name"], object_id))
            if row is not None and row.label in CLASS_NAMES and self.method in {*row.lights, "none"}:
                surface = row.surface(self.method, instance)
                if surface.size_px >= self.min_side:
                    found.append(surface)
        return found

    def __getitem__(self, index: int) -> AttackSample:
        record = self.records[index]
        name = record["file_name"]
        array = read_image(self.root / name, record["size"])
        size = (array.shape[1], array.shape[0])
        boxes = record["boxes"]
        truth = Boxes2D("front", size, boxes, np.ones(len(boxes)), record["labels"], self.class_names)
        mask = (self.masks / name).with_suffix(".png")
        hidden = read_mask(mask, size) if mask.is_file() else None
        return AttackSample(name, array, truth, name.split("/")[0], tuple(self._surfaces(record)), hidden=hidden)

    def picture(self, index: int) -> tuple[np.ndarray, Boxes2D]:
        """For ``perception browse``: the picture with the keypoints of the table, and the boxes of the COCO file.

        Keypoints are joined in their order, the first one is red. Signs without light, which carry no patch, have a
        blue outline. The picture is cut to the part that has the signs, at least a fifth of its width.
        """
        record, sample = self.records[index], self[index]
        rows = [self.rows.get((record["file_name"], object_id)) for object_id in record["ids"]]
        x0, y0, x1, y1 = _around(np.concatenate([row.keypoints for row in rows if row]), sample.truth.image_size)
        image, lit = sample.image[y0:y1, x0:x1], {surface.instance for surface in sample.surfaces}
        for instance, row in enumerate(rows):
            if row is not None:
                points = row.keypoints - [x0, y0]
                image = polylines(image, [points[[*range(len(points)), 0]]], [_LIT if instance in lit else _UNLIT], 1)
                image = dots(dots(image, points, _LIT, 2), points[:1], _FIRST, 2)
        boxes = (record["boxes"] - np.array([x0, y0] * 2)).clip(0, [x1 - x0 - 1, y1 - y0 - 1] * 2)
        size = x1 - x0, y1 - y0
        return image, Boxes2D("front", size, boxes, np.ones(len(boxes)), record["labels"], self.class_names)


def _around(points: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Window x0, y0, x1, y1 of the shape of a picture of ``size`` around (N, 2) points, with some margin."""
    middle, extent = (points.max(0) + points.min(0)) / 2, np.ptp(points, axis=0)
    share = float(np.clip((1.8 * extent / size).max(), 0.2, 1.0))
    wide, high = round(share * size[0]), round(share * size[1])
    x0, y0 = (int(np.clip(m - n / 2, 0, full - n)) for m, n, full in zip(middle, (wide, high), size))
    return x0, y0, x0 + wide, y0 + high


@DATASETS.register_module()
class SimulatedRoads:
    """Simulated roads with true lanes and a rectangle on the road ahead of the vehicle.

    Args:
        count: Number of samples.
        seed: First seed; from 900,000 on held out from training.
        size: (width, height) of the images.
        preset: Weather and daylight.
        ahead: Distance of the middle of the rectangle in metres.
        lateral: Its offset to the left in metres.
        size_m: Its length and width in metres.
    """

    def __init__(
        self,
        count: int = 4,
        seed: int = 900_000,
        size: tuple[int, int] = (640, 360),
        preset: str = "day",
        ahead: float = 10.0,
        lateral: float = 0.0,
        size_m: tuple[float, float] = (6.0, 3.0),
    ) -> None:
        self.count, self.seed, self.preset = count, seed, preset
        self.size = (int(size[0]), int(size[1]))
        self.corners, self.size_m = road_corners(ahead, lateral, size_m), (float(size_m[0]), float(size_m[1]))
        self._made: dict[int, AttackSample] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> AttackSample:
        if not 0 <= index < self.count:
            raise IndexError(index)
        if index not in self._made:
            self._made[index] = self._make(index)
        return self._made[index]

    def _make(self, index: int) -> AttackSample:
        """The sample of the first seed, in steps of ``count``, whose picture shows the rectangle."""
        from perception.sim import render_lane_sample

        for attempt in range(5):
            seed = self.seed + index + attempt * self.count
            sample = render_lane_sample(seed, self.preset, self.size)
            surface = place(self.corners, self.size_m, sample.camera, surface_id="road")
            if surface is not None and surface.size_px >= 8:
                lanes: Lanes2D = sample.lanes
                name = f"road_{seed:07d}"
                return AttackSample(name, sample.image, lanes, name, (surface,), {"camera": sample.camera})
        raise PerceptionError(f"simulated road {self.seed + index}: the rectangle is in none of five pictures")
