"""A few drawn images with boxes in COCO layout, for tests of configs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .dataset import CocoBoxes

__all__ = ["write"]


def write(folder: str | Path, config: Any, count: int = 4, size: tuple[int, int] = (160, 128)) -> None:
    """Write what a config's train and val datasets read: coloured rectangles on noise."""
    rng = np.random.default_rng(0)
    names = tuple(config.model.class_names)
    root = Path(folder)
    for loader in (config.train_dataloader, config.val_dataloader):
        dataset = loader.dataset
        if dataset.type != CocoBoxes.__name__:
            continue
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for index in range(count):
            picture = rng.integers(60, 120, (size[1], size[0], 3), dtype=np.uint8)
            for _ in range(2):
                w, h = rng.integers(24, 60, 2)
                x, y = rng.integers(0, size[0] - w), rng.integers(0, size[1] - h)
                label = int(rng.integers(len(names)))
                picture[y : y + h, x : x + w] = (40 * label % 255, 255 - 20 * label % 255, 200)
                box = [int(value) for value in (x, y, w, h)]
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": index, "category_id": label + 1, "bbox": box, "iscrowd": 0}
                )
            name = f"{index:04d}.png"
            path = root / str(dataset.get("image_dir", "")) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), picture)
            images.append({"id": index, "file_name": name, "width": size[0], "height": size[1]})
        categories = [{"id": index + 1, "name": name} for index, name in enumerate(names)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        target = root / str(dataset.ann_file)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(content))
