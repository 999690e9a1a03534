"""Which boxes belong together, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from perception.metrics.box_match import box_ious, box_outcome, matched_scores
from perception.structures import Boxes2D


def boxes(rows: list[list[float]], scores: list[float], labels: list[int]) -> Boxes2D:
    return Boxes2D("front", (100, 100), np.array(rows).reshape(-1, 4), scores, labels, ("a", "b"))


TRUTH = boxes([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], [1, 1, 1], [0, 0, 1])


def test_overlaps_by_hand():
    found = box_ious(np.array([[0, 0, 10, 10], [5, 0, 15, 10]]), np.array([[0, 0, 10, 5], [30, 0, 40, 10]]))
    assert found == pytest.approx(np.array([[0.5, 0], [25 / 125, 0]]))
    assert box_ious(np.zeros((1, 4)), np.zeros((1, 4))).tolist() == [[0.0]]
    assert box_ious(np.zeros((0, 4)), TRUTH.boxes).shape == (0, 3)


def test_each_detection_is_used_once_and_the_best_first():
    found = boxes([[0, 0, 10, 9], [0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], [0.4, 0.9, 0.8, 0.7], [0, 0, 1, 1])
    assert matched_scores(found, TRUTH) == pytest.approx([0.9, 0, 0.7])
    assert matched_scores(boxes([], [], []), TRUTH).tolist() == [0, 0, 0]
    assert matched_scores(found, boxes([], [], [])).tolist() == []


def test_a_box_is_right_or_of_a_wrong_class_or_gone_and_some_are_of_nothing():
    found = boxes(
        [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [70, 70, 80, 80]], [0.9, 0.8, 0.2, 0.6], [0, 1, 1, 0]
    )
    outcome = box_outcome(found, TRUTH, 0.5)
    assert outcome.of_truth == ("right", "wrong class", "gone") and outcome.invented == 1
    assert box_outcome(found, TRUTH, 0.1).of_truth == ("right", "wrong class", "right")
    assert box_outcome(boxes([], [], []), TRUTH, 0.0).of_truth == ("gone",) * 3
