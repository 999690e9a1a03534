"""Results on regular grids: bird's-eye-view layers and people density."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from perception.errors import PerceptionError
from perception.structures.checks import array_field
from perception.structures.result import Result

__all__ = ["BevGrid", "DensityMap"]


@dataclass(frozen=True, eq=False)
class BevGrid(Result):
    """Layers over the ground plane.

    Cell (row, column) covers x from ``x_range[0] + row * resolution`` and y from ``y_range[0] + column * resolution``.

    Attributes:
        frame_id: Always ``"ego"``.
        x_range: (min, max) metres along ego x.
        y_range: (min, max) metres along ego y.
        resolution: Edge of a cell, metres.
        layers: Name -> (H, W) array; ``semantics`` holds class indices (-1 = not observed), others are probabilities.
        class_names: Names of the classes in ``semantics``.
    """

    KIND: ClassVar[str] = "bev_grid"

    frame_id: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    resolution: float
    layers: Mapping[str, np.ndarray]
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "x_range", tuple(float(v) for v in self.x_range))
        object.__setattr__(self, "y_range", tuple(float(v) for v in self.y_range))
        object.__setattr__(self, "class_names", tuple(self.class_names))
        if not self.resolution > 0:
            raise PerceptionError(f"BevGrid.resolution: expected a positive length, found {self.resolution}")
        layers = {}
        for name, layer in self.layers.items():
            dtype = np.asarray(layer).dtype
            layers[name] = array_field("BevGrid", f"layers[{name}]", layer, self.shape, dtype)
        object.__setattr__(self, "layers", MappingProxyType(layers))

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns): cells along x and along y."""
        spans = (self.x_range[1] - self.x_range[0], self.y_range[1] - self.y_range[0])
        return round(spans[0] / self.resolution), round(spans[1] / self.resolution)

    def cell_of(self, points: np.ndarray) -> np.ndarray:
        """(N, 2+) ego points -> (N, 2) int64 (row, column), possibly outside the grid."""
        origin = np.array([self.x_range[0], self.y_range[0]])
        return np.floor((np.asarray(points)[:, :2] - origin) / self.resolution).astype(np.int64)


@dataclass(frozen=True, eq=False)
class DensityMap(Result):
    """People per cell of an image; the sum is the count.

    Attributes:
        frame_id: Camera name.
        image_size: (width, height) in pixels of the image.
        density: (h, w) float32 people per cell.
        stride: Edge of a cell in image pixels.
        points: (K, 2) float32 head positions (x, y) in pixels.
        attention: (h, w) float32 probability that a cell shows people; (0, 0) where the network has no such map.
    """

    KIND: ClassVar[str] = "density_map"

    frame_id: str
    image_size: tuple[int, int]
    density: np.ndarray
    stride: float = 1.0
    points: np.ndarray | None = None
    attention: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_size", tuple(int(size) for size in self.image_size))
        object.__setattr__(
            self, "density", array_field("DensityMap", "density", self.density, (None, None), np.float32)
        )
        points = np.zeros((0, 2)) if self.points is None else self.points
        object.__setattr__(self, "points", array_field("DensityMap", "points", points, (None, 2), np.float32))
        attention = np.zeros((0, 0)) if self.attention is None else self.attention
        attention = array_field("DensityMap", "attention", attention, (None, None), np.float32)
        if attention.size and attention.shape != self.density.shape:
            raise PerceptionError(f"DensityMap.attention: expected {self.density.shape}, found {attention.shape}")
        object.__setattr__(self, "attention", attention)

    @property
    def count(self) -> float:
        """Estimated number of people."""
        return float(self.density.sum(dtype=np.float64))
