"""Polylines as (N, D) arrays of vertices."""

from __future__ import annotations

import numpy as np

__all__ = ["resample"]


def resample(points: np.ndarray, count: int) -> np.ndarray:
    """``count`` points equally spaced by arc length along a polyline, ends included.

    Args:
        points: (N, D) vertices, N >= 1; repeated vertices are fine.
        count: Number of points wanted, at least 2.

    Returns:
        (count, D) float64.
    """
    points = np.asarray(points, dtype=np.float64)
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    targets = np.linspace(0.0, arc[-1], count)
    return np.stack([np.interp(targets, arc, column) for column in points.T], axis=1)
