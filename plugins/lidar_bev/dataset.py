"""Windows of drives as a dataset: nuScenes layout, RACECAR, KITTI sequences, Argoverse 2 logs, anything with LiDAR."""

from __future__ import annotations

import fnmatch
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from perception.errors import InputError, PerceptionError
from perception.registry import DATASETS
from perception.sources import drives_in
from perception.structures import BevGrid, Result

from .sweeps import CLASSES, Sweep, read_sweeps
from .windows import Window, WindowSettings, choose_windows, make_window

PARTS = ("all", "train", "val")


@DATASETS.register_module()
class LidarBevDataset(Dataset):
    """All windows of the drives below a folder, kept in memory; sweeps are read once, a drive at a time.

    Args:
        data_root: A drive, the root of a data set, or a folder of drives.
        window: Keywords of `WindowSettings`.
        stride: Take every n-th window of a drive.
        part: ``val`` takes the last of every ten drives (of fewer the last one), ``train`` the others. Windows overlap,
            so that drives are never divided.
        drives: Glob on the names of drives.
        lidar: Name of the LiDAR where a drive has several.
        flip: Mirror windows at random, along and across the car.
        limit: Use that many windows, evenly spread.

    Raises:
        InputError: No window can be formed; says what was found.
    """

    METAINFO: Mapping[str, Any] = {"classes": CLASSES}
    expected_tree = """\
  v1.0-*/*.json, samples/, sweeps/      nuScenes (with lidarseg/ where it is there) or RACECAR
  sensors/lidar/<ns>.feather, ...       Argoverse 2 logs
  sequences/00/velodyne, poses/00.txt   KITTI odometry
  *.mcap, *.bag, folders of bags        recorded drives with a LiDAR and poses
"""

    def __init__(
        self,
        data_root: str,
        window: Mapping[str, Any],
        stride: int = 1,
        part: str = "all",
        drives: str = "*",
        lidar: str | None = None,
        flip: bool = False,
        limit: int | None = None,
    ) -> None:
        if part not in PARTS:
            raise PerceptionError(f"LidarBevDataset: part: expected one of {PARTS}, found {part!r}")
        self.settings, self.flip, self.lidar = WindowSettings.of(window), flip, lidar
        self.root = Path(data_root)
        self.drives = _of_part([uri for uri in drives_in(self.root) if fnmatch.fnmatchcase(uri, drives)], part)
        self.windows: list[Window] = []
        self.origin: list[str] = []
        for uri in self.drives:
            found = list(drive_windows(uri, self.settings, stride, lidar))
            self.windows += found
            self.origin += [uri] * len(found)
        if not self.windows:
            wanted = (
                f"drives with {self.settings.frames} sweeps no more than {self.settings.max_gap_s} s apart, and poses"
            )
            raise InputError(self.root, "", wanted, f"{len(self.drives)} drive(s) without such a window")
        if limit is not None and limit < len(self.windows):
            chosen = np.linspace(0, len(self.windows) - 1, limit).round().astype(int)
            self.windows = [self.windows[i] for i in chosen]
            self.origin = [self.origin[i] for i in chosen]

    @property
    def metainfo(self) -> dict[str, Any]:
        """Names of the classes, horizons."""
        return {**self.METAINFO, "horizons": self.settings.horizons}

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``inputs`` (C, H, W) float32 and ``data_samples`` with the maps of `Window`."""
        window = self.windows[index]
        maps = {name: getattr(window, name) for name in ("classes", "seen", "future", "mask", "moving", "stale")}
        inputs = window.inputs.float()
        axes = [axis for axis in (-1, -2) if self.flip and torch.rand(()) < 0.5]
        if axes:
            inputs, maps = inputs.flip(axes), {name: value.flip(axes) for name, value in maps.items()}
        past = inputs[: self.settings.frames]
        # copies, as the samples of a prediction outlive the batch and these are the baselines
        maps |= {"last": past[-1].bool(), "union": past.bool().any(0)}
        name = f"{self.origin[index]}@{window.time_ns}"
        return {"inputs": inputs, "data_samples": {**maps, "name": name, "horizons": self.settings.horizons}}

    def picture(self, index: int) -> tuple[np.ndarray, Result]:
        """The newest map from above, and its classes (``perception browse``)."""
        from .draw import input_picture

        window = self.windows[index]
        return input_picture(window.inputs, self.settings), truth_grid(window, self.settings)


def truth_grid(window: Window, settings: WindowSettings) -> BevGrid:
    """Classes and future occupancy of a window as a result."""
    layers = {"semantics": window.classes.numpy().astype(np.int8)}
    for k, horizon in enumerate(settings.horizons):
        layers[f"occupancy_{horizon:g}s"] = (window.future[k] & window.mask[k]).numpy().astype(np.float32)
    grid = settings.grid
    return BevGrid("ego", grid.x_range, grid.y_range, grid.resolution, layers, CLASSES)


def drive_windows(
    uri: str | Path, settings: WindowSettings, stride: int = 1, lidar: str | None = None, need_future: bool = True
) -> list[Window]:
    """All windows of a drive; sweeps without a pose take no part where poses are needed."""
    sweeps: OrderedDict[int, Sweep] = OrderedDict()
    needed = settings.compensate or bool(settings.horizons)
    for sweep in read_sweeps(uri, lidar):
        if sweep.pose is not None or not needed:
            sweeps[len(sweeps)] = sweep
    times = [sweep.time_ns for sweep in sweeps.values()]
    return [
        _packed(make_window([sweeps[i] for i in past], [None if i is None else sweeps[i] for i in ahead], settings))
        for past, ahead in choose_windows(times, settings, stride, need_future)
    ]


def _packed(window: Window) -> Window:
    """The window with its input in half precision, which halves the memory of a dataset."""
    fields = {name: getattr(window, name) for name in window.__dataclass_fields__}
    return Window(**{**fields, "inputs": window.inputs.half(), "classes": window.classes.to(torch.int8)})


def _of_part(drives: Sequence[str], part: str) -> list[str]:
    drives = sorted(drives)
    val = [uri for i, uri in enumerate(drives) if i % 10 == 9] or drives[-1:]
    return list(drives) if part == "all" else val if part == "val" else [uri for uri in drives if uri not in val]
