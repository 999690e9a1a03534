"""Samples to attack: moments of simulated towns or of recorded drives with sweeps, poses and boxes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from perception.attack_points import PointSample
from perception.engine.config import load_config
from perception.errors import InputError, PerceptionError
from perception.registry import DATASETS

from .attack_target import LidarTruth
from .sweeps import VEHICLE, Sweep, class_of, read_sweeps, sweep_of
from .windows import WindowSettings, choose_windows, footprints, level_of, make_window

__all__ = ["RecordedSweeps", "SimulatedSweeps", "moments"]


def moments(sweeps: Sequence[Sweep], settings: WindowSettings, stride: int, scene: str) -> list[PointSample]:
    """A sample every ``stride`` windows of a drive, with its truth.

    Raises:
        PerceptionError: A sweep has no pose.
    """
    found = []
    for past, ahead in choose_windows([sweep.time_ns for sweep in sweeps], settings, stride):
        chosen = [sweeps[index] for index in past]
        truth = _truth(chosen, [None if index is None else sweeps[index] for index in ahead], settings)
        poses = [sweep.pose for sweep in chosen if sweep.pose is not None]
        clouds = tuple(np.ascontiguousarray(sweep.points[:, :3].numpy()) for sweep in chosen)
        parts: dict[str, Any] = {
            "sensors": tuple(s.sensor for s in chosen),
            "times_ns": tuple(s.time_ns for s in chosen),
        }
        name = f"{scene}@{chosen[-1].time_ns}"
        found.append(PointSample(name, clouds, tuple(poses), truth=truth, scene=scene, **parts))
    return found


def _truth(past: Sequence[Sweep], ahead: Sequence[Sweep | None], settings: WindowSettings) -> LidarTruth:
    window = make_window(past, ahead, settings)
    newest = past[-1]
    objects = np.full(settings.grid.shape, -1, np.int64)
    distances: list[float] = []
    if newest.boxes is not None and len(newest.boxes):
        kinds = np.array([class_of(name) for name in newest.boxes.class_names])[newest.boxes.labels]
        cells = footprints(newest.boxes, level_of(newest, settings), settings.grid, kinds == VEHICLE)
        seen = (window.classes.numpy() == VEHICLE) & (window.seen.numpy() > 0)
        for index in np.unique(cells[(cells >= 0) & seen]):
            objects[cells == index] = len(distances)
            distances.append(float(np.hypot(*newest.boxes.boxes[index, :2])))
    return LidarTruth(window, objects, tuple(distances))


class _Samples(ABC):
    """A list of samples that is made when it is first asked for."""

    def __init__(self, config: str, stride: int, limit: int) -> None:
        self.settings = WindowSettings.of(load_config(config).window)
        if stride < 1:
            raise PerceptionError(f"sweeps to attack: expected stride >= 1, found {stride}")
        self.stride, self.limit = stride, limit
        self._samples: list[PointSample] | None = None

    @abstractmethod
    def _drives(self) -> Iterable[tuple[str, list[Sweep]]]: ...

    @property
    def samples(self) -> list[PointSample]:
        """All samples."""
        if self._samples is None:
            made = [s for name, sweeps in self._drives() for s in moments(sweeps, self.settings, self.stride, name)]
            made = made[: self.limit or None]
            if not made:
                raise InputError("sweeps to attack", "", f"drives of {self.settings.frames} sweeps or more", "none")
            self._samples = made
        return self._samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> PointSample:
        return self.samples[index]


@DATASETS.register_module()
class SimulatedSweeps(_Samples):
    """Moments of drives through simulated towns.

    Args:
        config: Config of the model, whose ``window`` says what a sample is.
        towns: Number of towns.
        seed: First seed; from 900,000 on held out from training.
        frames: Sweeps of each drive, 10 a second.
        lidar: Beams.
        stride: Windows between two samples.
        limit: First samples only; 0 takes all.
    """

    def __init__(
        self, config: str, towns: int = 2, seed: int = 900_000, frames: int = 30, lidar: int = 32, stride: int = 6,
        limit: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(config, stride, limit)
        self.towns, self.seed, self.frames, self.lidar = towns, seed, frames, lidar

    def _drives(self) -> Iterable[tuple[str, list[Sweep]]]:
        from perception.sim import TownDrive

        for seed in range(self.seed, self.seed + self.towns):
            drive = TownDrive(seed, n_frames=self.frames, rig=None, lidar=self.lidar, truth=("boxes_3d",))
            yield f"town_{seed:07d}", [sweep_of(frame) for frame in drive]


@DATASETS.register_module()
class RecordedSweeps(_Samples):
    """Moments of a recorded drive with a LiDAR, poses and, for scores of vehicles, boxes.

    Args:
        config: Config of the model.
        drives: Drives, as ``perception run`` takes them.
        lidar: Name of the LiDAR where a drive has several.
        stride: Windows between two samples.
        limit: First samples only; 0 takes all.
    """

    def __init__(
        self, config: str, drives: Sequence[str], lidar: str | None = None, stride: int = 6, limit: int = 0
    ) -> None:
        super().__init__(config, stride, limit)
        self.drives, self.lidar = tuple([drives] if isinstance(drives, str) else drives), lidar

    def _drives(self) -> Iterable[tuple[str, list[Sweep]]]:
        for uri in self.drives:
            yield uri, [sweep for sweep in read_sweeps(uri, self.lidar) if sweep.pose is not None]
