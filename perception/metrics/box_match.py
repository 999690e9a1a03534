"""Which boxes belong together: the score of every true box, and what became of it, as attacks and defences ask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perception.structures import Boxes2D

__all__ = ["OUTCOMES", "BoxOutcome", "box_areas", "box_ious", "box_outcome", "common_areas", "matched_scores"]

OUTCOMES = ("right", "wrong class", "gone")
"""A true box has a detection of its class, only detections of other classes, or none."""


@dataclass(frozen=True, eq=False)
class BoxOutcome:
    """What a detector made of one image.

    Attributes:
        of_truth: One of ``OUTCOMES`` for each true box.
        invented: Number of detections on no true box of any class.
    """

    of_truth: tuple[str, ...]
    invented: int


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """(N,) float64 areas of (N, 4) boxes x0, y0, x1, y1; 0 of those whose corners are not in order."""
    sides = np.clip(boxes[:, 2:].astype(np.float64) - boxes[:, :2], 0, None)
    areas: np.ndarray = sides.prod(1)
    return areas


def common_areas(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, M) float64 areas that (N, 4) and (M, 4) boxes x0, y0, x1, y1 share."""
    a, b = np.asarray(boxes, np.float64), np.asarray(others, np.float64)
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared: np.ndarray = np.clip(high - low, 0, None).prod(2)
    return shared


def box_ious(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, M) float64 IoU of (N, 4) and (M, 4) boxes x0, y0, x1, y1; 0 where both have no area."""
    a, b = np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(others, np.float64).reshape(-1, 4)
    common = common_areas(a, b)
    both: np.ndarray = common / np.maximum(box_areas(a)[:, None] + box_areas(b)[None] - common, 1e-9)
    return both


def matched_scores(found: Boxes2D, truth: Boxes2D, iou: float = 0.5) -> np.ndarray:
    """(G,) score of the same-class detection matched to each true box, best score first; 0 for none.

    Args:
        found: Detections.
        truth: True boxes.
        iou: Least IoU of a match.
    """
    scores, free = np.zeros(len(truth)), np.ones(len(truth), bool)
    overlaps = box_ious(found.boxes, truth.boxes)
    for k in np.argsort(-found.scores, kind="stable"):
        overlap = np.where(free & (truth.labels == found.labels[k]), overlaps[k], 0.0)
        if len(overlap) and overlap.max() >= iou:
            best = int(overlap.argmax())
            scores[best], free[best] = found.scores[k], False
    return scores


def box_outcome(found: Boxes2D, truth: Boxes2D, threshold: float, iou: float = 0.5) -> BoxOutcome:
    """Detected, taken for another class or gone; and detections of nothing.

    Args:
        found: Detections.
        truth: True boxes.
        threshold: Detections of a lower score do not count.
        iou: Least IoU of a match.
    """
    near = (box_ious(found.boxes, truth.boxes) >= iou) & (found.scores >= threshold)[:, None]
    right = matched_scores(found, truth, iou)
    seen: np.ndarray = np.any(near, axis=0)
    words = [OUTCOMES[0 if s >= threshold and s > 0 else 1 if other else 2] for s, other in zip(right, seen)]
    return BoxOutcome(tuple(words), int(((found.scores >= threshold) & ~near.any(1)).sum()))
