"""Plane-to-plane maps as 3x3 matrices on pixel coordinates (x, y), batched on torch tensors."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from perception.errors import PerceptionError

__all__ = ["Mode", "apply_homography", "check_quads", "solve_homography"]

Mode = Literal["perspective", "affine", "translate_scale"]

MIN_ANGLE = 1e-3
"""Sine of the smallest corner angle that counts as a corner."""


def solve_homography(source: Tensor, target: Tensor, mode: Mode = "perspective") -> Tensor:
    """Solve the maps that take ``source`` points to ``target`` points.

    Args:
        source: (N, K, 2) xy, K = 3 or 4.
        target: (N, K, 2) xy.
        mode: ``perspective`` maps four pairs exactly; ``affine`` the first three; ``translate_scale`` maps the
            bounding box of the points, without rotation. Three pairs give an affine map.

    Returns:
        (N, 3, 3) in the dtype of ``target``, element (2, 2) = 1. Solved in float64.

    Raises:
        PerceptionError: Shapes, an unknown mode, or points without a unique map.
    """
    if source.shape != target.shape or source.ndim != 3 or source.shape[1] not in (3, 4) or source.shape[2] != 2:
        found = f"{tuple(source.shape)} and {tuple(target.shape)}"
        raise PerceptionError(f"solve_homography: expected two (N, 3 or 4, 2), found {found}")
    if mode not in ("perspective", "affine", "translate_scale"):
        raise PerceptionError(f"geometry mode: expected perspective, affine or translate_scale, found {mode!r}")
    if not (torch.isfinite(source).all() and torch.isfinite(target).all()):
        raise PerceptionError("solve_homography: expected finite points, found NaN or infinity")
    one, two = source.double(), target.double()
    if mode == "translate_scale":
        one, two = _box_corners(one), _box_corners(two)
    if mode == "affine" or one.shape[1] == 3:
        one, two = one[:, :3], two[:, :3]
    matrix = _affine(one, two) if one.shape[1] == 3 else _perspective(one, two)
    return matrix.to(target.dtype)


def _box_corners(points: Tensor) -> Tensor:
    low, high = points.amin(1), points.amax(1)
    (x0, y0), (x1, y1) = low.unbind(-1), high.unbind(-1)
    return torch.stack([x0, y0, x1, y0, x1, y1, x0, y1], dim=-1).reshape(-1, 4, 2)


def _solve(system: Tensor, right: Tensor) -> Tensor:
    solution, info = torch.linalg.solve_ex(system, right)
    if bool(info.any()) or not bool(torch.isfinite(solution).all()):
        bad = int((info != 0).nonzero()[0]) if bool(info.any()) else 0
        raise PerceptionError(f"solve_homography: pair {bad}: points on a line or on one spot have no unique map")
    return solution


def _affine(source: Tensor, target: Tensor) -> Tensor:
    ones = source.new_ones(*source.shape[:2], 1)
    rows = _solve(torch.cat([source, ones], -1), target).transpose(1, 2)  # (N, 2, 3)
    last = rows.new_tensor([0.0, 0.0, 1.0]).expand(len(rows), 1, 3)
    return torch.cat([rows, last], 1)


def _perspective(source: Tensor, target: Tensor) -> Tensor:
    (x, y), (u, v) = source.unbind(-1), target.unbind(-1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    top = torch.stack([x, y, one, zero, zero, zero, -x * u, -y * u], -1)
    bottom = torch.stack([zero, zero, zero, x, y, one, -x * v, -y * v], -1)
    solution = _solve(torch.cat([top, bottom], 1), torch.cat([u, v], 1).unsqueeze(-1)).squeeze(-1)
    return torch.cat([solution, solution.new_ones(len(solution), 1)], -1).reshape(-1, 3, 3)


def apply_homography(matrix: Tensor, points: Tensor) -> Tensor:
    """Map (N, K, 2) points by (N, 3, 3) matrices."""
    mapped = torch.cat([points, torch.ones_like(points[..., :1])], -1) @ matrix.transpose(1, 2)
    return mapped[..., :2] / mapped[..., 2:]


def check_quads(points: Tensor, what: str = "surface", min_area: float = 1.0) -> None:
    """Refuse quadrilaterals and triangles that carry no picture.

    Args:
        points: (N, K, 2) xy, K = 3 or 4, in order around the outline.
        what: How the error calls them.
        min_area: Smallest area in square pixels.

    Raises:
        PerceptionError: Not finite, an area below ``min_area``, or an outline that crosses itself or is not convex
            (corners behind the camera look like this).
    """
    for index, quad in enumerate(points.detach().double()):
        name = f"{what} {index}"
        if not bool(torch.isfinite(quad).all()):
            raise PerceptionError(f"{name}: expected finite corners, found {quad.tolist()}")
        edge = quad.roll(-1, 0) - quad
        following = edge.roll(-1, 0)
        cross = edge[:, 0] * following[:, 1] - edge[:, 1] * following[:, 0]
        x, y = quad.unbind(-1)
        area = float((x * y.roll(-1) - x.roll(-1) * y).sum().abs()) / 2
        if area < min_area:
            raise PerceptionError(f"{name}: expected an area of at least {min_area:g} px, found {area:.3g}")
        sine = cross / (edge.norm(dim=1) * following.norm(dim=1)).clamp(min=1e-12)
        if not bool((sine > MIN_ANGLE).all() or (sine < -MIN_ANGLE).all()):
            raise PerceptionError(f"{name}: expected a convex outline, found corners {quad.round(decimals=1).tolist()}")
