"""A handful of drawn crowds in the layout of a dataset, to try a config or the training engine on in seconds."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import scipy.io

SIZE = (96, 80)
Crowd = tuple[np.ndarray, np.ndarray]


def draw(seed: int, people: int, size: tuple[int, int] = SIZE) -> Crowd:
    """An RGB picture (H, W, 3) with bright discs on dark ground, and their middles (N, 2) xy."""
    rng = np.random.default_rng(seed)
    width, height = size
    image = rng.integers(20, 60, (height, width, 3)).astype(np.uint8)
    points = rng.uniform([6, 6], [width - 6, height - 6], (people, 2))
    for x, y in points:
        cv2.circle(image, (int(x), int(y)), 3, (230, 200, 170), -1)
    return image, points.astype(np.float32)


def mat(variables: dict) -> bytes:
    """A MATLAB 5 file."""
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, variables)
    return buffer.getvalue()


def shanghaitech_mat(points: np.ndarray) -> bytes:
    """An annotation file of ShanghaiTech."""
    info = np.empty((1, 1), object)
    info[0, 0] = {"location": np.asarray(points, float).reshape(-1, 2), "number": float(len(points))}
    return mat({"image_info": info})


def write(root: Path, config: dict, count: int = 4) -> None:
    """Write what the dataloaders of `config` read, below `root`.

    Args:
        root: Folder of the dataset.
        config: Config with ``train_dataloader``.
        count: Pictures a split; the first has nobody.
    """
    writer = WRITERS[config["train_dataloader"]["dataset"]["type"]]
    for number, split in enumerate(("train", "val", "test")):
        crowds = [draw(10 * number + index, 5 * index) for index in range(max(count, 24 if split == "train" else 0))]
        writer(root, split, crowds)


def _save(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def _picture(path: Path, image: np.ndarray) -> None:
    _save(path, cv2.imencode(".jpg", image[..., ::-1])[1].tobytes())


def _shanghaitech(root: Path, split: str, crowds: list[Crowd]) -> None:
    folder = root / f"{split}_data"
    for number, (image, points) in enumerate(crowds, start=1):
        _picture(folder / "images" / f"IMG_{number}.jpg", image)
        _save(folder / "ground_truth" / f"GT_IMG_{number}.mat", shanghaitech_mat(points))


def _qnrf(root: Path, split: str, crowds: list[Crowd]) -> None:
    for number, (image, points) in enumerate(crowds, start=1):
        path = root / split.capitalize() / f"img_{number:04d}.jpg"
        _picture(path, image)
        _save(path.with_name(f"{path.stem}_ann.mat"), mat({"annPoints": points.astype(float).reshape(-1, 2)}))


def _jhu(root: Path, split: str, crowds: list[Crowd]) -> None:
    for number, (image, points) in enumerate(crowds, start=1):
        _picture(root / split / "images" / f"{number:04d}.jpg", image)
        text = "".join(f"{x:.0f} {y:.0f} 7 7 0 0\n" for x, y in points)
        _save(root / split / "gt" / f"{number:04d}.txt", text)


def _trancos(root: Path, split: str, crowds: list[Crowd]) -> None:
    names = []
    for number, (image, points) in enumerate(crowds, start=1):
        path = root / "images" / f"image-{split}-{number:06d}.jpg"
        _picture(path, image)
        _save(path.with_suffix(".txt"), "".join(f"{x + 0.5:.2f}\t{y + 0.5:.2f}\n" for x, y in points))
        region = np.ones(image.shape[:2], np.uint8)
        region[:10] = 0
        _save(path.with_name(f"{path.stem}mask.mat"), mat({"BW": region}))
        names.append(path.name)
    file = {"train": "training", "val": "validation"}.get(split, split)
    _save(root / "image_sets" / f"{file}.txt", "\n".join(names))


def _own(root: Path, split: str, crowds: list[Crowd]) -> None:
    records = []
    for number, (image, points) in enumerate(crowds, start=1):
        name = f"{split}/{number}.jpg"
        _picture(root / name, image)
        records.append({"image": name, "points": points.tolist()})
    _save(root / f"{split}.json", json.dumps({"images": records}))


WRITERS: dict[str, Callable[[Path, str, list[Crowd]], None]] = {
    "ShanghaiTechDataset": _shanghaitech,
    "QNRFDataset": _qnrf,
    "JHUCrowdDataset": _jhu,
    "TrancosDataset": _trancos,
    "OwnPointsDataset": _own,
}
