"""Readers of crowd datasets (spec crowd section 4); all give pictures with head points.

Points are (x, y) in pixels of the picture as read (upright), pixel k covering [k, k + 1), as in the published files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.io
from torch.utils.data import Dataset

from perception.datasets.files import path_below
from perception.engine.pipeline import Pipeline
from perception.errors import InputError, PerceptionError
from perception.registry import DATASETS
from perception.structures import DensityMap, Result

from .images import read_image
from .transforms import CrowdNormalize, CrowdTargets, PackCrowd


class Record(NamedTuple):
    """One picture: its name, its file, and where its heads are (a path or an array)."""

    name: str
    path: Path
    label: Any


def as_points(value: Any, source: Path, record: str = "") -> np.ndarray:
    """(N, 2) float32 points of a file's values.

    Raises:
        InputError: Another shape, or numbers that are not finite.
    """
    try:
        points = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(source, record, "points (N, 2)", f"{type(value).__name__} ({error})") from error
    if points.size == 0:
        return np.zeros((0, 2), np.float32)
    if points.ndim != 2 or points.shape[1] < 2:
        raise InputError(source, record, "points (N, 2)", f"shape {points.shape}")
    points = points[:, :2]
    if not np.isfinite(points).all():
        raise InputError(source, record, "finite coordinates", f"{int((~np.isfinite(points)).sum())} that are not")
    return points.astype(np.float32)


def read_mat(path: Path) -> dict[str, Any]:
    """Variables of a MATLAB 5 file.

    Raises:
        InputError: Missing, damaged or another format.
    """
    try:
        return scipy.io.loadmat(path)
    except FileNotFoundError as error:
        raise InputError(path, "", "a MATLAB file", "no file") from error
    except Exception as error:  # scipy raises many kinds on damaged files
        raise InputError(path, "", "a MATLAB 5 file", f"{type(error).__name__}: {error}") from error


class CrowdDataset(Dataset, ABC):
    """Common part of the readers.

    Args:
        data_root: Folder of the dataset.
        pipeline: Configs of transforms, `PackCrowd` last.
        split: Which part to read; the readers say which there are.
        held_out: Keep every ``held_out``-th record of a training split for validation: ``train`` leaves it out and
            ``val`` is it. 0 for none.
        limit: Use only that many records, evenly spread.
        cache: Keep decoded pictures in memory.
    """

    metainfo: Mapping[str, Any] = {}
    expected_tree = ""

    def __init__(
        self,
        data_root: str,
        pipeline: Sequence[Mapping[str, Any]],
        split: str = "train",
        held_out: int = 0,
        limit: int | None = None,
        cache: bool = False,
    ) -> None:
        self._cache: dict[int, tuple[np.ndarray, np.ndarray]] | None = {} if cache else None
        self.root, self.split = Path(data_root), split
        if held_out and split in ("train", "val"):
            everything = self.read_records("train")
            chosen = [index % held_out == held_out - 1 for index in range(len(everything))]
            self.records = [r for r, out in zip(everything, chosen) if out == (split == "val")]
        else:
            self.records = self.read_records(split)
        if not self.records:
            raise PerceptionError(f"{self.root}: no pictures in split {split!r}; expected\n{self.expected_tree}")
        if limit is not None and limit < len(self.records):
            rows = np.linspace(0, len(self.records) - 1, limit).round().astype(int)
            self.records = [self.records[row] for row in rows]
        self.pipeline = Pipeline(pipeline)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Run the pipeline on one picture."""
        return self.pipeline(self.sample(index))

    def sample(self, index: int) -> dict[str, Any]:
        """Picture, heads and sizes before the pipeline."""
        record = self.records[index]
        image, points = self._read(index)
        size = (image.shape[1], image.shape[0])
        common = {"name": record.name, "image_size": size, "content_size": size}
        return {"img": image, "points": points, "gt_points": points, **common, **self.extras(record)}

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        record = self.records[index]
        found = read_image(record.path), self.read_points(record)
        if self._cache is not None:
            self._cache[index] = found
        return found

    def extras(self, record: Record) -> dict[str, Any]:
        """What else a sample of this dataset holds."""
        return {}

    def picture(self, index: int) -> tuple[np.ndarray, Result]:
        """Image as stored and its heads (``perception browse``)."""
        sample = self.sample(index)
        return sample["img"], heads_result(sample["image_size"], sample["points"])

    def augmented(self, index: int) -> tuple[np.ndarray, Result]:
        """What the network sees: the picture after all steps that change pixels, and its heads."""
        sample = self.sample(index)
        for step in self.pipeline.steps:
            if not isinstance(step, (CrowdNormalize, CrowdTargets, PackCrowd)):
                sample = step(sample)
        image = sample["img"]
        return image, heads_result((image.shape[1], image.shape[0]), sample["points"])

    def prediction(self, sample: Mapping[str, Any]) -> Result:
        """Density and heads that the model predicted for a sample."""
        return density_result("camera", sample)

    @abstractmethod
    def read_records(self, split: str) -> list[Record]:
        """All records of a split, in order."""

    @abstractmethod
    def read_points(self, record: Record) -> np.ndarray:
        """(N, 2) float32 heads of a record."""


