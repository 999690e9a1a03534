"""Samples to attack: consecutive frames of a drive with a patch that is fixed in the world."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np

from perception.attack import AttackSample
from perception.errors import InputError, PerceptionError, UnknownNameError
from perception.registry import DATASETS
from perception.structures import Frame

from .occlusion import hidden_by_lidar, points_in_ego
from .placement import PlacedView, board_corners, preview, road_corners

__all__ = ["DriveScenes"]


@DATASETS.register_module()
class DriveScenes:
    """Frames of one camera that show a rectangle on the road or a board, with the drive's own truth.

    Samples have ``time_s`` (since the first frame), ``distance_m`` (of the patch from the car) and ``camera``, so that
    a report tells first detections, longest misses and lateral deviation.

    Args:
        drives: Drives, as ``perception run`` takes them, with calibration and truth; None simulates.
        seeds: Seeds of simulated drives; from 900,000 on held out from training.
        camera: Slot of the camera.
        truth: Kind of truth, ``lanes_2d`` or ``boxes_2d``.
        ahead: Distance of the middle of the patch in the first frame, metres.
        lateral: Its offset to the left.
        size_m: Length along the road (or height) and width.
        on: ``road`` or ``board``.
        frames: First frames of each drive; 0 takes all.
        every: Take every n-th frame.
        size: (width, height) of simulated pictures.
        preset: Weather and daylight of simulated drives.
        min_side: Least size of the patch in the picture, pixels.
        occlusion: ``lidar``: returns of a frame hide the patch where something stands before it; ``none``.

    Raises:
        PerceptionError: Neither or both of ``drives`` and ``seeds``, or settings that there are not.
    """

    def __init__(
        self,
        drives: tuple[str, ...] | None = None,
        seeds: tuple[int, ...] | None = None,
        camera: str = "front",
        truth: str = "lanes_2d",
        ahead: float = 30.0,
        lateral: float = 0.0,
        size_m: tuple[float, float] = (6.0, 3.0),
        on: str = "road",
        frames: int = 0,
        every: int = 1,
        size: tuple[int, int] = (640, 360),
        preset: str = "day",
        min_side: float = 8.0,
        occlusion: str = "lidar",
    ) -> None:
        if (drives is None) == (seeds is None):
            raise PerceptionError("drive scenes: expected drives or seeds of simulated ones, found neither or both")
        if on not in ("road", "board") or every < 1:
            raise PerceptionError(f"drive scenes: expected on='road' or 'board' and every >= 1, found {on!r}, {every}")
        if occlusion not in ("lidar", "none"):
            raise UnknownNameError("occlusion of drive scenes", occlusion, ("lidar", "none"))
        self.drives, self.seeds, self.occlusion = drives, seeds, occlusion
        self.camera, self.truth, self.min_side = camera, f"{camera}/{truth}", min_side
        self.size_m = (float(size_m[0]), float(size_m[1]))
        self.corners = (road_corners if on == "road" else board_corners)(ahead, lateral, self.size_m)
        self.frames, self.every, self.size, self.preset = frames, every, (int(size[0]), int(size[1])), preset
        self._samples: list[AttackSample] | None = None

    @property
    def samples(self) -> list[AttackSample]:
        """All samples, made when first asked for."""
        if self._samples is None:
            self._samples = [sample for name, frames in self._sources() for sample in self._of(name, frames)]
            if not self._samples:
                raise InputError("drive scenes", "", "frames that show the patch and have truth", "none")
        return self._samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> AttackSample:
        return self.samples[index]

    def _sources(self) -> Iterable[tuple[str, Iterable[Frame]]]:
        if self.seeds is not None:
            from perception.sim import SimulatedDrive

            for seed in self.seeds:
                drive = SimulatedDrive(seed, self.preset, self.frames or 50, size=self.size)
                yield f"drive_{seed:07d}", (drive[index] for index in range(0, len(drive), self.every))
            return
        from perception.sources import open_drive

        for uri in self.drives or ():
            with open_drive(uri) as source:
                yield uri, islice(source, 0, self.frames or None, self.every)

    def _of(self, name: str, frames: Iterable[Frame]) -> list[AttackSample]:
        chosen = list(frames)
        out = []
        for view in preview(chosen, (self.camera,), self.corners, self.size_m):
            frame, surface = view.frame, view.surface
            if surface is None or surface.size_px < self.min_side or self.truth not in frame.truth:
                continue
            meta = {
                "time_s": (frame.timestamp_ns - chosen[0].timestamp_ns) * 1e-9,
                "distance_m": self._distance(chosen[0], frame),
                "camera": frame.calibration.cameras[self.camera],
            }
            key = f"{name}@{frame.index}"
            truth, hidden = frame.truth[self.truth], self._hidden(view)
            out.append(AttackSample(key, view.image, truth, name, (surface,), meta, hidden))
        return out

    def _hidden(self, view: PlacedView) -> np.ndarray | None:
        """(H, W) bool of what the LiDAR of a frame says hides the patch; None where it has no returns."""
        points = points_in_ego(view.frame)
        if self.occlusion == "none" or not len(points):
            return None
        return hidden_by_lidar(points, view.corners, view.frame.calibration.cameras[self.camera])

    def _distance(self, first: Frame, frame: Frame) -> float:
        middle = np.append(self.corners.mean(0), 1.0)
        if first.ego_pose is not None and frame.ego_pose is not None:
            middle = np.linalg.solve(np.asarray(frame.ego_pose), np.asarray(first.ego_pose) @ middle)
        return round(float(np.hypot(middle[0], middle[1])), 2)
