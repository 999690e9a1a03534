"""COCO box evaluation (AP, AR), with what sign benchmarks add: a background class and the score of every match."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from perception.errors import PerceptionError

__all__ = ["AREAS", "IOUS", "BoxSet", "DetectionScores", "evaluate_boxes", "max_f1_thresholds"]

IOUS = np.linspace(0.5, 0.95, 10)
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
_LIMITS = (1, 10, 100)
_RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class BoxSet:
    """Boxes of many images.

    Attributes:
        images: (N,) int64 image of each box.
        labels: (N,) int64 class index.
        boxes: (N, 4) float64 x, y, width, height.
        scores: (N,) float64; 1 for truth.
        areas: (N,) float64, what size ranges go by.
        crowd: (N,) bool regions that any number of detections may match without counting.
    """

    images: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray

    @classmethod
    def from_coco(cls, records: Sequence[Mapping[str, Any]], first_label: int = 0) -> BoxSet:
        """Read COCO annotations or results; ``first_label`` is the ``category_id`` of class 0.

        Raises:
            PerceptionError: A record without image, category or four finite numbers; names it.
        """
        rows = []
        for index, record in enumerate(records):
            try:
                box = [float(value) for value in record["bbox"]]
                row = (int(record["image_id"]), int(record["category_id"]) - first_label, box)
            except (KeyError, TypeError, ValueError) as error:
                raise PerceptionError(f"COCO record {index}: {type(error).__name__}: {error}") from error
            if len(box) != 4 or not np.isfinite(box).all() or min(box[2:]) < 0:
                raise PerceptionError(f"COCO record {index}: expected bbox x, y, width, height, found {box}")
            area = float(record.get("area", box[2] * box[3]))
            rows.append((*row, float(record.get("score", 1.0)), area, bool(record.get("iscrowd", 0))))
        images, labels, boxes, scores, areas, crowd = zip(*rows) if rows else ((),) * 6
        return cls(
            np.array(images, np.int64),
            np.array(labels, np.int64),
            np.array(boxes, np.float64).reshape(-1, 4),
            np.array(scores, np.float64),
            np.array(areas, np.float64),
            np.array(crowd, bool),
        )


@dataclass(frozen=True)
class DetectionScores:
    """Outcome of ``evaluate_boxes``.

    Attributes:
        stats: The twelve COCO figures: AP, AP50, AP75, AP small, medium, large, AR at 1, 10, 100, AR small, medium,
            large; -1 where there is nothing to count.
        ap: (C,) AP of each class over all IoU thresholds, NaN without truth.
        ap50: (C,) the same at IoU 0.5.
        truths: (C,) how many truths counted at IoU 0.5.
        gt_scores: Class -> (10, G) score of the detection matched to each truth of the class, 0 for none; in the
            order of the input.
        tp_scores: Class -> scores of the true positives at IoU 0.5, falling.
        fp_scores: Class -> scores of the false positives at IoU 0.5, falling.
    """

    stats: np.ndarray
    ap: np.ndarray
    ap50: np.ndarray
    truths: np.ndarray
    gt_scores: dict[int, np.ndarray]
    tp_scores: dict[int, np.ndarray]
    fp_scores: dict[int, np.ndarray]


@njit(cache=True)
def _ious(dets, gts, crowd):
    out = np.zeros((len(dets), len(gts)))
    for i in range(len(dets)):
        for j in range(len(gts)):
            w = min(dets[i, 0] + dets[i, 2], gts[j, 0] + gts[j, 2]) - max(dets[i, 0], gts[j, 0])
            h = min(dets[i, 1] + dets[i, 3], gts[j, 1] + gts[j, 3]) - max(dets[i, 1], gts[j, 1])
            if w <= 0 or h <= 0:
                continue
            own = dets[i, 2] * dets[i, 3]
            union = own if crowd[j] else own + gts[j, 2] * gts[j, 3] - w * h
            out[i, j] = w * h / union
    return out


@njit(cache=True)
def _match(ious, ignored, crowd, wild, thresholds, compat):
    """Greedy matching; truths in the order given, ignored last; one matched by a wild one is ignored from then on.

    Returns:
        (T, D) truth of each detection and (T, G) detection of each truth, -1 for none; (T, D) whether it was ignored.
    """
    det_ignored, start = np.zeros((len(thresholds), ious.shape[0]), np.bool_), ignored.copy()
    of_det = np.full((len(thresholds), ious.shape[0]), -1, np.int64)
    of_gt = np.full((len(thresholds), ious.shape[1]), -1, np.int64)
    for t in range(len(thresholds)):
        for d in range(ious.shape[0]):
            best, found = min(thresholds[t], 1 - 1e-10), -1
            for g in range(ious.shape[1]):
                if of_gt[t, g] >= 0 and not crowd[g]:
                    continue
                if found > -1 and not ignored[found] and ignored[g]:
                    break
                if ious[d, g] < best:
                    continue
                best, found = ious[d, g], g
            if found >= 0:
                of_det[t, d], of_gt[t, found] = found, d
                det_ignored[t, d] = start[found] if compat else ignored[found]
                ignored[found] |= wild[d]
    return of_det, of_gt, det_ignored


@dataclass
class _Image:
    """One image and class: what accumulation needs, for all thresholds."""

    scores: np.ndarray
    positive: np.ndarray
    det_ignored: np.ndarray
    gt_ignored: np.ndarray
    gt_scores: np.ndarray
    gt_index: np.ndarray


class _Evaluator:
    def __init__(self, truth: BoxSet, found: BoxSet, wildcard: int | None, compat: bool) -> None:
        self.truth, self.found, self.wildcard, self.compat = truth, found, wildcard, compat
        order = np.argsort(-found.scores, kind="stable")
        self.dets = _grouped(found.images[order], order)
        self.gts = _grouped(truth.images, np.arange(len(truth.images)))

    def images(self) -> list[int]:
        return sorted({*self.dets, *self.gts})

    def image(self, image: int, label: int, area: tuple[float, float]) -> _Image:
        """Match the detections of one image and class; at most 100 by score."""
        truth, found = self.truth, self.found
        none = np.zeros(0, np.int64)
        gts, every = self.gts.get(image, none), self.dets.get(image, none)
        gts = gts[truth.labels[gts] == label]
        chosen = found.labels[every] == label
        if self.wildcard is not None:
            chosen |= found.labels[every] == self.wildcard
        dets = every[chosen][: _LIMITS[-1]]
        ignored = truth.crowd[gts] | (truth.areas[gts] < area[0]) | (truth.areas[gts] > area[1])
        order = np.argsort(ignored, kind="stable")
        gts, ignored = gts[order], ignored[order]
        rows = every if self.compat and label == self.wildcard else dets
        ious = _ious(found.boxes[rows[: len(dets)]], truth.boxes[gts], truth.crowd[gts])
        wild = np.full(len(dets), False) if self.wildcard is None else found.labels[dets] == self.wildcard
        of_det, of_gt, det_ignored = _match(ious, ignored, truth.crowd[gts], wild, IOUS, self.compat)
        matched, sizes = of_det >= 0, found.areas[dets]
        det_ignored |= wild | (~matched & ((sizes < area[0]) | (sizes > area[1])))
        gt_ignored = np.tile(ignored, (len(IOUS), 1))
        scores = found.scores[dets]
        gt_scores = np.where(of_gt >= 0, scores[of_gt], 0.0) if len(dets) else np.zeros(gt_ignored.shape)
        return _Image(scores, matched, det_ignored, gt_ignored, gt_scores, gts)


def _grouped(keys: np.ndarray, values: np.ndarray) -> dict[int, np.ndarray]:
    order = np.argsort(keys, kind="stable")
    names, starts = np.unique(keys[order], return_index=True)
    return {int(name): part for name, part in zip(names, np.split(values[order], starts[1:]))}


def evaluate_boxes(
    truth: BoxSet,
    found: BoxSet,
    classes: int,
    *,
    background: int | None = None,
    mode: str | None = None,
    only: int | None = None,
    compat: bool = False,
) -> DetectionScores:
    """Evaluate detections as the COCO evaluator does.

    Args:
        truth: True boxes.
        found: Detected boxes.
        classes: Number of classes.
        background: Class of objects that belong to no other class.
        mode: None treats ``background`` like any class; ``drop`` leaves out its truths and detections; ``mtsd`` lets
            its detections match truths of any class, and counts neither.
        only: Leave out every other class.
        compat: Reproduce two defects of REAP's evaluator in mode ``mtsd``: for the background class it reads the IoU of
            the k-th best detection of all classes instead of the k-th best of that class; and a detection still counts
            as true positive when its truth is no longer counted.

    Raises:
        PerceptionError: Another mode, or a mode without ``background``.
    """
    if mode not in (None, "drop", "mtsd") or (mode is not None and background is None):
        raise PerceptionError(f"box evaluation: expected mode drop or mtsd with a background class, found {mode!r}")
    evaluator = _Evaluator(truth, found, background if mode == "mtsd" else None, compat)
    images = evaluator.images()
    precision = np.full((len(AREAS), len(IOUS), len(_RECALLS), classes), -1.0)
    recall = np.full((len(AREAS), len(_LIMITS), len(IOUS), classes), -1.0)
    truths = np.zeros(classes, np.int64)
    gt_scores = {label: np.zeros((len(IOUS), int((truth.labels == label).sum()))) for label in range(classes)}
    tp_scores, fp_scores = ({label: np.zeros(0) for label in range(classes)} for _ in range(2))
    for label in range(classes):
        if (only is not None and label != only) or (mode == "drop" and label == background):
            continue
        for a, area in enumerate(AREAS.values()):
            cells = [evaluator.image(image, label, area) for image in images]
            _accumulate(cells, precision[a, :, :, label], recall[a, :, :, label])
            if a == 0:
                truths[label] = sum(int((~cell.gt_ignored[0]).sum()) for cell in cells)
                tp_scores[label], fp_scores[label] = _split_scores(cells)
                place = {int(g): k for k, g in enumerate(np.flatnonzero(truth.labels == label))}
                for cell in cells:
                    for column, g in enumerate(cell.gt_index):
                        gt_scores[label][:, place[int(g)]] = cell.gt_scores[:, column]
    ap, ap50 = (_mean_or_nan(precision[0][index]) for index in (slice(None), slice(0, 1)))
    return DetectionScores(_stats(precision, recall), ap, ap50, truths, gt_scores, tp_scores, fp_scores)


def _accumulate(cells: list[_Image], precision: np.ndarray, recall: np.ndarray) -> None:
    """Fill (T, R) precision and (limits, T) recall of one class; stays -1 without truth."""
    totals = np.sum([(~cell.gt_ignored).sum(1) for cell in cells], axis=0) if cells else np.zeros(len(IOUS))
    for row, limit in enumerate(_LIMITS):
        scores = np.concatenate([cell.scores[:limit] for cell in cells] or [np.zeros(0)])
        order = np.argsort(-scores, kind="stable")
        positive, ignored = (
            np.concatenate([getattr(cell, name)[:, :limit] for cell in cells] or [np.zeros((len(IOUS), 0), bool)], 1)
            for name in ("positive", "det_ignored")
        )
        tp = np.cumsum((positive & ~ignored)[:, order], 1).astype(np.float64)
        fp = np.cumsum((~positive & ~ignored)[:, order], 1).astype(np.float64)
        for t in range(len(IOUS)):
            if totals[t] == 0:
                continue
            curve = tp[t] / totals[t]
            recall[row, t] = curve[-1] if len(curve) else 0.0
            if row == len(_LIMITS) - 1:
                height = np.maximum.accumulate((tp[t] / (fp[t] + tp[t] + np.spacing(1)))[::-1])[::-1]
                index = np.searchsorted(curve, _RECALLS, side="left")
                precision[t] = np.where(
                    index < len(height), np.append(height, 0.0)[np.minimum(index, len(height))], 0.0
                )


def _split_scores(cells: list[_Image]) -> tuple[np.ndarray, np.ndarray]:
    scores = np.concatenate([cell.scores for cell in cells] or [np.zeros(0)])
    positive = np.concatenate([cell.positive[0] for cell in cells] or [np.zeros(0, bool)])
    counted = ~np.concatenate([cell.det_ignored[0] for cell in cells] or [np.zeros(0, bool)])
    return tuple(np.sort(scores[counted & side])[::-1] for side in (positive, ~positive))  # type: ignore[return-value]


def _mean_or_nan(precision: np.ndarray) -> np.ndarray:
    """(T, R, C) -> (C,), thresholds without truth left out."""
    return np.array(
        [column[column > -1].mean() if (column > -1).any() else np.nan for column in np.moveaxis(precision, 2, 0)]
    )


def _stats(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    def mean(values: np.ndarray) -> float:
        return float(values[values > -1].mean()) if (values > -1).any() else -1.0

    first = [mean(precision[0]), mean(precision[0, 0]), mean(precision[0, 5])]
    sizes = [mean(precision[a]) for a in (1, 2, 3)]
    return np.array([*first, *sizes, *(mean(recall[0, k]) for k in range(3)), *(mean(recall[a, 2]) for a in (1, 2, 3))])


def max_f1_thresholds(
    scores: DetectionScores, classes: Iterable[int], steps: int = 1000
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score threshold with the best F1 at IoU 0.5 for each class.

    Args:
        scores: Of clean data.
        classes: Which classes; the background class is usually left out.
        steps: Thresholds tried between 0 and 1.

    Returns:
        (K,) thresholds (the lowest of equally good ones), and true and false positives at them.
    """
    grid = np.linspace(0, 1, steps)
    rows = []
    for label in classes:
        tp = (scores.tp_scores[label][None] >= grid[:, None]).sum(1)
        fp = (scores.fp_scores[label][None] >= grid[:, None]).sum(1)
        f1 = 2 * tp / np.maximum(tp + fp + scores.truths[label], 1)
        best = int(np.argmax(f1))
        rows.append((grid[best], tp[best], fp[best]))
    thresholds, tp, fp = zip(*rows) if rows else ((), (), ())
    return np.array(thresholds, np.float64), np.array(tp, np.int64), np.array(fp, np.int64)