def heads_result(size: tuple[int, int], points: np.ndarray) -> DensityMap:
    """True heads as a result: one person a point, on cells of 8 pixels."""
    shape = (-(-size[1] // 8), -(-size[0] // 8))
    density = np.zeros(shape, np.float32)
    cell = np.floor(points / 8).astype(int)
    keep = (cell >= 0).all(1) & (cell[:, 0] < shape[1]) & (cell[:, 1] < shape[0])
    np.add.at(density, (cell[keep, 1], cell[keep, 0]), 1)
    return DensityMap("camera", size, density, 8.0, np.asarray(points, np.float32) - 0.5)


def density_result(camera: str, sample: Mapping[str, Any]) -> DensityMap:
    """A predicted sample as `DensityMap`; points move to the convention of pixel middles at integers."""
    stride = sample["stride"] * sample["image_size"][0] / sample["content_size"][0]
    heads = np.asarray(sample["heads"], np.float32).reshape(-1, 2) - np.float32(0.5)
    return DensityMap(camera, tuple(sample["image_size"]), sample["density"], float(stride), heads)


def numbered(folder: Path, pattern: str = "*.jpg") -> list[Path]:
    """Files of a folder, in the order of the numbers in their names."""

    def key(path: Path) -> tuple[int, str]:
        digits = "".join(letter for letter in path.stem if letter.isdigit())
        return int(digits or 0), path.name

    return sorted(folder.glob(pattern), key=key)


@DATASETS.register_module()
class ShanghaiTechDataset(CrowdDataset):
    """ShanghaiTech part A or B, and the simulator's part: splits ``train``, ``test``, and ``val`` with ``held_out``.

    ``data_root`` is the folder of the part.
    """

    expected_tree = """\
  train_data/images/IMG_1.jpg             pictures
  train_data/ground_truth/GT_IMG_1.mat    image_info: a cell with a struct of location (N, 2) and number
  test_data/...                           the same
"""

    def read_records(self, split: str) -> list[Record]:
        """Pictures of ``<split>_data/images`` by number."""
        folder = self.root / f"{split}_data"
        found = numbered(folder / "images")
        truth = folder / "ground_truth"
        return [Record(path.relative_to(self.root).as_posix(), path, truth / f"GT_{path.stem}.mat") for path in found]

    def read_points(self, record: Record) -> np.ndarray:
        """``image_info[0, 0][0, 0]``: location, number."""
        return shanghaitech_points(record.label)


def shanghaitech_points(path: Path) -> np.ndarray:
    """(N, 2) points of a ShanghaiTech file.

    Raises:
        InputError: No such file, or another content.
    """
    content = read_mat(path)
    try:
        location = content["image_info"][0, 0][0, 0][0]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(path, "", "image_info with a struct of location and number", f"{error}") from error
    return as_points(location, path)


@DATASETS.register_module()
class QNRFDataset(CrowdDataset):
    """UCF-QNRF: splits ``train`` and ``test``, and ``val`` with ``held_out``."""

    expected_tree = """\
  Train/img_0001.jpg, Train/img_0001_ann.mat   annPoints (N, 2)
  Test/...                                     the same
"""

    def read_records(self, split: str) -> list[Record]:
        """Pictures of ``Train`` or ``Test`` by number."""
        found = numbered(self.root / split.capitalize())
        return [Record(p.relative_to(self.root).as_posix(), p, p.with_name(f"{p.stem}_ann.mat")) for p in found]

    def read_points(self, record: Record) -> np.ndarray:
        """``annPoints``."""
        content = read_mat(record.label)
        if "annPoints" not in content:
            raise InputError(record.label, "", "a variable annPoints", f"{sorted(k for k in content if k[0] != '_')}")
        return as_points(content["annPoints"], record.label)


@DATASETS.register_module()
class JHUCrowdDataset(CrowdDataset):
    """JHU-CROWD++: splits ``train``, ``val`` and ``test``."""

    expected_tree = """\
  train/images/0001.jpg, train/gt/0001.txt   x y w h occlusion blur of one head on each line
  val/..., test/...                          the same
"""

    def read_records(self, split: str) -> list[Record]:
        """Pictures of ``<split>/images`` by number."""
        folder = self.root / split
        found = numbered(folder / "images")
        return [Record(p.relative_to(self.root).as_posix(), p, folder / "gt" / f"{p.stem}.txt") for p in found]

    def read_points(self, record: Record) -> np.ndarray:
        """The first two numbers of each line."""
        return table_points(record.label, 0.0)


def table_points(path: Path, base: float) -> np.ndarray:
    """(N, 2) points of a text file with x and y first on each line; ``base`` is the coordinate of the first pixel.

    Raises:
        InputError: Missing, or a line without two numbers.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, "", "a text file of points", str(error)) from error
    rows = []
    for number, line in enumerate(lines, start=1):
        words = line.replace(",", " ").split()
        if not words:
            continue
        try:
            rows.append([float(words[0]), float(words[1])])
        except (ValueError, IndexError) as error:
            raise InputError(path, f"line {number}", "x and y", repr(line[:40])) from error
    return as_points(np.array(rows, float).reshape(-1, 2) - base, path)


@DATASETS.register_module()
class TrancosDataset(CrowdDataset):
    """TRANCOS (vehicles): splits ``trainval``, ``train``, ``val`` and ``test``; counts inside a region."""

    expected_tree = """\
  images/image-1-000001.jpg, .txt (x TAB y, from 1), mask.mat (BW, the region)   beside each other
  image_sets/training.txt, validation.txt, trainval.txt, test.txt                names of pictures
"""
    files: Mapping[str, str] = {"train": "training", "val": "validation"}

    def read_records(self, split: str) -> list[Record]:
        """Names of ``image_sets/<split>.txt``."""
        path = self.root / "image_sets" / f"{self.files.get(split, split)}.txt"
        try:
            names = path.read_text().split()
        except OSError as error:
            raise InputError(path, "", "a list of pictures", str(error)) from error
        pictures = [path_below(self.root / "images", name, path, f"line {n}") for n, name in enumerate(names, start=1)]
        return [Record(f"images/{p.name}", p, p.with_suffix(".txt")) for p in pictures]

    def read_points(self, record: Record) -> np.ndarray:
        """Vehicles of the text file that lie in the region; their pixels count from 1."""
        points = table_points(record.label, 0.5)
        mask = self.extras(record)["mask"]
        cell = np.clip(np.floor(points).astype(int), 0, [mask.shape[1] - 1, mask.shape[0] - 1])
        return points[mask[cell[:, 1], cell[:, 0]]]

    def extras(self, record: Record) -> dict[str, Any]:
        """``mask``: (H, W) bool, the region that counts."""
        path = record.path.with_name(f"{record.path.stem}mask.mat")
        content = read_mat(path)
        if "BW" not in content or np.ndim(content["BW"]) != 2:
            raise InputError(path, "", "a variable BW (H, W)", f"{sorted(k for k in content if k[0] != '_')}")
        return {"mask": np.asarray(content["BW"], bool)}
