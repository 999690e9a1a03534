"""Scopes, transfer, what happens over time, means with intervals, corruptions in the report, Parquet."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from perception.attack import AttackSample
from perception.errors import InputError, PerceptionError, UnknownNameError
from perception.plugins.patch_robustness.attacks import AttackConfig, PatchSet, attacked_images, craft
from perception.plugins.patch_robustness.bundle import load_bundle, save_bundle
from perception.plugins.patch_robustness.comparisons import corruption_table, transfer_table
from perception.plugins.patch_robustness.evaluate import evaluate
from perception.plugins.patch_robustness.report import write_report
from perception.plugins.patch_robustness.sequences import mean_details, sequence_summary, sightings
from perception.plugins.patch_robustness.surfaces import Surface
from perception.structures import Boxes2D

OWN = runpy.run_path(str(Path(__file__).with_name("own_detector.py")))
make_target = OWN["make_target"]
SIDE = 64
CONFIG = AttackConfig(method="pgd", steps=6, step_size=0.2, batch=2, width=8, size="")


def board(number: int, label: str = "a") -> AttackSample:
    image = np.random.default_rng(number).integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
    image[16:32, 16:32] = 230
    truth = Boxes2D("front", (SIDE, SIDE), [[16, 16, 32, 32]], [1.0], [0], ("thing",))
    quad = torch.tensor([[17.0, 17.0], [30.0, 17.0], [30.0, 30.0], [17.0, 30.0]])
    surface = Surface(quad, "rect", (1.0, 1.0), instance=0, label=label)
    return AttackSample(f"b{number}", image, truth, f"s{number}", (surface,), {"time_s": 0.1 * number})


# --- scopes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "keys"), [("universal", ("",)), ("per_class", ("a", "b")), ("per_instance", ("b0#0", "b1#0", "b2#0"))]
)
def test_a_patch_for_all_for_a_class_or_for_each(scope, keys, tmp_path):
    samples = [board(0), board(1, "b"), board(2, "b")]
    config = replace(CONFIG, scope=scope)
    crafted = craft(make_target(), samples, config)
    assert crafted.keys == keys and crafted.patch.shape == (len(keys), 3, 8, 8)
    assert len(crafted.losses) == 6 and crafted.losses[-1] < crafted.losses[0]
    stored = save_bundle(tmp_path, crafted, config, {})
    assert stored.patches.keys == keys and torch.equal(stored.patch * 255, (crafted.patch * 255).round())
    found = evaluate(make_target(), samples, {"patch": stored.patches}, config)
    assert all(row["score_patch"] < row["score_clean"] for row in found.rows)
    (tmp_path / "patch.json").write_text(json.dumps({**stored.header, "keys": ["x"] * (len(keys) + 1)}))
    with pytest.raises(InputError, match="a picture of 8 x"):
        load_bundle(tmp_path)
    (tmp_path / "patch.json").write_text(json.dumps({**stored.header, "keys": 3}))
    with pytest.raises(InputError, match="names of patches"):
        load_bundle(tmp_path)


def test_each_surface_gets_its_own_patch():
    patches = torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])
    samples = [board(0, "dark"), board(1, "light")]
    images = torch.full((2, 3, SIDE, SIDE), 0.5)
    chosen = PatchSet(patches, ("dark", "light"))
    shown = attacked_images(images, samples, chosen, replace(CONFIG, scope="per_class"))
    assert float(shown[0, 0, 24, 24]) < 0.01 and float(shown[1, 0, 24, 24]) > 0.99
    with pytest.raises(PerceptionError, match=r"no patch was made for other \(per class\)"):
        attacked_images(images[:1], [board(0, "other")], chosen, replace(CONFIG, scope="per_class"))
    with pytest.raises(UnknownNameError):
        AttackConfig(scope="everywhere")


# --- over time --------------------------------------------------------------------------------------------------------


def rows_of(*scores: float, track: str = "t") -> list[dict]:
    return [
        {"scene": "s", "instance": 0, "track": track, "time_s": 0.5 * k, "distance_m": 50.0 - 10 * k, "score_x": score}
        for k, score in enumerate(scores)
    ]


def test_first_detection_and_longest_miss_by_hand():
    [found] = sightings(list(reversed(rows_of(0, 0.2, 0.9, 0, 0, 0, 0.9))), "x", 0.3)
    assert (found.frames, found.first_time_s, found.first_distance_m) == (7, 1.0, 30.0)
    assert (found.longest_miss, found.longest_miss_s) == (3, 1.5)
    [never] = sightings(rows_of(0, 0, 0), "x", 0.0)
    assert never.first_time_s is None and never.longest_miss == 3 and never.longest_miss_s == 1.0
    near, lost = rows_of(0, 0.9, track="a"), rows_of(0, 0, track="b")
    assert sequence_summary([*near, *rows_of(0.9, 0.9, track="c"), *lost], "x", 0.3) == {
        "objects": 3,
        "never_detected": 1,
        "first_time_s": 0.5,
        "first_distance_m": 40.0,
        "longest_miss": 2,
        "longest_miss_s": 0.5,
    }
    half = sequence_summary([*near, *lost], "x", 0.3)
    assert half is not None and half["first_time_s"] is None and half["first_distance_m"] is None
    assert sequence_summary([{"scene": "s", "instance": 0, "score_x": 1.0}], "x", 0.3) is None


def test_numbers_of_a_picture_count_once():
    rows = [
        {"sample": name, "scene": name, "lateral_m_x": metres, "score_x": 1.0}
        for name, metres in (("a", 1.0), ("a", 1.0), ("b", 3.0), ("c", float("nan")))
    ]
    found = mean_details(rows, "x")
    assert list(found) == ["lateral_m"]
    assert (found["lateral_m"]["mean"], found["lateral_m"]["n"]) == (2.0, 2)
    assert 1 <= found["lateral_m"]["low"] <= 2 <= found["lateral_m"]["high"] <= 3
    assert mean_details([], "x") == {}


# --- comparisons and the report ---------------------------------------------------------------------------------------


def test_transfer_scores_the_same_patch_on_another_victim():
    samples = [board(0), board(1)]
    crafted = craft(make_target(), samples, replace(CONFIG, steps=20))
    other = make_target()
    other.detect = lambda image: Boxes2D("front", (SIDE, SIDE), [[16, 16, 32, 32]], [0.5], [0], ("thing",))
    table = transfer_table({"same": make_target(), "constant": other}, samples, {"p": crafted.patches}, CONFIG)
    assert table["same"]["p"]["asr"]["value"] == 1 and table["constant"]["p"]["asr"]["value"] == 0
    assert set(table["constant"]) == {"clean", "grey", "random", "p"}


def test_faults_stand_beside_the_patch_in_the_report(tmp_path: Path):
    samples = [board(k) for k in range(3)]
    table = corruption_table(make_target(), samples, ["exposure", "fog"], [1, 5])
    assert [(row["kind"], row["severity"]) for row in table] == [
        ("clean", 0), ("exposure", 1), ("exposure", 5), ("fog", 1), ("fog", 5),
    ]  # fmt: skip
    assert table[0]["lost"]["value"] == 0 and table[0]["lost"]["n"] == 3
    assert table == corruption_table(make_target(), samples, ["exposure", "fog"], [1, 5])
    found = evaluate(make_target(), samples, {}, CONFIG)
    content = write_report(
        tmp_path, found, {"corruptions": table, "transfer": {"b": {"clean": {"metric": {"x": 1.0}}}}}
    )
    page = (tmp_path / "report.html").read_text()
    for text in ("under faults", "<td>fog</td>", "Transfer to b", "Over time", "longest miss"):
        assert text in page
    assert content["over_time_clean"]["objects"] == 3
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra 'arrow' is not installed")
    stored = parquet.read_table(tmp_path / "instances.parquet").to_pylist()
    assert [row["sample"] for row in stored] == ["b0", "b1", "b2"]
    assert stored[0]["score_clean"] == found.rows[0]["score_clean"]
