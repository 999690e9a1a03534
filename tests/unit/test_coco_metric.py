"""Box evaluation: hand-computed cases, agreement with pycocotools, and the background class."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from perception.errors import PerceptionError
from perception.metrics.coco import BoxSet, evaluate_boxes, max_f1_thresholds


def _record(image: int, label: int, box: list[float], score: float | None = None, **more) -> dict:
    record = {"image_id": image, "category_id": label, "bbox": box, **more}
    return record if score is None else {**record, "score": score}


def test_one_hit_one_miss_one_false_alarm_by_hand():
    truth = BoxSet.from_coco([_record(0, 0, [0, 0, 10, 10]), _record(1, 0, [0, 0, 10, 10])])
    found = BoxSet.from_coco([_record(0, 0, [0, 0, 10, 9], 0.9), _record(0, 0, [50, 50, 10, 10], 0.8)])
    scores = evaluate_boxes(truth, found, 1)
    # recall 1/2 with precision 1: 51 of the 101 recall points; IoU 0.9 counts for nine of ten thresholds
    assert scores.ap50[0] == pytest.approx(51 / 101)
    assert scores.ap[0] == pytest.approx(0.9 * 51 / 101)
    assert scores.gt_scores[0][0].tolist() == [0.9, 0.0]
    assert (scores.tp_scores[0].tolist(), scores.fp_scores[0].tolist()) == ([0.9], [0.8])
    thresholds, tp, fp = max_f1_thresholds(scores, [0])
    assert 0.8 < thresholds[0] <= 0.9
    assert (tp.tolist(), fp.tolist()) == ([1], [0])


def test_agrees_with_pycocotools():
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    rng = np.random.default_rng(3)
    truth, found = [], []
    for image in range(12):
        for _ in range(rng.integers(0, 6)):
            box = [*rng.uniform(0, 200, 2), *rng.uniform(8, 150, 2)]
            label = int(rng.integers(0, 3))
            crowd = int(rng.random() < 0.15)
            truth.append(_record(image, label, box, area=box[2] * box[3], iscrowd=crowd, id=len(truth) + 1))
            for _ in range(rng.integers(0, 3)):
                moved = (np.array(box) * rng.uniform(0.85, 1.15, 4)).tolist()
                found.append(_record(image, label, moved, float(rng.random())))
    ours = evaluate_boxes(BoxSet.from_coco(truth), BoxSet.from_coco(found), 3)
    with contextlib.redirect_stdout(io.StringIO()):
        api = coco.COCO()
        api.dataset = {
            "images": [{"id": image} for image in range(12)],
            "annotations": truth,
            "categories": [{"id": label, "name": str(label)} for label in range(3)],
        }
        api.createIndex()
        official = cocoeval.COCOeval(api, api.loadRes([dict(record) for record in found]), "bbox")
        official.evaluate()
        official.accumulate()
        official.summarize()
    assert np.allclose(ours.stats, official.stats, atol=1e-12)


def test_background_is_dropped_or_excuses_detections():
    truth = BoxSet.from_coco([_record(0, 0, [0, 0, 10, 10]), _record(0, 1, [50, 50, 10, 10])])
    found = BoxSet.from_coco([_record(0, 1, [0, 0, 10, 10], 0.9), _record(0, 1, [90, 90, 5, 5], 0.8)])
    plain = evaluate_boxes(truth, found, 2)
    assert plain.truths.tolist() == [1, 1]
    assert plain.fp_scores[1].tolist() == [0.9, 0.8]
    dropped = evaluate_boxes(truth, found, 2, background=1, mode="drop")
    assert dropped.truths.tolist() == [1, 0]
    assert np.isnan(dropped.ap[1])
    excused = evaluate_boxes(truth, found, 2, background=1, mode="mtsd")
    assert excused.truths.tolist() == [0, 1]
    assert excused.gt_scores[0][0].tolist() == [0.9]
    assert not len(excused.fp_scores[0]) and not len(excused.fp_scores[1])


def test_empty_and_wrong_input():
    nothing = BoxSet.from_coco([])
    assert evaluate_boxes(nothing, nothing, 2).stats.tolist() == [-1.0] * 12
    with pytest.raises(PerceptionError, match="record 1: expected bbox"):
        BoxSet.from_coco([_record(0, 0, [0, 0, 1, 1]), _record(0, 0, [0, 0, float("nan"), 1])])
    with pytest.raises(PerceptionError, match="record 0: KeyError"):
        BoxSet.from_coco([{"image_id": 0}])
    with pytest.raises(PerceptionError, match="drop or mtsd"):
        evaluate_boxes(nothing, nothing, 2, mode="drop")
