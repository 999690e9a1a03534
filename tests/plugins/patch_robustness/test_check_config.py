"""What is wrong in a config of an attack or a study is said before work starts, with the file and the key."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from mmengine.config import Config

from perception.errors import PerceptionError
from perception.plugins.patch_robustness.check_config import check_attack_config, check_study_config
from perception.plugins.patch_robustness.commands import load_attack
from perception.plugins.patch_robustness.scenes import DrawnSigns

TARGET = {"type": "CallableTarget", "detect": "math:sqrt"}
SIGNS = {"type": "DrawnSigns", "count": 2}
ATTACK = {
    "target": TARGET,
    "attack": {"goal": "hide", "method": "square", "eot": {"rotation": 3.0}},
    "craft_data": SIGNS,
    "eval_data": {**SIGNS, "seed": 50},
    "transfer_to": {"other": TARGET},
    "corruptions": {"kinds": ("fog", "jpeg"), "severities": (1, 5)},
    "assess": {"samples": 2, "steps": 5},
    "seeds": (0, 1),
    "threshold": 0.3,
}
STUDY = {
    "victims": {"plain": TARGET, "other": TARGET},
    "craft_with": {"iou": 0.4},
    "renderings": {"a": {"craft_data": SIGNS, "eval_data": {"type": "CroppedScenes", "dataset": SIGNS}}},
    "attack": {"goal": "hide"},
    "cross": (("a", "a"),),
    "thresholds": {"plain": 0.3, "other": 0.4},
}


def changed(content: dict, key: str, value: object) -> Config:
    node = copied = ast.literal_eval(repr(content))  # no part is shared
    *parents, last = key.split(".")
    for part in parents:
        node = node[part]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return Config(copied, filename=__file__)


def test_right_configs_pass():
    check_attack_config(Config(ATTACK, filename=__file__))
    check_study_config(Config(STUDY, filename=__file__))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("target", None, "missing target"),
        ("target", "CallableTarget", "target: expected a dict with the type of the attack target"),
        ("target.type", "CalableTarget", "target.type: expected .*attack target, found 'CalableTarget': did you mean"),
        ("target.type", "Xyz", r"known: CallableTarget, (.*, )?DefendedTarget"),
        ("target.iuo", 0.4, "target.iuo: expected an argument of CallableTarget.*did you mean 'iou'"),
        ("target.detect", None, "target: expected the arguments detect of CallableTarget, found none"),
        ("target", {"type": "DefendedTarget", "target": TARGET, "defence": {"type": "Jpg"}}, r"target\.defence\.type"),
        ("target", {"type": "DefendedTarget", "target": {"type": "X"}, "defence": {"type": "Jpeg"}}, r"target\.target"),
        ("eval_data.type", "DrawnSign", "eval_data.type: .*did you mean 'DrawnSigns'"),
        ("craft_data.sise", (64, 64), "craft_data.sise.*did you mean 'size'"),
        ("craft_data", {"type": "CroppedScenes", "dataset": {"type": "Signs"}}, r"craft_data\.dataset\.type"),
        ("transfer_to.other.type", "Onnx", r"transfer_to\.other\.type.*did you mean 'OnnxTarget'"),
        ("attack.goal", "hid", "attack: unknown attack goal 'hid': did you mean 'hide'"),
        ("attack.method", "adm", "attack: unknown attack method 'adm'"),
        ("attack.scope", "all", "attack: unknown scope 'all'"),
        ("attack.stepz", 3, "attack: unknown setting of the attack 'stepz': did you mean 'steps'"),
        ("attack.eot.rotate", 3, "attack: unknown setting of EOT 'rotate': did you mean 'rotation'"),
        ("attack", {"kind": "cell"}, "attack: unknown point attack 'cell'"),
        ("corruptions.kinds", ("fgo",), "corruptions: unknown fault of pictures 'fgo': did you mean 'fog'"),
        ("corruptions.severities", (6,), "corruptions: .*severity"),
        ("corruptions.severity", (1,), "corruptions.severity: .*did you mean 'severities'"),
        ("assess.step", 3, "assess: unknown setting of the attack 'step'"),
        ("seeds", 3, "seeds: expected one whole number or more in a list, found 3"),
        ("seeds", (1, 1), "seeds: expected different numbers"),
        ("threshold", "high", "threshold: expected a score from 0 to 1, found 'high'"),
        ("eval_data", SIGNS, "eval_data is the data of craft_data"),
    ],
)
def test_attacks(key, value, words):
    with pytest.raises(PerceptionError, match=words) as error:
        check_attack_config(changed(ATTACK, key, value))
    assert str(error.value).startswith(__file__)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("victims", {}, "victims: expected one or more"),
        ("victims.other.type", "CallableTraget", r"victims\.other\.type.*did you mean 'CallableTarget'"),
        ("craft_with.iuo", 1, "craft_with.iuo.*did you mean 'iou'"),
        ("renderings.a.eval_data", None, r"renderings\.a: expected a dict with eval_data"),
        ("renderings.a.eval_data.dataset.type", "Drawn", r"renderings\.a\.eval_data\.dataset\.type"),
        ("renderings.a.eval_data", SIGNS, r"renderings\.a: eval_data is craft_data"),
        ("attack.goal", "show", "attack: unknown attack goal 'show'"),
        ("cross", (("a", "aa"),), r"cross\[0\]: expected two names of renderings, found 'aa': did you mean 'a'"),
        ("thresholds", {"plain": 0.3}, "thresholds: expected a score for other, found plain"),
        ("thresholds.plain", 3, r"thresholds\.plain: expected a score"),
    ],
)
def test_studies(key, value, words):
    with pytest.raises(PerceptionError, match=words) as error:
        check_study_config(changed(STUDY, key, value))
    assert str(error.value).startswith(__file__)


def test_shipped_configs_name_what_exists():
    folder = Path(__file__).parents[3] / "configs" / "robustness"
    names = sorted(path.name for path in folder.glob("*.py") if "craft_data = " in path.read_text())
    assert len(names) >= 6
    for name in names:
        load_attack(f"robustness/{name}", None)


def test_an_option_of_the_command_line_is_checked_too():
    with pytest.raises(PerceptionError, match=r"drawn_signs\.py: attack: unknown attack goal 'hida'"):
        load_attack("robustness/drawn_signs.py", ["attack.goal=hida"])


def test_classes_of_drawn_signs():
    with pytest.raises(PerceptionError, match="unknown sign class 'octogon': did you mean 'octagon'"):
        DrawnSigns(classes=("octogon",))
