"""The synthetic baseline as samples: drawn signs pasted flat into pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from perception.attack import AttackSample
from perception.datasets.coco import read_coco
from perception.datasets.files import read_image
from perception.errors import InputError, PerceptionError
from perception.geometry.homography import apply_homography
from perception.registry import DATASETS
from perception.structures import Boxes2D

from .scenes import CLASS_NAMES, sign_template
from .signs import sign_class, sign_mask
from .surfaces import Surface
from .synthetic import paste_synthetic, random_affine

__all__ = ["PastedSigns"]


@DATASETS.register_module()
class PastedSigns:
    """One drawn sign in every picture, moved at random: no place in the scene, no light of it (spec section 5).

    Signs that the picture shows by itself stay in the truth, but only the pasted one carries a patch and is scored.

    Args:
        data_root: Folder of a dataset.
        ann_file: COCO file below it; its categories must be classes of REAP.
        image_dir: Folder of the images below it.
        count: Samples; sample ``i`` uses picture ``i`` modulo their number.
        side: Range of the width of the sign in pixels, log-uniform; REAP uses 64.
        rotation: Largest angle in degrees.
        translation: Largest shift as a share of the picture.
        classes: Names of the signs that are pasted.
        seed: Sample ``i`` depends on ``seed + i`` only.

    Raises:
        InputError: The file is wrong.
        PerceptionError: Numbers that do not fit, or a class that REAP does not have.
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str,
        image_dir: str = "",
        count: int = 50,
        side: tuple[float, float] = (64.0, 64.0),
        rotation: float = 15.0,
        translation: float = 0.4,
        classes: Sequence[str] = CLASS_NAMES,
        seed: int = 0,
    ) -> None:
        if count < 1 or not 8 <= side[0] <= side[1]:
            raise PerceptionError(f"pasted signs: expected count >= 1 and side >= 8, found {count}, {side}")
        self.root, path = Path(data_root) / image_dir, Path(data_root) / ann_file
        self.records, self.class_names = read_coco(path)
        if not self.records or set(classes) - set(self.class_names):
            raise InputError(path, "", f"images, and categories {', '.join(classes)}", ", ".join(self.class_names))
        self.count, self.seed = int(count), int(seed)
        self.classes = tuple(sign_class(name).name for name in classes)
        self.side, self.rotation, self.translation = (float(side[0]), float(side[1])), rotation, translation

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> AttackSample:
        if not 0 <= index < self.count:
            raise IndexError(index)
        record = self.records[index % len(self.records)]
        name = record["file_name"]
        image = torch.from_numpy(read_image(self.root / name, record["size"])).permute(2, 0, 1)[None].float() / 255
        generator = torch.Generator().manual_seed(self.seed + index)
        label = self.classes[int(torch.randint(len(self.classes), (), generator=generator))]
        found, width = sign_class(label), round(self.side[1])
        height_px, width_px = image.shape[2:]
        span = (self.side[0] / width, self.side[1] / width)
        matrix = random_affine(1, (height_px, width_px), generator, self.rotation, self.translation, span)
        mask, keypoints = sign_mask(found.shape, found.ratio, width)
        pasted, box = paste_synthetic(image, sign_template(label, width), mask, None, None, matrix)
        corner = torch.tensor([(width_px - width) // 2, (height_px - width) // 2])
        quad = apply_homography(matrix, (keypoints + corner)[None].float())[0]
        boxes = np.concatenate([record["boxes"], box.numpy().astype(np.float32)])
        labels = np.append(record["labels"], self.class_names.index(label))
        size_m = (found.height_mm / 1e3, found.width_mm / 1e3)
        surface = Surface(quad, found.shape, size_m, instance=len(boxes) - 1, label=label, surface_id=f"pasted{index}")
        picture = (pasted[0].permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        truth = Boxes2D("front", (width_px, height_px), boxes, np.ones(len(boxes)), labels, self.class_names)
        return AttackSample(f"pasted_{index:05d}", picture, truth, name.split("/")[0], (surface,))
