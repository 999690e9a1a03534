"""Plane-to-plane maps as 3x3 matrices on pixel coordinates (x, y), batched on torch tensors."""

from __future__ import annotations

import contextlib
from typing import Literal

import numpy as np
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
        (N, 3, 3) in the dtype of ``target``, element (2, 2) = 1. Solved in float64 on the CPU, without gradient.

    Raises:
        PerceptionError: Shapes, an unknown mode, or points without a unique map.
    """
    if source.shape != target.shape or source.ndim != 3 or source.shape[1] not in (3, 4) or source.shape[2] != 2:
        found = f"{tuple(source.shape)} and {tuple(target.shape)}"
        raise PerceptionError(f"solve_homography: expected two (N, 3 or 4, 2), found {found}")
    if mode not in ("perspective", "affine", "translate_scale"):
        raise PerceptionError(f"geometry mode: expected perspective, affine or translate_scale, found {mode!r}")
    one, two = (points.detach().double().cpu().numpy() for points in (source, target))
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise PerceptionError("solve_homography: expected finite points, found NaN or infinity")
    if mode == "translate_scale":
        one, two = _box_corners(one), _box_corners(two)
    if mode == "affine" or one.shape[1] == 3:
        one, two = one[:, :3], two[:, :3]
    matrix = _affine(one, two) if one.shape[1] == 3 else _perspective(one, two)
    return torch.from_numpy(matrix).to(target)


def _box_corners(points: np.ndarray) -> np.ndarray:
    low, high = points.min(1), points.max(1)
    return np.stack([low, np.stack([high[:, 0], low[:, 1]], 1), high, np.stack([low[:, 0], high[:, 1]], 1)], 1)


def _solve(system: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve all pairs at once; numpy needs a fifth of the time of torch for so few numbers."""
    try:
        solution = np.linalg.solve(system, right)
    except np.linalg.LinAlgError:
        solution = np.full_like(right, np.nan)
        for index, pair in enumerate(zip(system, right)):
            with contextlib.suppress(np.linalg.LinAlgError):
                solution[index] = np.linalg.solve(*pair)
    bad = ~np.isfinite(solution).all((1, 2))
    if bad.any():
        index = int(bad.argmax())
        raise PerceptionError(f"solve_homography: pair {index}: points on a line or on one spot have no unique map")
    return solution


def _affine(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    matrix = np.zeros((len(source), 3, 3))
    matrix[:, :2] = _solve(np.concatenate([source, np.ones((*source.shape[:2], 1))], 2), target).transpose(0, 2, 1)
    matrix[:, 2, 2] = 1
    return matrix


def _perspective(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    count = len(source)
    system = np.zeros((count, 2, 4, 8))
    for axis in (0, 1):
        system[:, axis, :, 3 * axis : 3 * axis + 2] = source
        system[:, axis, :, 3 * axis + 2] = 1
        system[:, axis, :, 6:] = -source * target[:, :, axis, None]
    solution = _solve(system.reshape(count, 8, 8), target.transpose(0, 2, 1).reshape(count, 8, 1))
    return np.concatenate([solution.reshape(count, 8), np.ones((count, 1))], 1).reshape(count, 3, 3)


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
