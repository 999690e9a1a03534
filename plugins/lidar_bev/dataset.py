"""Windows of drives as a dataset: nuScenes layout, RACECAR, KITTI sequences, Argoverse 2 logs, anything with LiDAR."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from perception.errors import InputError, PerceptionError
from perception.registry import DATASETS
from perception.sinks.storage import write_file
from perception.sources import drives_in
from perception.structures import BevGrid, Result

from .sweeps import CLASSES, read_sweeps
from .windows import Window, WindowSettings, choose_windows, make_window

FORMAT = 2
"""Version of windows in files; raised when `make_window` changes."""
PARTS = ("all", "train", "val")
_BINARY = ("future", "mask", "moving", "stale")


@DATASETS.register_module()
class LidarBevDataset(Dataset):
    """All windows of the drives below a folder; sweeps are read once, a drive at a time.

    Windows are kept in memory, or in files where ``cache`` names a folder: about 0.6 MB a window of 128 x 128 cells in
    memory, less than a tenth of that in a file.

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
        cache: Folder for windows, relative to ``data_root``; a drive that is complete there is not read again.

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
        cache: str | None = None,
    ) -> None:
        if part not in PARTS:
            raise PerceptionError(f"LidarBevDataset: part: expected one of {PARTS}, found {part!r}")
        self.settings, self.flip, self.lidar = WindowSettings.of(window), flip, lidar
        self.root = Path(data_root)
        self.drives = _of_part([uri for uri in drives_in(self.root) if fnmatch.fnmatchcase(uri, drives)], part)
        self._windows: list[Window | Path] = []
        self.origin: list[str] = []
        for uri in self.drives:
            make = partial(drive_windows, uri, self.settings, stride, lidar)
            folder = None if cache is None else self.root / cache / _digest(uri, self.settings, stride, lidar)
            found: Sequence[Window | Path] = make() if folder is None else cached_windows(folder, make)
            self._windows += found
            self.origin += [uri] * len(found)
        if not self._windows:
            wanted = (
                f"drives with {self.settings.frames} sweeps no more than {self.settings.max_gap_s} s apart, and poses"
            )
            raise InputError(self.root, "", wanted, f"{len(self.drives)} drive(s) without such a window")
        if limit is not None and limit < len(self._windows):
            chosen = np.linspace(0, len(self._windows) - 1, limit).round().astype(int)
            self._windows = [self._windows[i] for i in chosen]
            self.origin = [self.origin[i] for i in chosen]

    @property
    def metainfo(self) -> dict[str, Any]:
        """Names of the classes, horizons."""
        return {**self.METAINFO, "horizons": self.settings.horizons}

    def __len__(self) -> int:
        return len(self._windows)

    def window(self, index: int) -> Window:
        """One window, from memory or its file."""
        window = self._windows[index]
        return load_window(window) if isinstance(window, Path) else window

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``inputs`` (C, H, W) float32 and ``data_samples`` with the maps of `Window`."""
        window = self.window(index)
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

        window = self.window(index)
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
    needed = settings.compensate or bool(settings.horizons)
    sweeps = [sweep for sweep in read_sweeps(uri, lidar) if sweep.pose is not None or not needed]
    times = [sweep.time_ns for sweep in sweeps]
    return [
        _packed(make_window([sweeps[i] for i in past], [None if i is None else sweeps[i] for i in ahead], settings))
        for past, ahead in choose_windows(times, settings, stride, need_future)
    ]


def _packed(window: Window) -> Window:
    """The window with its input in half precision, which halves the memory of a dataset."""
    fields = {name: getattr(window, name) for name in window.__dataclass_fields__}
    return Window(**{**fields, "inputs": window.inputs.half(), "classes": window.classes.to(torch.int8)})


def cached_windows(folder: Path, make: Callable[[], list[Window]]) -> list[Path]:
    """Files of the windows of a drive; made unless a list in the folder says that they are complete."""
    done = folder / "windows.json"
    if not done.is_file():
        names = []
        for window in make():
            names.append(f"{window.time_ns}.npz")
            save_window(folder / names[-1], window)
        write_file(done, json.dumps(names).encode())
    return [folder / name for name in json.loads(done.read_text(encoding="utf-8"))]


def save_window(path: Path, window: Window) -> None:
    """Write a window to a file, its maps of two values packed."""
    arrays: dict[str, Any] = {"time_ns": window.time_ns, "shape": window.future.shape}
    arrays |= {name: np.packbits(getattr(window, name).numpy().astype(bool)) for name in _BINARY}
    arrays |= {name: getattr(window, name).numpy() for name in ("inputs", "classes", "seen")}
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_file(path, buffer.getvalue())


def load_window(path: Path) -> Window:
    """Read what `save_window` wrote.

    Raises:
        InputError: The file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            shape, count = tuple(stored["shape"]), int(np.prod(stored["shape"]))
            maps = {name: np.unpackbits(stored[name], count=count).reshape(shape) for name in _BINARY}
            maps |= {name: stored[name] for name in ("inputs", "classes", "seen")}
            return Window(int(stored["time_ns"]), **{name: torch.from_numpy(value) for name, value in maps.items()})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(path, "", "a window; delete its folder to have it made again", str(error)) from error


def _digest(*parts: Any) -> str:
    return hashlib.sha256(repr((FORMAT, *parts)).encode()).hexdigest()[:16]


def _of_part(drives: Sequence[str], part: str) -> list[str]:
    drives = sorted(drives)
    val = [uri for i, uri in enumerate(drives) if i % 10 == 9] or drives[-1:]
    return list(drives) if part == "all" else val if part == "val" else [uri for uri in drives if uri not in val]
