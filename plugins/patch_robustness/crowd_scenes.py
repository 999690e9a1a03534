"""Samples to attack: simulated crowds with an upright rectangle in the picture."""

from __future__ import annotations

import numpy as np
import torch

from perception.attack import AttackSample
from perception.errors import PerceptionError
from perception.registry import DATASETS
from perception.structures import DensityMap

from .surfaces import Surface

__all__ = ["SimulatedCrowds"]


@DATASETS.register_module()
class SimulatedCrowds:
    """Simulated crowds with labelled heads and a rectangle, as a poster somebody holds in front of the camera.

    Args:
        count: Number of samples.
        seed: First seed; from 900,000 on held out from training.
        size: (width, height) of the pictures.
        people: People to place; random when None.
        share: Share of the picture that the rectangle covers.
        seat: Range of its middle: left, top, right, bottom as shares of the picture.
        square_m: Its printed side in metres, for the report.

    Raises:
        PerceptionError: A rectangle that does not fit.
    """

    def __init__(
        self,
        count: int = 4,
        seed: int = 900_000,
        size: tuple[int, int] = (512, 384),
        people: int | None = None,
        share: float = 0.04,
        seat: tuple[float, float, float, float] = (0.2, 0.5, 0.8, 0.8),
        square_m: float = 1.0,
    ) -> None:
        self.size, self.people, self.square_m = (int(size[0]), int(size[1])), people, square_m
        self.count, self.seed, self.seat = count, seed, tuple(float(value) for value in seat)
        self.side = float((share * size[0] * size[1]) ** 0.5)
        if count < 1 or not 0 < share < 1 or self.side >= min(size) or not all(0 <= value <= 1 for value in self.seat):
            raise PerceptionError(f"simulated crowds: expected a rectangle inside the picture, found {share}, {seat}")
        self._made: dict[int, AttackSample] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> AttackSample:
        if not 0 <= index < self.count:
            raise IndexError(index)
        if index not in self._made:
            self._made[index] = self._make(self.seed + index)
        return self._made[index]

    def _make(self, seed: int) -> AttackSample:
        from perception.sim.crowd import render_crowd_sample

        found = render_crowd_sample(seed, self.size, self.people)
        rng = np.random.default_rng([seed, 11])
        size = np.array(self.size, np.float64)
        middle = rng.uniform(np.array(self.seat[:2]) * size, np.array(self.seat[2:]) * size)
        low = np.clip(middle - self.side / 2, 0, size - 1 - self.side)
        corners = low + self.side * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
        quad = torch.from_numpy(corners.astype(np.float32))
        surface = Surface(quad, "rect", (self.square_m, self.square_m), surface_id="poster", label="poster")
        total = np.full((1, 1), len(found.points), np.float32)
        truth = DensityMap("front", self.size, total, float(max(self.size)), found.points)
        name = f"crowd_{seed:07d}"
        return AttackSample(name, found.image, truth, name, (surface,), {"people": len(found.points)})
