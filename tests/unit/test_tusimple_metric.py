"""TuSimple accuracy, FP and FN: numbers by hand, files and the command."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from perception.cli import main
from perception.errors import InputError
from perception.metrics import tusimple

ROWS = [240, 250, 260, 270]


def test_perfect_and_empty_frames():
    lane = [100, 100, 100, 100]
    assert tusimple.frame_score([lane], [lane], ROWS) == (1.0, 0.0, 0.0)
    assert tusimple.frame_score([], [lane], ROWS) == (0.0, 0.0, 1.0)
    assert tusimple.frame_score([], [], ROWS) == (0.0, 0.0, 0.0)
    assert tusimple.frame_score([lane], [], ROWS) == (0.0, 1.0, 0.0)


def test_a_point_must_be_nearer_than_20_pixels_on_a_vertical_lane():
    gt = [100, 100, 100, 100]
    assert tusimple.frame_score([[119, 119, 119, 119]], [gt], ROWS).accuracy == 1.0
    assert tusimple.frame_score([[119, 119, 119, 120]], [gt], ROWS) == (0.75, 1.0, 1.0)


def test_slanted_lanes_get_a_wider_threshold():
    gt = [100, 110, 120, 130]  # 45 degrees: 20 / cos(45 deg) = 28.28 pixels
    assert tusimple.thresholds(np.array([gt], float), np.array(ROWS, float))[0] == pytest.approx(20 * math.sqrt(2))
    assert tusimple.frame_score([[x + 28 for x in gt]], [gt], ROWS).accuracy == 1.0
    assert tusimple.frame_score([[x + 29 for x in gt]], [gt], ROWS).accuracy == 0.0


def test_absent_points_agree_with_each_other_only():
    gt = [-2, -2, 100, 100]
    assert tusimple.frame_score([[-2, -5, 100, 100]], [gt], ROWS).accuracy == 1.0
    assert tusimple.frame_score([[0, -2, 100, 100]], [gt], ROWS).accuracy == 0.75


def test_threshold_of_a_lane_with_one_point_or_none():
    lanes = np.array([[-2, -2, 100, -2], [-2, -2, -2, -2]], float)
    assert tusimple.thresholds(lanes, np.array(ROWS, float)).tolist() == [20.0, 20.0]


def test_slow_or_too_many_predictions_score_nothing():
    lane = [100, 100, 100, 100]
    assert tusimple.frame_score([lane], [lane], ROWS, run_time=200.0).accuracy == 1.0
    assert tusimple.frame_score([lane], [lane], ROWS, run_time=200.1) == (0.0, 0.0, 1.0)
    assert tusimple.frame_score([lane] * 3, [lane], ROWS).accuracy == 1.0
    assert tusimple.frame_score([lane] * 4, [lane], ROWS) == (0.0, 0.0, 1.0)


def test_one_prediction_may_serve_two_lanes_so_fp_can_be_negative():
    lane = [100, 100, 100, 100]
    assert tusimple.frame_score([lane], [lane, lane], ROWS) == (1.0, -1.0, 0.0)


def test_with_five_lanes_one_miss_and_the_worst_accuracy_are_dropped():
    lanes = [[100 * i] * 4 for i in range(1, 6)]
    assert tusimple.frame_score(lanes[:4], lanes, ROWS) == (1.0, 0.0, 0.0)
    assert tusimple.frame_score(lanes[:3], lanes, ROWS) == (0.75, 0.0, 0.25)
    assert tusimple.frame_score(lanes, lanes, ROWS) == (1.0, 0.0, 0.0)


def test_totals_are_means():
    scores = tusimple.summarize([tusimple.FrameScore(1.0, 0.0, 0.0), tusimple.FrameScore(0.5, 0.5, 0.25)])
    assert (scores.frames, scores.accuracy, scores.fp, scores.fn) == (2, 0.75, 0.25, 0.125)
    assert scores.f1 == pytest.approx(2 * 0.75 * 0.875 / 1.625)


def record(name: str, lanes: list[list[float]], **extra: object) -> dict[str, object]:
    return {"raw_file": name, "lanes": lanes, "h_samples": ROWS, "run_time": 20, **extra}


def save(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in records))
    return path


def test_files_and_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    lane = [100, 100, 100, 100]
    gt = save(tmp_path / "gt.json", [record("a.jpg", [lane]), record("b.jpg", [lane, [300] * 4])])
    pred = save(tmp_path / "pred.json", [record("b.jpg", [lane]), record("a.jpg", [lane])])
    out = tmp_path / "scores.json"
    assert main(["metric", "tusimple", str(pred), str(gt), "--json", str(out)]) == 0
    assert json.loads(out.read_text()) == pytest.approx(
        {"metric": "tusimple", "frames": 2, "accuracy": 0.75, "fp": 0.0, "fn": 0.25, "f1": 2 * 0.75 / 1.75}
    )
    assert "75.00" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('{"raw_file": "a.jpg", "lanes": [[1, 2', ["line 1", "JSON"]),
        ("[1, 2]\n", ["line 1", "object", "list"]),
        ('{"raw_file": "a.jpg", "lanes": []}\n', ["line 1", "no run_time"]),
        ('{"raw_file": "a.jpg", "run_time": 1, "lanes": [[1, NaN]]}\n', ["lanes[0]", "finite"]),
        ('{"raw_file": "a.jpg", "run_time": 1, "lanes": [[1, "x"]]}\n', ["lanes[0]", "finite"]),
        ('{"raw_file": "a.jpg", "run_time": "fast", "lanes": []}\n', ["run_time", "'fast'"]),
        ('{"raw_file": "a.jpg", "run_time": 1, "lanes": [[1, 2, 3]]}\n', ["record 1", "4 values", "found 3"]),
        ('{"raw_file": "z.jpg", "run_time": 1, "lanes": []}\n', ["record 1", "'z.jpg'"]),
        ("", ["1 records", "found 0"]),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, parts: list[str]):
    gt = save(tmp_path / "gt.json", [record("a.jpg", [[1, 2, 3, 4]])])
    pred = tmp_path / "pred.json"
    pred.write_text(text)
    with pytest.raises(InputError) as error:
        tusimple.evaluate_files(pred, gt)
    for part in ["pred.json", *parts]:
        assert part in str(error.value)


def test_a_frame_predicted_twice_is_refused(tmp_path: Path):
    rows = [record("a.jpg", []), record("b.jpg", [])]
    gt = save(tmp_path / "gt.json", rows)
    pred = save(tmp_path / "pred.json", [rows[0], rows[0]])
    with pytest.raises(InputError, match=r"record 2.*once"):
        tusimple.evaluate_files(pred, gt)


def test_missing_file(tmp_path: Path):
    with pytest.raises(InputError, match="JSON lines"):
        tusimple.read_records(tmp_path / "none.json")
