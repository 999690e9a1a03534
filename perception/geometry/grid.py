"""Where the cells of a bird's-eye-view grid are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perception.errors import PerceptionError

__all__ = ["GridSpec"]


@dataclass(frozen=True)
class GridSpec:
    """A grid over the ground plane; row grows with x, column with y, (0, 0) is the cell at the minimum of both.

    The cell of a point is ``floor(x / resolution + offset)`` in float32, on every device.

    Attributes:
        x_range: (min, max) metres.
        y_range: (min, max) metres.
        resolution: Edge of a cell, metres.
    """

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    resolution: float

    def __post_init__(self) -> None:
        for name in ("x_range", "y_range"):
            low, high = map(float, getattr(self, name))
            object.__setattr__(self, name, (low, high))
            if not (self.resolution > 0 and high - low >= self.resolution):
                found = f"{(low, high)} at {self.resolution} m"
                raise PerceptionError(f"GridSpec.{name}: expected at least one cell of positive size, found {found}")

    @classmethod
    def centered(cls, size: int | Sequence[int], resolution: float) -> GridSpec:
        """A grid of ``size`` (cells a side, or rows and columns) around the origin."""
        rows, columns = (size, size) if isinstance(size, int) else size
        spans = (rows * resolution / 2, columns * resolution / 2)
        return cls((-spans[0], spans[0]), (-spans[1], spans[1]), resolution)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        spans = (self.x_range[1] - self.x_range[0], self.y_range[1] - self.y_range[0])
        return round(spans[0] / self.resolution), round(spans[1] / self.resolution)

    @property
    def offset(self) -> tuple[float, float]:
        """What is added to coordinates in cells: the cell of the origin."""
        return -self.x_range[0] / self.resolution, -self.y_range[0] / self.resolution

    def cells(self, points: np.ndarray) -> np.ndarray:
        """(N, 2+) points -> (N, 2) float32 whole (row, column), possibly outside the grid; NaN stays NaN."""
        xy = np.asarray(points)[:, :2].astype(np.float32)
        return np.floor(xy / np.float32(self.resolution) + np.asarray(self.offset, np.float32))

    def inside(self, cells: np.ndarray) -> np.ndarray:
        """(N,) bool: which of (N, 2) cells are in the grid."""
        rows, columns = self.shape
        return (cells[:, 0] >= 0) & (cells[:, 0] < rows) & (cells[:, 1] >= 0) & (cells[:, 1] < columns)

    def centers(self) -> np.ndarray:
        """(rows, columns, 2) float32 xy of the middle of every cell."""
        rows, columns = self.shape
        x = self.x_range[0] + (np.arange(rows) + 0.5) * self.resolution
        y = self.y_range[0] + (np.arange(columns) + 0.5) * self.resolution
        return np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Constructor keywords."""
        return {"x_range": self.x_range, "y_range": self.y_range, "resolution": self.resolution}
