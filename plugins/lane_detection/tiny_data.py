"""A handful of drawn roads in the layout of a dataset, to try a config or the training engine on in seconds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np

SIZE = (320, 180)
Roads = list[tuple[str, list[np.ndarray]]]


def write(root: Path, config: dict, count: int = 6) -> None:
    """Write what the dataloaders of `config` read, below `root`.

    Args:
        root: Folder of the dataset.
        config: Config with ``train_dataloader`` and ``val_dataloader``.
        count: Pictures; the last has no lanes.
    """
    (root / "img").mkdir(parents=True, exist_ok=True)
    roads = []
    for index in range(count):
        image, lanes = draw(index, empty=index == count - 1)
        name = f"img/{index}.jpg"
        cv2.imwrite(str(root / name), image[..., ::-1])
        roads.append((name, lanes))
    for part in ("train", "val"):
        dataset = config[f"{part}_dataloader"]["dataset"]
        files = dataset["list_file"]
        for file in [files] if isinstance(files, str) else files:
            path = root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(WRITERS.get(dataset["type"], _culane)(path, roads))


def draw(seed: int, empty: bool = False) -> tuple[np.ndarray, list[np.ndarray]]:
    """A grey uint8 RGB picture of `SIZE` with two painted lines, and their points (N, 2) xy from the bottom up."""
    width, height = SIZE
    rng = np.random.default_rng(seed)
    image = np.repeat(rng.integers(60, 90, (height, width, 1)), 3, axis=2).astype(np.uint8)
    y = np.arange(height - 1, 0.5 * height, -5)
    lean, middle = rng.uniform(-0.2, 0.2), width / 2 + rng.uniform(-15, 15)
    slopes = () if empty else (-0.9 + lean, 0.9 + lean)
    lanes = [np.column_stack([middle + slope * (y - 0.4 * height), y]) for slope in slopes]
    for lane in lanes:
        cv2.polylines(image, [lane.round().astype(np.int32)[:, None]], False, (240, 240, 240), 4)
    return image, lanes


def _culane(path: Path, roads: Roads) -> str:
    for name, lanes in roads:
        lines = [" ".join(f"{value:.3f}" for value in lane.ravel()) for lane in lanes]
        (path.parent.parent / name).with_suffix(".lines.txt").write_text("\n".join(lines))
    return "".join(f"/{name}\n" for name, _ in roads)


def _tusimple(path: Path, roads: Roads) -> str:
    rows = list(range(90, SIZE[1], 5))
    records = []
    for name, lanes in roads:
        columns = [np.interp(rows, lane[::-1, 1], lane[::-1, 0], left=-2, right=-2).round(2).tolist() for lane in lanes]
        records.append({"raw_file": name, "h_samples": rows, "lanes": columns})
    return "".join(json.dumps(record) + "\n" for record in records)


def _curvelanes(path: Path, roads: Roads) -> str:
    for folder in ("images", "labels"):
        (path.parent / folder).mkdir(exist_ok=True)
    for name, lanes in roads:
        image = path.parent.parent / name
        shutil.copy(image, path.parent / "images" / image.name)
        lines = [[{"x": f"{x:.3f}", "y": f"{y:.1f}"} for x, y in lane.tolist()] for lane in lanes]
        (path.parent / "labels" / f"{image.stem}.lines.json").write_text(json.dumps({"Lines": lines}))
    return "".join(f"images/{Path(name).name}\n" for name, _ in roads)


def _own(path: Path, roads: Roads) -> str:
    records = [{"image": name, "lanes": [lane.tolist() for lane in lanes]} for name, lanes in roads]
    return "".join(json.dumps(record) + "\n" for record in records)


WRITERS = {"TuSimpleDataset": _tusimple, "CurveLanesDataset": _curvelanes, "OwnLanesDataset": _own}
