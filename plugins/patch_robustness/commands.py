"""What ``perception attack`` does."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from perception.attack import ATTACK_TARGETS, AttackSample, AttackTarget
from perception.engine.components import config_part
from perception.engine.config import load_config, parse_options
from perception.errors import InputError, PerceptionError
from perception.registry import DATASETS

from .assess import assess, is_defended
from .attacks import AttackConfig, check_victim, craft
from .bundle import load_bundle, save_bundle
from .check_config import check_attack_config, is_point_attack
from .comparisons import corruption_table, transfer_table
from .evaluate import CONTROLS, ENOUGH, Evaluation, evaluate
from .occlusion import occlusion_note
from .points_commands import craft_placements, evaluate_placements
from .provenance import check_held_out, plain, provenance, sample_digests
from .report import write_report
from .settings import read_settings
from .threat_model import describe

__all__ = ["craft_patches", "evaluate_patches", "list_reports", "load_attack", "run_attack"]


def load_attack(name: str, options: Sequence[str] | None = None) -> Config:
    """Read a config with ``target``, ``attack``, ``craft_data`` and ``eval_data``, and import what it names.

    Raises:
        PerceptionError: See ``check_config.check_attack_config``.
    """
    config = load_config(name, parse_options(options))
    import_modules_from_strings(**(config.get("custom_imports") or {"imports": []}))
    check_attack_config(config)
    return config


def _attack(config: Config, **changes: Any) -> AttackConfig:
    return read_settings(AttackConfig, {**config.attack.to_dict(), **changes}, "the attack")


def _target(config: Config) -> AttackTarget:
    with config_part(str(config.filename), "target"):
        target: AttackTarget = ATTACK_TARGETS.build(config.target.to_dict())
    return target


def _samples(options: dict[str, Any]) -> list[AttackSample]:
    dataset = DATASETS.build(options)
    return [dataset[index] for index in range(len(dataset))]


def craft_patches(
    name: str, out: Path | None, seeds: Sequence[int] | None, options: Sequence[str] | None, dpi: float
) -> int:
    """Make a patch for every seed into ``OUT/seed_<n>``; returns 0."""
    config = load_attack(name, options)
    stem = Path(str(config.filename)).stem
    root = out or Path("work_dirs") / stem
    if is_point_attack(config):
        craft_placements(config, root, list(seeds or config.get("seeds", (0,))))
        return 0
    target = _target(config)
    with config_part(str(config.filename), "attack"):
        check_victim(target, _attack(config))
    samples = _samples(config.craft_data.to_dict())
    for seed in seeds or config.get("seeds", (0,)):
        attack = _attack(config, seed=int(seed))
        crafted = craft(target, samples, attack)
        about = {
            "config": stem,
            "data": plain(config.craft_data.to_dict()),
            "threat_model": describe(attack, target, samples),
            "samples": sample_digests(samples),
            **provenance(config, target),
        }
        bundle = save_bundle(root / f"seed_{seed}", crafted, attack, about, dpi)
        ends = f"{crafted.losses[0]:.4g} -> {crafted.losses[-1]:.4g}"
        note = f" ({crafted.stopped})" if crafted.stopped else ""
        print(f"{bundle.folder}: loss {ends} in {crafted.seconds:.1f} s, {crafted.queries} queries{note}", flush=True)
    return 0


def run_attack(
    name: str, out: Path | None, seeds: Sequence[int] | None, options: Sequence[str] | None, limit: float | None
) -> int:
    """Craft into ``OUT/seed_<n>`` and evaluate all of them into ``OUT/report``; returns as ``evaluate_patches``."""
    config = load_attack(name, options)
    root = out or Path("work_dirs") / Path(str(config.filename)).stem
    wanted = [int(seed) for seed in seeds or config.get("seeds", (0,))]
    craft_patches(name, root, wanted, options, 300.0)
    return evaluate_patches(name, [root / f"seed_{seed}" for seed in wanted], root / "report", options, limit)


def evaluate_patches(
    name: str, folders: Sequence[Path], out: Path | None, options: Sequence[str] | None, limit: float | None
) -> int:
    """Evaluate stored patches with their controls; returns 1 when one is above ``limit``.

    Raises:
        PerceptionError: There is a ``limit``, but success could show in no instance: that is no pass.
    """
    config = load_attack(name, options)
    stem = Path(str(config.filename)).stem
    root, start = out or Path("work_dirs") / stem / "report", time.perf_counter()
    found, about = (evaluate_placements if is_point_attack(config) else _evaluated)(config, folders)
    content = write_report(root, found, about)
    print(f"{about['samples']} samples in {time.perf_counter() - start:.1f} s -> {root / 'report.html'}")
    _print(content)
    return 0 if limit is None else _judged(content, limit)


def _judged(content: Mapping[str, Any], limit: float) -> int:
    """1 when the ASR of a crafted patch is above a limit, else 0."""
    rates = [part["asr"]["value"] for key, part in content["conditions"].items() if key not in CONTROLS]
    known = [rate for rate in rates if rate is not None]
    if not known:
        raise PerceptionError("--fail-above: no instance in which an attack could succeed, so the ASR is unknown")
    if max(known) > limit:
        print(f"ASR {max(known):.3f} is above {limit:g}")
        return 1
    return 0


def _evaluated(config: Config, folders: Sequence[Path]) -> tuple[Evaluation, dict[str, Any]]:
    """Evaluate stored patches; returns the outcome and what the report says about it."""
    bundles = [load_bundle(folder) for folder in folders]
    attacks = {json.dumps({**dataclasses.asdict(bundle.config), "seed": 0}, sort_keys=True) for bundle in bundles}
    if len(attacks) != 1:
        raise PerceptionError("attack eval: the patches were made with different attacks; evaluate them one by one")
    if len({bundle.config.seed for bundle in bundles}) != len(bundles):
        raise PerceptionError("attack eval: two of the patches have the same seed; evaluate them one by one")
    target, samples = _target(config), _samples(config.eval_data.to_dict())
    if bundles[0].config.scope != "per_instance":
        for bundle in bundles:
            check_held_out(bundle.header.get("samples", {}), samples)
    patches = {f"seed {bundle.config.seed}": bundle.patches for bundle in bundles}
    threshold = float(config.get("threshold", 0.3))
    with config_part(str(config.filename), "transfer_to"):
        others = {name: ATTACK_TARGETS.build(dict(part)) for name, part in config.get("transfer_to", {}).items()}
    found = evaluate(target, samples, patches, bundles[0].config, threshold)
    about: dict[str, Any] = {
        "config": Path(str(config.filename)).stem,
        "threat_model": {**bundles[0].header.get("threat_model", {}), "seed": [b.config.seed for b in bundles]},
        "data": plain(config.eval_data.to_dict()),
        "patches": {f"seed {b.config.seed}": b.header["picture_sha256"] for b in bundles},
        "crafting": {f"seed {b.config.seed}": {k: b.header.get(k, 0) for k in ("seconds", "queries")} for b in bundles},
        "samples": len(samples),
        "occlusion": occlusion_note(samples),
        **provenance(config, target),
    }
    if "corruptions" in config:
        table = corruption_table(target, samples, threshold=threshold, **config.corruptions.to_dict())
        about["corruptions"] = table
    if others:
        about["transfer"] = transfer_table(others, samples, patches, bundles[0].config, threshold)
    return found, about | _defence(config, target)


def _defence(config: Config, target: AttackTarget) -> dict[str, Any]:
    """What is known about the victim's defence: the checks of ``assess``, or that it is not assessed."""
    if not is_defended(target):
        return {}
    about: dict[str, Any] = {"name": target.defence_name, "assessed": False}  # type: ignore[attr-defined]
    print(f"defence: {about['name']}")
    if "assess" in config:
        options = config.assess.to_dict()
        samples = _samples(config.craft_data.to_dict())[: int(options.pop("samples", 8))]
        attack = _attack(config, **options)
        found = assess(target, samples, attack, float(config.get("threshold", 0.3)))
        print("\n".join(f"  {line}" for line in found.lines()))
        about |= found.to_dict()
    print(f"  {'assessed' if about['assessed'] else 'not assessed'}")
    return {"defence": about}


def _print(content: dict[str, Any]) -> None:
    metric = _metric(content["metric_clean"])
    print(f"  {'clean':<12} detected {content['detected_clean']} of {content['instances']}; {metric}")
    for name, part in content["conditions"].items():
        rate = part["asr"]
        value = "-" if rate["value"] is None else f"{100 * rate['value']:.1f} %"
        span = f"{100 * rate['low']:.1f} to {100 * rate['high']:.1f}"
        print(f"  {name:<12} ASR {value} ({span}, n={rate['n']}); {_metric(part['metric'])}")
    if not content["valid"]:
        print(f"  not valid: success could show in fewer than {ENOUGH} instances")


def _metric(values: dict[str, float | None]) -> str:
    return ", ".join(f"{key} {'-' if value is None else format(value, '.3f')}" for key, value in values.items())


def list_reports(folders: Sequence[Path]) -> int:
    """Print a few lines for each report; returns 0.

    Raises:
        InputError: A folder without a report.
    """
    for folder in folders:
        path = folder / "report.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            print(folder)
            _print(content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(path, "", "a report of `perception attack eval`", f"{type(error).__name__}") from error
    return 0
