"""Readers of lane datasets in CULane and TuSimple layout (spec ganet section 3); the simulator writes both."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from torch.utils.data import Dataset

from perception.datasets.files import path_below, read_image
from perception.engine.pipeline import Pipeline
from perception.errors import InputError, PerceptionError
from perception.registry import DATASETS
from perception.structures import Lanes2D, Result

from .transforms import LaneNormalize, LaneTargets, PackLanes, scale_points


class Record(NamedTuple):
    """One image: its name in lists and result files, its file, and where its lanes are."""

    name: str
    path: Path
    label: Any


def inside(root: Path, name: str, source: Path, record: str) -> Path:
    """Path of `name` (leading slash tolerated) below `root`.

    Raises:
        InputError: The name leaves the root.
    """
    return path_below(root, name.lstrip("/"), source, record)


class LaneDataset(Dataset, ABC):
    """Common part of the readers: samples from records, optionally with all images in memory.

    Args:
        data_root: Folder of the dataset.
        list_file: List(s) of images, relative to the root.
        pipeline: Configs of transforms, `PackLanes` last.
        targets: Keywords of `LaneTargets`, which then runs just before the last transform; None for evaluation.
        cache_size: (width, height); keep every image, resized to that, in memory. Views and lanes scale along.
        limit: Use only that many records, evenly spread.
    """

    metainfo: Mapping[str, Any] = {}

    def __init__(
        self,
        data_root: str,
        list_file: str | Sequence[str],
        pipeline: Sequence[Mapping[str, Any]],
        targets: Mapping[str, Any] | None = None,
        cache_size: Sequence[int] | None = None,
        limit: int | None = None,
    ) -> None:
        self.root = Path(data_root)
        files = [list_file] if isinstance(list_file, str) else list(list_file)
        self.records = [record for file in files for record in self.read_list(self.root / file)]
        if not self.records:
            raise PerceptionError(f"{self.root}: no images in {', '.join(files)}")
        if limit is not None and limit < len(self.records):
            chosen = np.linspace(0, len(self.records) - 1, limit).round().astype(int)
            self.records = [self.records[i] for i in chosen]
        extra = [] if targets is None else [{"type": "LaneTargets", **targets}]
        self.pipeline = Pipeline([*pipeline[:-1], *extra, pipeline[-1]])
        self.cache_size = None if cache_size is None else (int(cache_size[0]), int(cache_size[1]))
        self._images: np.ndarray | None = None
        self._lanes: list[list[np.ndarray]] = []
        if self.cache_size is not None:
            self._fill_cache()

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Run the pipeline on one image."""
        return self.pipeline(self.sample(index))

    def sample(self, index: int) -> dict[str, Any]:
        """Image, lanes and sizes before the pipeline; lanes are (N, 2) float64 xy."""
        if self._images is None:
            image, lanes = self._read(index)
        else:
            image, lanes = self._images[index], self._lanes[index]
        size = (image.shape[1], image.shape[0])
        record = self.records[index]
        common = {"name": record.name, "image_size": size, "label": record.label}
        return {"img": image, "lanes": lanes, "gt_lanes": lanes, **common}

    def picture(self, index: int) -> tuple[np.ndarray, Result]:
        """Image as stored, uint8 RGB, and its true lanes (``perception browse``)."""
        sample = self.sample(index)
        return sample["img"], Lanes2D("front", sample["image_size"], tuple(map(_float32, sample["lanes"])))

    def augmented(self, index: int) -> tuple[np.ndarray, Result]:
        """What the network sees: the image after all steps that change pixels, and its lanes."""
        sample = self.sample(index)
        for step in self.pipeline.steps:
            if not isinstance(step, (LaneNormalize, LaneTargets, PackLanes)):
                sample = step(sample)
        image = sample["img"]
        lanes = tuple(map(_float32, (lane for lane in sample["lanes"] if len(lane) > 1)))
        return image, Lanes2D("front", (image.shape[1], image.shape[0]), lanes)

    def prediction(self, sample: Mapping[str, Any]) -> Result:
        """Lanes that the model predicted for a sample."""
        return Lanes2D("front", tuple(sample["image_size"]), tuple(sample["lanes"]), sample["scores"])

    @abstractmethod
    def read_list(self, path: Path) -> list[Record]:
        """Read a list file."""

    @abstractmethod
    def read_lanes(self, record: Record, image_size: tuple[int, int]) -> Lanes2D:
        """Read the lanes of a record."""

    def _read(self, index: int) -> tuple[np.ndarray, list[np.ndarray]]:
        record = self.records[index]
        image = read_image(record.path)
        lanes = self.read_lanes(record, (image.shape[1], image.shape[0]))
        return image, [lane.astype(np.float64) for lane in lanes.lanes]

    def _fill_cache(self) -> None:
        assert self.cache_size is not None
        width, height = self.cache_size
        images = np.empty((len(self.records), height, width, 3), np.uint8)

        def load(index: int) -> list[np.ndarray]:
            image, lanes = self._read(index)
            scale = (width / image.shape[1], height / image.shape[0])
            images[index] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            return [scale_points(lane, scale, half_pixel=True) for lane in lanes]

        with ThreadPoolExecutor(max_workers=2) as pool:
            self._lanes = list(pool.map(load, range(len(self.records))))
        self._images = images


