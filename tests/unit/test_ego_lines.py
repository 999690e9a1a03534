"""The ego-line check on hand-made lanes."""

import numpy as np
import pytest

from perception.metrics.ego_lines import line_error, lines_found
from perception.structures import Lanes2D

ROWS = [360, 450, 539]


def lane(x_at_360, x_at_539, top, bottom):
    y = np.array([bottom, (top + bottom) / 2, top], dtype=np.float32)
    return np.stack([x_at_360 + (y - 360) * (x_at_539 - x_at_360) / 179, y], axis=1)


def test_error_is_the_largest_distance_over_the_rows():
    assert line_error(lane(410, 175, 350, 539), [400, 281.5, 160], ROWS) == pytest.approx(15, abs=0.1)


def test_a_lane_over_half_of_the_rows_is_continued_and_a_shorter_one_is_not_found():
    assert line_error(lane(400, 160, 350, 460), [400, 279.3, 160], ROWS) == pytest.approx(0, abs=0.1)
    assert line_error(lane(400, 160, 350, 440), [400, 279.3, 160], ROWS) == np.inf


def test_both_lines_must_be_found():
    left, right = lane(400, 160, 300, 539), lane(570, 850, 300, 539)
    labels = {"left": [400, 279.3, 160], "right": [570, 710.8, 850], "rows": ROWS}
    assert lines_found(Lanes2D("front", (960, 540), (right, left)), **labels)
    assert not lines_found(Lanes2D("front", (960, 540), (right,)), **labels)
    assert not lines_found(Lanes2D("front", (960, 540), (right, left + [21, 0])), **labels)
