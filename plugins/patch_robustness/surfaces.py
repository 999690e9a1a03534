"""Flat places that can carry a patch, as one sensor view sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from perception.errors import PerceptionError
from perception.geometry.homography import Mode, check_quads, solve_homography

from .lighting import Lighting, identity_lighting
from .signs import INCH_MM, sign_mask

__all__ = ["Surface", "check_surfaces", "obliqueness", "surface_matrices"]


@dataclass(frozen=True, eq=False)
class Surface:
    """One flat place in one view.

    Attributes:
        quad: (3 or 4, 2) float32 image xy, in the order of the canonical keypoints of its shape.
        shape: As in ``signs.SignClass``; ``rect`` for boards and road.
        size_m: Height and width of its bounding rectangle in metres.
        lighting: Light on it.
        view: Index of the image it is in.
        surface_id: Names the physical object; several views or frames may share it.
        instance: Index of the ground truth it belongs to, None for none.
        label: Its class, empty when it has none.
        region: Row range and column range, 0..1 of the canonical canvas, that the patch may cover; None: all of it.
    """

    quad: Tensor
    shape: str
    size_m: tuple[float, float]
    lighting: Lighting = field(default_factory=identity_lighting)
    view: int = 0
    surface_id: str = ""
    instance: int | None = None
    label: str = ""
    region: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        quad = torch.as_tensor(self.quad, dtype=torch.float32)
        count = 3 if self.shape.startswith("triangle") else 4
        if quad.shape not in ((count, 2), (4, 2)):
            raise PerceptionError(
                f"surface {self.surface_id or self.shape}: expected quad ({count}, 2), found {tuple(quad.shape)}"
            )
        if len(self.size_m) != 2 or not all(0 < size < float("inf") for size in self.size_m):
            raise PerceptionError(f"surface {self.surface_id or self.shape}: expected size_m > 0, found {self.size_m}")
        object.__setattr__(self, "quad", quad[:count])

    @property
    def ratio(self) -> float:
        """Height divided by width."""
        return self.size_m[0] / self.size_m[1]

    @property
    def size_px(self) -> float:
        """Square root of the area of the bounding box, in pixels."""
        return float((self.quad.amax(0) - self.quad.amin(0)).prod().clamp(min=0).sqrt())

    def canonical(self, width: int) -> tuple[Tensor, Tensor]:
        """(width, width) mask of the surface and (K, 2) keypoints on a canvas of that width."""
        return sign_mask(self.shape, self.ratio, width)

    def moved(self, quad: Tensor) -> Surface:
        """The same surface seen elsewhere."""
        return replace(self, quad=quad)


def surface_matrices(surfaces: Sequence[Surface], width: int, geometry: Mode = "perspective") -> Tensor:
    """(N, 3, 3) maps from the canonical canvas of ``width`` pixels to image pixels."""
    matrices = torch.zeros(len(surfaces), 3, 3)
    for count in (3, 4):
        members = [index for index, surface in enumerate(surfaces) if len(surface.quad) == count]
        if members:
            source = torch.stack([surfaces[i].canonical(width)[1].float() for i in members])
            matrices[members] = solve_homography(source, torch.stack([surfaces[i].quad for i in members]), geometry)
    return matrices


def check_surfaces(surfaces: Sequence[Surface], sizes: Sequence[tuple[int, int]], min_side: float = 4.0) -> None:
    """Refuse surfaces that cannot be attacked, before work starts.

    Args:
        surfaces: To check.
        sizes: (H, W) of each view.
        min_side: Smallest square root of the area, in pixels.

    Raises:
        PerceptionError: None at all, an unknown view, a degenerate outline (also: behind the camera), or one that lies
            outside its image.
    """
    if not surfaces:
        raise PerceptionError("attack: expected at least one surface, found none")
    for index, surface in enumerate(surfaces):
        name = f"surface {surface.surface_id or index}"
        if not 0 <= surface.view < len(sizes):
            raise PerceptionError(f"{name}: expected view below {len(sizes)}, found {surface.view}")
        check_quads(surface.quad[None], name, min_side**2)
        height, width = sizes[surface.view]
        low, high = surface.quad.amin(0), surface.quad.amax(0)
        if float(high[0]) < 0 or float(high[1]) < 0 or float(low[0]) > width - 1 or float(low[1]) > height - 1:
            found = surface.quad.round().tolist()
            raise PerceptionError(f"{name}: expected corners in the {width} x {height} image, found {found}")


def obliqueness(surface: Surface) -> float:
    """How far a surface is turned away, in degrees: 0 when its aspect in the image is that of the object.

    From the aspect ratio of the bounding box against the metric one: the arc cosine of the smaller quotient.
    """
    extent = (surface.quad.amax(0) - surface.quad.amin(0)).clamp(min=1e-6)
    quotient = float(extent[1] / extent[0]) / surface.ratio
    return float(torch.rad2deg(torch.arccos(torch.tensor(min(quotient, 1 / quotient)).clamp(0, 1))))


def inches(value: float) -> float:
    """Inches to metres."""
    return value * INCH_MM / 1000