@DATASETS.register_module()
class CULaneDataset(LaneDataset):
    """CULane layout: a list of image paths, lanes in ``<image>.lines.txt`` beside each image."""

    expected_tree = """\
  list/train.txt, list/val.txt, list/test.txt   a path such as /driver_23_30frame/.../00000.jpg on each line
  driver_23_30frame/.../00000.jpg               images, in any folders
  driver_23_30frame/.../00000.lines.txt         x y x y ... of one lane on each line
"""

    def read_list(self, path: Path) -> list[Record]:
        """One image path per line; further columns (segmentation masks) are ignored."""
        records = []
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            if line.strip():
                name = line.split()[0]
                image = inside(self.root, name, path, f"line {number}")
                records.append(Record(name.lstrip("/"), image, str(image.with_suffix(".lines.txt"))))
        return records

    def read_lanes(self, record: Record, image_size: tuple[int, int]) -> Lanes2D:
        """Lanes of the text file; none when the file is missing, as the official tool reads it."""
        file = Path(record.label)
        text = file.read_text() if file.is_file() else ""
        try:
            return Lanes2D.from_culane_text(text, image_size)
        except PerceptionError as error:
            raise PerceptionError(f"{record.label}: {error}") from error


@DATASETS.register_module()
class TuSimpleDataset(LaneDataset):
    """TuSimple layout: JSON lines with ``raw_file``, ``h_samples`` and ``lanes``."""

    expected_tree = """\
  label_data_0313.json, label_data_0531.json, label_data_0601.json, test_label.json
                           {"raw_file": ..., "h_samples": [...], "lanes": [[...], ...]} on each line
  clips/0313-1/.../20.jpg  images, as raw_file names them
"""

    def read_list(self, path: Path) -> list[Record]:
        """One JSON record per line."""
        records = []
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            if not line.strip():
                continue
            try:
                label = json.loads(line)
                name = str(label["raw_file"])
                label = {"h_samples": label["h_samples"], "lanes": label.get("lanes", [])}
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                found = f"{line[:60]!r} ({error})"
                raise InputError(path, f"line {number}", "raw_file, h_samples and lanes", found) from error
            records.append(Record(name, inside(self.root, name, path, f"line {number}"), label))
        return records

    def read_lanes(self, record: Record, image_size: tuple[int, int]) -> Lanes2D:
        """Points with x >= 0."""
        try:
            return Lanes2D.from_tusimple(record.label, image_size)
        except PerceptionError as error:
            raise PerceptionError(f"{record.name}: {error}") from error


def _float32(lane: np.ndarray) -> np.ndarray:
    return np.asarray(lane, np.float32)


def read_text(path: Path) -> str:
    """Text of a list or label file.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return path.read_text()
    except OSError as error:
        raise InputError(path, "", "a list or label file", str(error)) from error
