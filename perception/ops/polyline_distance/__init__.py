"""Distance matrices between polylines, and resampling: Chamfer and discrete Frechet (spec openlanev2_metrics 2.1).

``reference`` defines them pair by pair in numpy, ``cpu`` is compiled, ``cuda`` too; all agree on empty, single-point,
repeated and non-finite vertices. Everything is float64. ``tensors`` has the operators for tensors of any device.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from perception.ops.polyline_distance import cpu, reference
from perception.ops.polyline_distance.polylines import Polylines, join, open_closed, pack

__all__ = ["Polylines", "chamfer_matrix", "frechet_matrix", "join", "open_closed", "pack", "resample"]

Implementation = Literal["cpu", "reference"]


def chamfer_matrix(
    a: Polylines,
    b: Polylines,
    where: np.ndarray | None = None,
    limit: np.ndarray | None = None,
    implementation: Implementation = "cpu",
) -> np.ndarray:
    """Return the Chamfer distances between all polylines of ``a`` and of ``b``.

    Args:
        a: A polylines.
        b: B polylines.
        where: (A, B) bool, pairs that are wanted; None for all.
        limit: (A,) distance from which on the exact value of a row does not matter; None for no limit.
        implementation: ``"cpu"``, or ``"reference"`` to check against.

    Returns:
        (A, B) float64 metres; infinite for unwanted pairs and beyond the limit, NaN where a polyline has no vertex or
        one that is not finite.
    """
    wanted = _wanted(where, a, b)
    limits = np.full(len(a), np.inf) if limit is None else np.asarray(limit, np.float64)
    if implementation == "reference":
        return reference.chamfer_matrix(a, b, wanted, limits)
    return cpu.chamfer_matrix(a.points, a.offsets, b.points, b.offsets, wanted, limits)


def frechet_matrix(
    a: Polylines, b: Polylines, where: np.ndarray | None = None, implementation: Implementation = "cpu"
) -> np.ndarray:
    """Return the discrete Frechet distances; arguments and result as for :func:`chamfer_matrix`."""
    wanted = _wanted(where, a, b)
    if implementation == "reference":
        return reference.frechet_matrix(a, b, wanted)
    return cpu.frechet_matrix(a.points, a.offsets, b.points, b.offsets, wanted)


def resample(lines: Polylines, count: int, implementation: Implementation = "cpu") -> np.ndarray:
    """Return every polyline as ``count`` points equally spaced along its arc length, ends included.

    Args:
        lines: N polylines.
        count: Number of points, at least 2.
        implementation: ``"cpu"``, or ``"reference"`` to check against.

    Returns:
        (N, count, 3) float64; NaN for polylines without vertices or with one that is not finite.

    Raises:
        ValueError: ``count`` is less than 2.
    """
    if count < 2:
        raise ValueError(f"resample: expected a count of at least 2, found {count}")
    if implementation == "reference":
        return reference.resample(lines, count)
    return cpu.resample(lines.points, lines.offsets, count)


def _wanted(where: np.ndarray | None, a: Polylines, b: Polylines) -> np.ndarray:
    shape = (len(a), len(b))
    if where is None:
        return np.ones(shape, bool)
    wanted = np.ascontiguousarray(where, bool)
    if wanted.shape != shape:
        raise ValueError(f"where: expected shape {shape}, found {wanted.shape}")
    return wanted
