"""LaneSegNet's own truth: of areas only crossings, as two edges of ten points (spec openlanev2_metrics section 3.9)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from perception.errors import PerceptionError
from perception.metrics.openlanev2.records import AREA_POINTS
from perception.metrics.openlanev2.scene import LANE_SEGMENT, Scene
from perception.ops.polyline_distance import join, pack, resample

__all__ = ["lanesegnet_truth", "two_edges"]

CROSSING = 1
EDGE_POINTS = AREA_POINTS // 2


def two_edges(corners: np.ndarray) -> np.ndarray:
    """Edge (0, 1) and edge (2, 3) of a crossing, each as 10 equally spaced points.

    Args:
        corners: (4, 3) or, with the first repeated at the end, (5, 3).

    Returns:
        (20, 3) float64.

    Raises:
        PerceptionError: Another number of points; 20 are a crossing that a collection has resampled, whose corners are
            lost.
    """
    if len(corners) not in (4, 5):
        lost = (
            ": resampled already, take the raw json or a collection *_lanesegnet.pkl"
            if len(corners) == AREA_POINTS
            else ""
        )
        raise PerceptionError(f"crossing: expected 4 corners, closed or not, found {len(corners)} points{lost}")
    return resample(pack([corners[:2], corners[2:4]]), EDGE_POINTS).reshape(-1, 3)


def lanesegnet_truth(raw: Scene) -> Scene:
    """Truth as LaneSegNet's own evaluator sees it; lanes are resampled to 10 points.

    Args:
        raw: Lane segments as the raw json has them, before any resampling of areas.

    Raises:
        PerceptionError: It is of the other track, or a crossing has lost its corners.
    """
    if raw.track != LANE_SEGMENT:
        raise PerceptionError(f"LaneSegNet: expected lane segments, found the track {raw.track!r}")
    chosen = [line for line, label in zip(raw.areas, raw.area_labels) if label == CROSSING]
    crossings = [two_edges(line) for line in chosen]
    points = np.concatenate([*crossings, np.zeros((0, 3))])
    lanes = tuple(join(resample(lines, EDGE_POINTS).reshape(-1, 3), [EDGE_POINTS] * len(lines)) for lines in raw.lanes)
    return replace(
        raw,
        lanes=lanes,
        areas=join(points, [AREA_POINTS] * len(crossings)),
        area_labels=np.full(len(crossings), CROSSING),
        area_scores=np.ones(len(crossings)),
    )
