"""Configs of attacks and studies, checked before work starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config

from perception.attack import ATTACK_TARGETS, GOALS
from perception.engine.components import check_component, config_part
from perception.errors import InputError, PerceptionError, UnknownNameError, suggestion
from perception.registry import DATASETS

from . import (  # noqa: F401 - registers
    crops,
    crowd_scenes,
    drive_scenes,
    masking,
    pasted_signs,
    scenes,
    sign_approaches,
    victim,
)
from .attacks import AttackConfig
from .defences import DEFENCES
from .faults import check_faults
from .points import PointAttackConfig
from .settings import read_settings

__all__ = ["check_attack_config", "check_study_config", "is_point_attack"]

NESTED = {"target": ATTACK_TARGETS, "defence": DEFENCES, "dataset": DATASETS}
FAULT_KEYS = ("kinds", "severities", "seed")


def is_point_attack(config: Config) -> bool:
    """Whether a config attacks sweeps: its attack has a ``kind``."""
    return "kind" in config.attack


def check_attack_config(config: Config) -> None:
    """Refuse what a config of an attack cannot mean.

    Raises:
        PerceptionError: A part is missing or unknown; names the file, the key, what was found and what there is.
    """
    path = str(config.filename)
    _need(config, ("target", "attack", "craft_data", "eval_data"), "an attack")
    settings = PointAttackConfig if is_point_attack(config) else AttackConfig
    _check_attack(path, "attack", config.attack, settings)
    if config.craft_data == config.eval_data and config.attack.get("scope") != "per_instance":
        raise PerceptionError(f"{path}: eval_data is the data of craft_data; use held-out data")
    check_component(path, "target", config.target, ATTACK_TARGETS, NESTED)
    for key in ("craft_data", "eval_data"):
        check_component(path, key, config[key], DATASETS, NESTED)
    for name, options in _mapping(path, config, "transfer_to").items():
        check_component(path, f"transfer_to.{name}", options, ATTACK_TARGETS, NESTED)
    _check_common(config)
    if "corruptions" in config:
        faults = _mapping(path, config, "corruptions")
        for name in faults:
            if name not in FAULT_KEYS:
                raise InputError(
                    path, f"corruptions.{name}", "a setting", f"an unknown one: {suggestion(name, FAULT_KEYS)}"
                )
        with config_part(path, "corruptions"):
            check_faults(faults.get("kinds", ()), faults.get("severities", (1,)), is_point_attack(config))
    changes = {key: value for key, value in _mapping(path, config, "assess").items() if key != "samples"}
    _check_attack(path, "assess", {**config.attack, **changes}, settings)


def check_study_config(config: Config) -> None:
    """Refuse what a config of a study cannot mean; see ``study.run_study``.

    Raises:
        PerceptionError: As ``check_attack_config``.
    """
    path = str(config.filename)
    _need(config, ("victims", "renderings", "attack"), "a study")
    victims, renderings = (_mapping(path, config, key) for key in ("victims", "renderings"))
    for key, part in (("victims", victims), ("renderings", renderings)):
        if not part:
            raise InputError(path, key, "one or more", "none")
    _check_attack(path, "attack", config.attack, AttackConfig)
    for name, options in victims.items():
        check_component(path, f"victims.{name}", options, ATTACK_TARGETS, NESTED)
        made = {**options, **_mapping(path, config, "craft_with")}
        check_component(path, "craft_with", made, ATTACK_TARGETS, NESTED)
    for name, data in renderings.items():
        for key in ("craft_data", "eval_data"):
            if not isinstance(data, Mapping) or key not in data:
                raise InputError(path, f"renderings.{name}", f"a dict with {key}", repr(data)[:80])
            check_component(path, f"renderings.{name}.{key}", data[key], DATASETS, NESTED)
        if data["craft_data"] == data["eval_data"]:
            raise PerceptionError(f"{path}: renderings.{name}: eval_data is craft_data; use held-out data")
    for index, pair in enumerate(config.get("cross", ())):
        for name in pair if isinstance(pair, (tuple, list)) and len(pair) == 2 else (pair,):
            if name not in renderings:
                found = f"{name!r}: {suggestion(str(name), renderings)}"
                raise InputError(path, f"cross[{index}]", "two names of renderings", found)
    thresholds = config.get("thresholds", 0.3)
    if isinstance(thresholds, Mapping) and (lacking := sorted(set(victims) - set(thresholds))):
        raise InputError(path, "thresholds", f"a score for {', '.join(lacking)}", ", ".join(thresholds) or "none")
    for key, value in thresholds.items() if isinstance(thresholds, Mapping) else (("", thresholds),):
        _check_number(path, f"thresholds.{key}".rstrip("."), value)
    _check_common(config)


def _need(config: Config, keys: Sequence[str], what: str) -> None:
    missing = [key for key in keys if key not in config]
    if missing:
        raise PerceptionError(f"{config.filename}: not a config of {what}: missing {', '.join(missing)}")


def _mapping(path: str, config: Config, key: str) -> Mapping[str, Any]:
    value = config.get(key) or {}
    if not isinstance(value, Mapping):
        raise InputError(path, key, "a dict", repr(value)[:80])
    return value


def _check_attack(path: str, key: str, options: Any, settings: type[AttackConfig] | type[PointAttackConfig]) -> None:
    if not isinstance(options, Mapping):
        raise InputError(path, key, "a dict", repr(options)[:80])
    with config_part(path, key):
        found = read_settings(settings, options, "the attack")
        if found.goal not in GOALS:
            raise UnknownNameError("attack goal", str(found.goal), GOALS)


def _check_common(config: Config) -> None:
    path = str(config.filename)
    seeds = config.get("seeds", (0,))
    if not isinstance(seeds, (tuple, list)) or not seeds or not all(type(seed) is int for seed in seeds):
        raise InputError(path, "seeds", "one whole number or more in a list", repr(seeds)[:80])
    if len(set(seeds)) != len(seeds):
        raise InputError(path, "seeds", "different numbers", repr(seeds)[:80])
    if "threshold" in config:
        _check_number(path, "threshold", config.threshold)


def _check_number(path: str, key: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InputError(path, key, "a score from 0 to 1", repr(value)[:80])
