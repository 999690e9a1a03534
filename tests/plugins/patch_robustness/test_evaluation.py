"""What an evaluation counts, what its report survives, and what is refused before work starts."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from perception.attack import AttackSample
from perception.cli import main
from perception.errors import PerceptionError, UnknownNameError
from perception.plugins.lane_detection.attack_target import LaneDetectionTarget
from perception.plugins.patch_robustness.attacks import AttackConfig, craft
from perception.plugins.patch_robustness.commands import load_attack
from perception.plugins.patch_robustness.evaluate import Evaluation, evaluate, summary
from perception.plugins.patch_robustness.points import PointAttackConfig
from perception.plugins.patch_robustness.provenance import check_held_out, sample_digests
from perception.plugins.patch_robustness.report import write_report
from perception.plugins.patch_robustness.settings import read_settings
from perception.plugins.patch_robustness.surfaces import Surface
from perception.plugins.patch_robustness.threat_model import describe
from perception.plugins.patch_robustness.victim import CallableTarget
from perception.structures import Boxes2D

OWN = runpy.run_path(str(Path(__file__).with_name("own_detector.py")))
make_target = OWN["make_target"]
CONFIG = AttackConfig(method="pgd", steps=2, step_size=0.2, batch=2, width=8, size="")


def board(number: int, side: int = 64) -> AttackSample:
    image = np.random.default_rng(number).integers(0, 60, (side, side, 3), dtype=np.uint8)
    image[16:32, 16:32] = 230
    truth = Boxes2D("front", (side, side), [[16, 16, 32, 32]], [1.0], [0], ("thing",))
    quad = torch.tensor([[17.0, 17.0], [30.0, 17.0], [30.0, 30.0], [17.0, 30.0]])
    return AttackSample(
        f"b{number}", image, truth, "s", (Surface(quad, "rect", (0.5, 1.0), instance=0, label="board"),)
    )


def evaluation(rows: list[dict], threshold: float, **more) -> Evaluation:
    metrics = {"clean": {"m": 1.0}, "p": {"m": 0.5}}
    return Evaluation(rows, metrics, dict.fromkeys(metrics), threshold, {}, dict.fromkeys(metrics), **more)


def row(number: int, clean: float, patch: float, **more) -> dict:
    return {
        "sample": f"s{number}",
        "scene": f"s{number}",
        "instance": 0,
        "score_clean": clean,
        "score_p": patch,
        **more,
    }


# --- counting ---------------------------------------------------------------------------------------------------------


def test_scores_of_zero_or_nan_are_lost_at_any_threshold():
    rows = [row(0, 0.9, 0.0), row(1, 0.9, np.nan), row(2, 0.9, 0.9), row(3, 0.0, 0.0), row(4, np.nan, 0.9)]
    for threshold in (0.0, 0.5):
        found = summary(evaluation(rows, threshold))
        assert found["detected_clean"] == 3 and found["fnr_clean"]["value"] == 2 / 5
        assert found["conditions"]["p"]["asr"]["value"] == 2 / 3 and found["conditions"]["p"]["fnr"]["value"] == 3 / 5


def test_rates_over_classes_and_changes_of_measures_by_hand(tmp_path):
    kinds = [("a", 0.9, 0.0), ("a", 0.9, 0.9), ("a", 0.9, 0.9), ("a", 0.9, 0.9), ("a", 0.0, 0.0), ("b", 0.9, 0.1)]
    kinds.append(("c", 0.2, 0.9))  # never detected clean: no ASR of its own
    rows = [row(k, clean, patch, label=label, size_px=20.0) for k, (label, clean, patch) in enumerate(kinds)]
    made = evaluation(rows, 0.5)
    made.metrics["clean"] |= {"only clean": 1.0, "unknown": float("nan")}
    made.metrics["p"] |= {"only p": 1.0, "unknown": 2.0}
    content = write_report(tmp_path, made, {"crafting": {"p": {"seconds": 1.25, "queries": 40}}})
    found = content["conditions"]["p"]
    assert found["asr"]["value"] == 2 / 5 and found["asr_over_classes"]["mean"] == pytest.approx((1 / 4 + 1) / 2)
    assert found["asr_over_classes"]["weighted"] == pytest.approx((5 * 1 / 4 + 1 * 1) / 6)
    assert found["metric_change"] == {"m": -0.5}
    page = (tmp_path / "report.html").read_text()
    for words in ("0.500 (-0.500)", "40.0 %", "62.5 %", "37.5 %", "1.2 s, 40 pictures shown to the victim"):
        assert words in page, words
    nothing = summary(evaluation([row(0, 0.0, 0.0)], 0.5))["conditions"]["p"]["asr_over_classes"]
    assert nothing == {"mean": None, "weighted": None}


def test_surfaces_are_checked_before_a_victim_sees_a_picture():
    def detect(image):
        raise AssertionError("work started")

    for quad, words in (
        ([[17, 17], [30, 17], [30, 17.01], [17, 17.01]], "sample b0: surface 0 0: expected an area"),
        ([[17, 17], [30, 17], [20, 20], [17, 30]], "convex outline"),
        ([[17, 17], [float("nan"), 17], [30, 30], [17, 30]], "finite corners"),
        ([[-40, 17], [-30, 17], [-30, 30], [-40, 30]], "corners in the 64 x 64 image"),
    ):
        sample = replace(board(0), surfaces=(Surface(torch.tensor(quad, dtype=torch.float32), "rect", (1.0, 1.0)),))
        with pytest.raises(PerceptionError, match=words):
            evaluate(CallableTarget(detect), [sample], {}, CONFIG)


def test_what_appears_counts_where_nothing_was():
    rows = [row(0, 0.0, 0.9), row(1, 0.0, 0.1), row(2, 0.9, 0.9)]
    found = summary(evaluation(rows, 0.5, appear=True))
    assert found["success"] == "appears" and found["conditions"]["p"]["asr"]["n"] == 2
    assert found["conditions"]["p"]["asr"]["value"] == 0.5


def seen_on_bright_boards(image: np.ndarray) -> Boxes2D:
    good = image[17:30, 17:30].mean() > 100
    rows = [[17, 17, 30, 30]] if good else []
    return Boxes2D("front", (64, 64), np.array(rows).reshape(-1, 4), [0.8] * good, [0] * good, ("thing",))


def test_an_object_that_appears_is_scored_on_its_surface():
    sample = board(0)
    dark = replace(sample, image=np.zeros_like(sample.image), truth=seen_on_bright_boards(sample.image * 0))

    def loss(images, samples, goal):
        return -images[..., 17:30, 17:30].mean((1, 2, 3))

    target = CallableTarget(seen_on_bright_boards, loss, goals=("appear",))
    config = replace(CONFIG, goal="appear")
    found = evaluate(target, [dark], {"p": torch.ones(1, 3, 8, 8), "q": torch.zeros(1, 3, 8, 8)}, config)
    [one] = found.rows
    assert (one["score_clean"], one["score_p"], one["score_q"]) == pytest.approx((0, 0.8, 0))
    assert found.invented == {"clean": 0, "grey": 1, "random": 1, "p": 1, "q": 0}
    assert summary(found)["conditions"]["p"]["asr"]["value"] == 1
    blind = runpy.run_path(str(Path(__file__).with_name("own_graph.py")))["ToyGraph"]()
    with pytest.raises(PerceptionError, match="cannot score it"):
        evaluate(blind, [dark], {}, config)


def test_boxes_tell_what_became_of_them(tmp_path):
    found = evaluate(make_target(), [board(0), board(1)], {"black": torch.zeros(1, 3, 8, 8)}, CONFIG)
    content = summary(found)["boxes"]
    assert content["clean"]["right"]["value"] == 1 and content["clean"]["invented_a_picture"] == 0
    assert content["black"]["gone"]["value"] == 1
    assert {one["outcome_black"] for one in found.rows} == {"gone"}
    write_report(tmp_path, found, {})
    page = (tmp_path / "report.html").read_text()
    for name in ("true positive rate", "misclassification rate", "disappearance rate", "hallucinations a picture"):
        assert name in page


def test_rates_of_boxes_by_hand():
    truth = Boxes2D("front", (99, 99), [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], [1] * 3, [0] * 3, ("a", "b"))
    sample = replace(
        board(0, 99), truth=truth, surfaces=tuple(replace(board(0).surfaces[0], instance=k) for k in (0, 1, 2))
    )
    seen = Boxes2D(  # right; of the wrong class; too weak; of nothing twice
        *("front", (99, 99), [[0, 0, 10, 9], [20, 0, 30, 9], [40, 0, 50, 9], [60, 60, 70, 70], [80, 60, 90, 70]]),
        *([0.9, 0.8, 0.2, 0.7, 0.6], [0, 1, 0, 0, 1], ("a", "b")),
    )
    content = summary(evaluate(CallableTarget(lambda image: seen), [sample], {}, CONFIG, 0.3))["boxes"]["clean"]
    assert [content[word]["value"] for word in ("right", "wrong class", "gone")] == [1 / 3] * 3
    assert content["invented_a_picture"] == 2 and content["right"]["n"] == 3


# --- reports ----------------------------------------------------------------------------------------------------------


def test_a_measure_that_is_missing_under_a_patch_does_not_lose_the_report(tmp_path):
    found = evaluation([row(0, 0.9, 0.0, label="", distance_m=np.nan)], 0.5)
    found.metrics["p"].clear()  # as the lateral deviation of a picture without lanes
    found.metrics["p"]["other"] = 2.0
    content = write_report(tmp_path, found, {"transfer": {"b": {"clean": {"metric": {"x": 1.0}}, "p": {"metric": {}}}}})
    page = (tmp_path / "report.html").read_text()
    assert ">m<" in page and ">other<" in page and "2.000" in page
    assert content["conditions"]["p"]["by"]["distance_m"] == {}


def test_the_threat_model_states_sizes_in_centimetres():
    found = describe(AttackConfig(), make_target(), [board(0)])
    assert found["size"] == "25.4 x 25.4 cm, bottom" and found["surface"] == "board; 50 x 100 cm"


def test_a_limit_is_no_pass_when_nothing_could_be_attacked(tmp_path, capsys):
    arguments = ["attack", "run", "robustness/drawn_signs.py", "--out", str(tmp_path), "--fail-above", "asr=0.5"]
    changes = ["--cfg-options", "threshold=0.999", "attack.steps=1", "craft_data.count=1", "eval_data.count=1"]
    assert main([*arguments, *changes]) != 0
    assert "the ASR is unknown" in capsys.readouterr().err
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["conditions"]["seed 0"]["asr"]["value"] is None
    assert {"version", "torch", "config_sha256", "victim_sha256"} <= set(report)


# --- refused before work starts ---------------------------------------------------------------------------------------


def test_pictures_the_patch_was_made_on_are_refused_by_their_pixels():
    seen = sample_digests([board(0), board(1)])
    check_held_out(seen, [board(2)])
    renamed = replace(board(1), name="another")
    with pytest.raises(PerceptionError, match=r"1 samples of eval_data .*\(another\)"):
        check_held_out(seen, [board(2), renamed])
    with pytest.raises(PerceptionError, match="eval_data is the data of craft_data"):
        load_attack("robustness/drawn_signs.py", ["eval_data.seed=0"])


def test_settings_that_are_none():
    with pytest.raises(UnknownNameError, match="did you mean 'steps'"):
        read_settings(AttackConfig, {"stepz": 3}, "the attack")
    with pytest.raises(UnknownNameError, match="EOT"):
        AttackConfig(eot={"rotate": 3})
    with pytest.raises(PerceptionError, match="the attack: a setting of a wrong type"):
        read_settings(PointAttackConfig, {"steps": "many"}, "the attack")
    for wrong in ({"step_size": 0.0}, {"step_size": float("nan")}, {"smooth": -1.0}, {"size": "large"}):
        with pytest.raises(PerceptionError):
            AttackConfig(**wrong)
    with pytest.raises(PerceptionError, match="to='left' or 'right'"):
        LaneDetectionTarget("lane_detection/ganet_tiny_sim.py", to="rigth")
    with pytest.raises(PerceptionError, match="without a loss only 'hide'"):
        CallableTarget(seen_on_bright_boards, goals=("hide", "appear"))


def test_samples_and_victims_that_cannot_work():
    target = make_target()
    with pytest.raises(PerceptionError, match="samples of one size"):
        craft(target, [board(0), board(1, 96)], CONFIG)
    with pytest.raises(PerceptionError, match="has no pixel on a canvas"):
        craft(
            target, [replace(board(0), surfaces=(replace(board(0).surfaces[0], size_m=(90.0, 90.0)),))], AttackConfig()
        )
    with pytest.raises(PerceptionError, match="at least one sample"):
        evaluate(target, [], {}, CONFIG)
    target.module = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    target.module.training = False
    with pytest.raises(PerceptionError, match="a part of it, is in training mode"):
        craft(target, [board(0)], CONFIG)
    with pytest.raises(PerceptionError, match="expected Boxes2D from its function"):
        evaluate(CallableTarget(lambda image: [1, 2, 3]), [board(0)], {}, CONFIG)
