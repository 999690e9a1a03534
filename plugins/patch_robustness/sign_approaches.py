"""Samples to attack: frame after frame of a car that comes up to a sign, to tell when it is first seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from perception.attack import AttackSample
from perception.errors import InputError, PerceptionError
from perception.geometry import make_pose
from perception.registry import DATASETS
from perception.structures import Boxes2D

from .lighting import Lighting
from .signs import sign_class
from .surfaces import Surface

if TYPE_CHECKING:
    from perception.geometry import Camera
    from perception.sim.city.drive import TownDrive, TownSample
    from perception.sim.city.truth_objects import SignView

__all__ = ["SignApproaches"]

_FAR = (9.0, 11.0)
"""Width in pixels of the sign in the first frame."""
_COVERED = 0.75
"""A sign of which less can be seen carries no patch."""
_SHARES = (20, 80)
"""Percentiles that count as black and white on a sign."""


@DATASETS.register_module()
class SignApproaches:
    """Simulated cars that drive straight on towards a sign at a steady speed, one for each seed.

    Only one sign carries a patch and is followed, the one that most frames show: its rows have ``time_s``,
    ``distance_m`` and ``track``. Frames in which it is covered or beyond the border are left out.

    Args:
        seeds: One town each; from 900,000 on held out from training.
        frames: Most frames of an approach.
        rate_hz: Frames a second.
        speed: Metres a second.
        size: (width, height) of the pictures.
        view: Horizontal field of view in degrees.
        preset: Weather and daylight.
        min_side: Least width of the sign in pixels.

    Raises:
        PerceptionError: Numbers that do not fit.
        InputError: No sign is approached.
    """

    def __init__(
        self,
        seeds: tuple[int, ...] = (900_000,),
        frames: int = 20,
        rate_hz: float = 10.0,
        speed: float = 14.0,
        size: tuple[int, int] = (512, 384),
        view: float = 55.0,
        preset: str = "day",
        min_side: float = 8.0,
    ) -> None:
        if not seeds or frames < 1 or not (rate_hz > 0 and speed > 0 and min_side >= 4):
            raise PerceptionError(
                "sign approaches: expected seeds, frames >= 1, rate and speed > 0, min_side >= 4, "
                f"found {len(seeds)} seeds, {frames}, {rate_hz}, {speed}, {min_side}"
            )
        self.seeds, self.frames, self.rate_hz, self.speed = tuple(seeds), int(frames), float(rate_hz), float(speed)
        self.size, self.view, self.preset = (int(size[0]), int(size[1])), float(view), preset
        self.min_side = float(min_side)
        self._samples: list[AttackSample] | None = None

    @property
    def samples(self) -> list[AttackSample]:
        """All samples, made when first asked for."""
        if self._samples is None:
            self._samples = [sample for seed in self.seeds for sample in self._approach(seed)]
            if not self._samples:
                raise InputError("sign approaches", "", "a sign that is driven to", "none")
        return self._samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> AttackSample:
        return self.samples[index]

    def _approach(self, seed: int) -> list[AttackSample]:
        from perception.sim.city.drive import TownDrive
        from perception.sim.city.layout import TownConfig
        from perception.sim.city.truth_objects import signs_in_picture
        from perception.sim.writers.sign_stops import sign_stops
        from perception.sim.writers.signs import sign_camera

        camera = sign_camera(self.size, self.view)
        town = TownConfig(blocks=(2, 2), signs=0.8)
        drive = TownDrive(
            seed, self.preset, self.frames, self.rate_hz, rig={"front": camera}, lidar=None, truth=(), config=town
        )
        starts = sign_stops(drive.town, camera, [drive.time(0)], np.random.default_rng([seed, 8]), _FAR)
        tracks: dict[int, list[AttackSample]] = {}
        for index in range(self.frames if starts else 0):
            moved = make_pose(np.eye(3), np.array([index * self.speed / self.rate_hz, 0.0, 0.0]))
            found = drive.sample(index, starts[0] @ moved)
            signs = signs_in_picture(drive.town, camera, found.ego, found.views["front"])
            for mine, sign in enumerate(signs):
                if sign.visible >= _COVERED and sign.box[2] - sign.box[0] >= self.min_side:
                    sample = self._sample(seed, index, drive, found, signs, mine)
                    tracks.setdefault(sign.element.instance, []).append(sample)
        return max(tracks.values(), key=len, default=[])

    def _sample(
        self, seed: int, index: int, drive: TownDrive, found: TownSample, signs: list[SignView], mine: int
    ) -> AttackSample:
        from perception.sim.city.faces import SHAPES
        from perception.sim.city.truth_objects import hidden_pixels

        frame, view, ego = found.frame, found.views["front"], found.ego
        image, sign = frame.images["front"], signs[mine]
        values = image[view.instance == sign.element.instance].reshape(-1) / 255
        low, high = np.percentile(values, _SHARES)
        light = Lighting("percentile", torch.tensor([[high - low, low]], dtype=torch.float32))
        kind = sign_class(sign.element.shape)
        size_m = (kind.height_mm / 1e3, kind.width_mm / 1e3)
        quad = torch.from_numpy(np.asarray(sign.keypoints, np.float32))
        name = f"approach_{seed:07d}"
        surface = Surface(quad, kind.shape, size_m, light, 0, name, mine, kind.name)
        boxes = np.clip([one.box for one in signs], 0, [self.size[0] - 1, self.size[1] - 1] * 2)
        labels = np.array([tuple(SHAPES).index(one.element.shape) for one in signs], np.int64)
        truth = Boxes2D("front", self.size, boxes, np.ones(len(signs)), labels, tuple(SHAPES))
        meta = {
            "time_s": index / self.rate_hz,
            "distance_m": round(_away(sign, ego, drive.cameras["front"]), 2),
            "track": int(sign.element.instance),
        }
        hidden = hidden_pixels(view, [sign])
        return AttackSample(f"{name}/{index:05d}", image, truth, name, (surface,), meta, hidden)


def _away(sign: SignView, ego: np.ndarray, camera: Camera) -> float:
    """Metres from the camera to the middle of a sign."""
    assert camera.ego_from_camera is not None
    eye = ego @ camera.ego_from_camera[:, 3]
    return float(np.linalg.norm(sign.element.corners.mean(0) - eye[:3]))
