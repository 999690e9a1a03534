"""Distances between truth and prediction of one frame (spec openlanev2_metrics sections 2.1 to 2.4)."""

from __future__ import annotations

import numpy as np

from perception.metrics.openlanev2.scene import Scene
from perception.ops.polyline_distance import Polylines, chamfer_matrix, frechet_matrix, open_closed

MASKED = 1024.0
"""Stands for every pair of lanes whose centerlines are too far apart to be looked at."""
MASK_DISTANCE = 3.0


def relaxation(centerlines: Polylines) -> np.ndarray:
    """Return the factor that forgives errors far from the car: 1 at the origin, 0.5 from 100 m on.

    Args:
        centerlines: G true centerlines, ego metres.

    Returns:
        (G,) float64; only vertices count, not the segments between them.
    """
    if not len(centerlines):
        return np.zeros(0)
    nearest = np.minimum.reduceat(np.linalg.norm(centerlines.points, axis=1), centerlines.offsets[:-1])
    return np.maximum(0.5, 1.0 - 0.005 * nearest)


def lane_distances(truth: Scene, pred: Scene, keep_closed: bool = False) -> np.ndarray:
    """Return the relaxed lane distances: Frechet of centerlines, for lane segments half of it plus both Chamfers.

    Args:
        truth: Frame with G lanes.
        pred: Frame with P lanes of the same track.
        keep_closed: Keep the last vertex of closed true curves, as releases before 2.1 did.

    Returns:
        (G, P) float64 metres, 1024 where the relaxed Chamfer distance of the centerlines is 3 m or more.
    """
    factor = relaxation(truth.lanes[0])
    curves = truth.lanes if keep_closed else tuple(open_closed(lines) for lines in truth.lanes)
    near = chamfer_matrix(curves[0], pred.lanes[0], limit=MASK_DISTANCE / factor)
    where = near * factor[:, None] < MASK_DISTANCE
    distance = frechet_matrix(truth.lanes[0], pred.lanes[0], where)
    for side in range(1, len(curves)):
        distance = distance + chamfer_matrix(curves[side], pred.lanes[side], where)
    if len(curves) == 3:
        distance = 0.5 * distance
    return np.where(where, distance * factor[:, None], MASKED)


def area_distances(truth: Scene, pred: Scene, limit: float = np.inf) -> np.ndarray:
    """Return the Chamfer distances of areas, (G, P) float64 metres; infinite for pairs beyond ``limit``."""
    return chamfer_matrix(open_closed(truth.areas), pred.areas, limit=np.full(len(truth.areas), limit))


def box_distances(truth: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """Return 1 - IoU of (G, 4) and (P, 4) boxes, (G, P) float64; NaN for two boxes without area."""
    a, b = truth[:, None], pred[None]
    overlap = np.prod(np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0.0), axis=2)
    union = np.prod(a[..., 2:] - a[..., :2], axis=2) + np.prod(b[..., 2:] - b[..., :2], axis=2) - overlap
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1.0 - overlap / union
