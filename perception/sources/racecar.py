"""RACECAR: sweeps named ``<scenario>__<SENSOR>__<time>.pcd.bin`` in ``sweeps/`` and ``samples/``."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from perception.registry import SOURCES
from perception.sources.cloud_files import NUSCENES_FIELDS, read_bin
from perception.sources.dataset import DatasetSource, Layout, cloud_track, image_track
from perception.sources.times import split_seconds
from perception.structures import Calibration

__all__ = ["RacecarSource"]

_NAME = re.compile(r"__(?P<sensor>[A-Z0-9_]+?)__(?P<time>\d{10,19})\.(?:pcd\.bin|jpg|png)$")


@SOURCES.register_module()
class RacecarSource(DatasetSource):
    """Sweeps and samples of a RACECAR scenario merged in the order of their times, without the nuScenes tables.

    The time in a name is ten digits of seconds followed by nanoseconds without leading zeros, so names do not sort as
    text. Where all times have 16 digits they are microseconds, as in nuScenes. Clouds of ``LIDAR_FUSED`` are in the
    car's frame. There are no poses in this layout; with the tables beside it, the folder is read as nuScenes.
    """

    KIND = "RACECAR"

    @classmethod
    def probe(cls, path: Path) -> float:
        """Score a path, see :meth:`DriveSource.probe`."""
        return 0.9 if any(_NAME.search(file.name) for folder in _folders(path) for file in _first(folder)) else 0

    def read_layout(self) -> Layout:
        """See :meth:`DatasetSource.read_layout`."""
        found: dict[str, list[tuple[str, Path]]] = {}
        for folder in _folders(self.path):
            for file in folder.iterdir():
                match = _NAME.search(file.name)
                if match:
                    found.setdefault(match["sensor"], []).append((match["time"], file))
        tracks, sensors = {}, {}
        micro = all(len(digits) == 16 for entries in found.values() for digits, _ in entries)
        for name, entries in sorted(found.items()):
            times = [int(digits) * 1000 if micro else split_seconds(digits) or 0 for digits, _ in entries]
            paths = [file for _, file in entries]
            if paths[0].suffix == ".bin":
                tracks[name] = cloud_track(name, paths, times, lambda f, t: read_bin(f, NUSCENES_FIELDS, t))
            else:
                tracks[name] = image_track(name, paths, times)
            sensors[re.sub("^cam_", "", name.lower())] = name
        rig = Calibration({}, {name: np.eye(4) for name in tracks if name == "LIDAR_FUSED"})
        return Layout(tracks, sensors, lambda _: rig)


def _folders(path: Path) -> list[Path]:
    below = [folder for kind in ("sweeps", "samples") for folder in sorted((path / kind).glob("*")) if folder.is_dir()]
    return below or ([path] if path.is_dir() else [])


def _first(folder: Path) -> list[Path]:
    """A few files of a folder, however many it has."""
    entries = folder.iterdir()
    return [file for _, file in zip(range(20), entries)]
