"""What ``perception data`` knows of the crowd datasets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perception.engine.datasets import DatasetTool, Examined, Finding
from perception.errors import InputError, PerceptionError

from .dataset import (
    CrowdDataset,
    JHUCrowdDataset,
    QNRFDataset,
    Record,
    ShanghaiTechDataset,
    TrancosDataset,
    read_mat,
)
from .density import neighbour_distances
from .images import read_image
from .own_data import OwnPointsDataset

CLOSE = 1.0
"""Heads closer than this many pixels are probably one head that was marked twice."""


class CrowdTool(DatasetTool):
    """Common part: a record is a picture of a split, written ``split:number``.

    Attributes:
        reader: Dataset class.
        splits: Those that are looked for.
    """

    reader: type[CrowdDataset]
    splits: tuple[str, ...] = ("train", "test")

    def records(self, root: Path) -> list[str]:
        """Pictures of all splits that exist.

        Raises:
            InputError: There are none.
        """
        found = []
        for split in self.splits:
            found += [f"{split}:{index}" for index in range(len(self._records(root, split)))]
        if not found:
            raise InputError(root, "", f"pictures in\n{self.expected_tree}", "none")
        return found

    def _records(self, root: Path, split: str) -> Sequence[Record]:
        try:
            return self._bare(root).read_records(split)
        except InputError:
            if (root / f"{split}.json").exists() or (root / f"{split}.csv").exists():
                raise
            return []

    def _bare(self, root: Path) -> CrowdDataset:
        """The reader without its list of records, which would refuse a damaged dataset as a whole."""
        bare = object.__new__(self.reader)
        bare.root = root
        return bare

    def _record(self, root: Path, name: str) -> Record:
        split, _, index = name.partition(":")
        return self._records(root, split)[int(index)]

    def files(self, root: Path, record: str) -> list[Path]:
        """The picture and its labels."""
        found = self._record(root, record)
        return [found.path, *([found.label] if isinstance(found.label, Path) else [])]

    def examine(self, root: Path, record: str) -> Examined:
        """Decode the picture, read the heads, compare them."""
        found = self._record(root, record)
        findings: list[Finding] = []
        try:
            image = read_image(found.path)
        except InputError as error:
            return Examined((Finding(found.name, error.expected, error.found),))
        try:
            points = self._bare(root).read_points(found)
        except PerceptionError as error:
            return Examined((Finding(found.name, "readable points", str(error)),))
        size = (image.shape[1], image.shape[0])
        findings += point_findings(found.name, points, size)
        findings += self.more_findings(found, points)
        facts: dict[str, Any] = {"split": record.partition(":")[0], "width": size[0], "height": size[1]}
        facts["heads"] = len(points)
        if len(points) > 1:
            facts["nearest_px"] = round(float(np.median(neighbour_distances(points, 1))), 2)
        return Examined(tuple(findings), facts)

    def more_findings(self, record: Record, points: np.ndarray) -> list[Finding]:
        """What else can be wrong in this format."""
        return []


def point_findings(where: str, points: np.ndarray, size: tuple[int, int]) -> list[Finding]:
    """Heads outside the picture, and heads that were probably marked twice."""
    findings = []
    outside = ~((points >= 0).all(1) & (points < size).all(1))
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        found = f"{int(outside.sum())} outside, first point {row} at {points[row].round(1).tolist()}"
        findings.append(Finding(where, f"heads inside {size[0]}x{size[1]}", found, fatal=False))
    if len(points) > 1:
        twice = int((neighbour_distances(points, 1)[:, 0] < CLOSE).sum())
        if twice:
            findings.append(Finding(where, f"heads at least {CLOSE:g} px apart", f"{twice} closer", fatal=False))
    return findings


class ShanghaiTechTool(CrowdTool):
    """One part of ShanghaiTech."""

    name, reader, expected_tree = "shanghaitech", ShanghaiTechDataset, ShanghaiTechDataset.expected_tree

    def more_findings(self, record: Record, points: np.ndarray) -> list[Finding]:
        """The field ``number`` should be the number of points."""
        try:
            number = int(np.ravel(read_mat(record.label)["image_info"][0, 0][0, 0][1])[0])
        except (KeyError, IndexError, ValueError, TypeError) as error:
            return [Finding(record.name, "a field number", str(error), fatal=False)]
        if number == len(points):
            return []
        return [Finding(record.name, f"number equal to {len(points)} points", str(number), fatal=False)]


class QNRFTool(CrowdTool):
    """UCF-QNRF."""

    name, reader, expected_tree = "ucf_qnrf", QNRFDataset, QNRFDataset.expected_tree


class JHUCrowdTool(CrowdTool):
    """JHU-CROWD++."""

    name, reader, expected_tree = "jhu_crowd", JHUCrowdDataset, JHUCrowdDataset.expected_tree
    splits = ("train", "val", "test")


class TrancosTool(CrowdTool):
    """TRANCOS."""

    name, reader, expected_tree = "trancos", TrancosDataset, TrancosDataset.expected_tree
    splits = ("train", "val", "test")


class OwnPointsTool(CrowdTool):
    """Own pictures and points."""

    name, reader, expected_tree = "own_points", OwnPointsDataset, OwnPointsDataset.expected_tree
    splits = ("train", "val", "test")
