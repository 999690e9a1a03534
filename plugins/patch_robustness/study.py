"""Victims against patches made and measured under several renderings, with controls, in one table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.utils import import_modules_from_strings

from perception.attack import ATTACK_TARGETS, AttackSample, AttackTarget
from perception.engine.config import load_config, parse_options
from perception.registry import DATASETS
from perception.sinks.storage import write_file

from .attacks import AttackConfig, craft
from .bundle import Bundle, load_bundle, save_bundle
from .check_config import check_study_config
from .evaluate import CONTROLS, evaluate
from .occlusion import occlusion_note
from .report import finite, write_report
from .settings import read_settings
from .study_page import markdown, study_page
from .threat_model import describe
from .victim import fingerprint

__all__ = ["run_study", "study_command", "study_rows"]


def study_command(name: str, out: Path | None, options: Sequence[str] | None) -> int:
    """Serve ``perception attack study``; returns 0."""
    config = load_config(name, parse_options(options))
    import_modules_from_strings(**(config.get("custom_imports") or {"imports": []}))
    run_study(config, out or Path("work_dirs") / Path(str(config.filename)).stem)
    return 0


def run_study(config: Any, out: Path) -> dict[str, Any]:
    """Craft and evaluate all that a config of a study asks for, and write the table.

    A config has ``victims`` (name -> attack target), ``renderings`` (name -> ``craft_data`` and ``eval_data``),
    ``attack``, ``seeds``, ``thresholds`` (name -> score, or one number) and ``cross`` ([made on, measured on], ...).
    Every victim is attacked under every rendering, and patches of one rendering are measured under another where
    ``cross`` says so. Patches that are there already are not made again.

    Args:
        config: Of the study.
        out: Folder; ``study.json``, ``study.md``, ``study.html`` and a report of every part.

    Returns:
        What ``study.json`` holds.

    Raises:
        PerceptionError: See ``check_config.check_study_config``.
    """
    check_study_config(config)
    measured: dict[str, list[AttackSample]] = {}
    parts = []
    for victim, options in config.victims.items():
        target: AttackTarget = ATTACK_TARGETS.build(dict(options))
        crafter: AttackTarget = ATTACK_TARGETS.build({**options, **config.get("craft_with", {})})
        made = {
            rendering: _patches(config, crafter, data["craft_data"], out / victim / rendering)
            for rendering, data in config.renderings.items()
        }
        pairs = [(name, name) for name in config.renderings] + [tuple(pair) for pair in config.get("cross", ())]
        for craft_on, eval_on in pairs:
            if eval_on not in measured:
                measured[eval_on] = _samples(config.renderings[eval_on]["eval_data"])
            folder = out / victim / (f"{craft_on}_on_{eval_on}" if craft_on != eval_on else f"{craft_on}_report")
            found = _measure(config, target, victim, made[craft_on], measured[eval_on], folder)
            parts.append({"victim": victim, "crafted": craft_on, "measured": eval_on, "report": found})
            print(f"{victim}: {craft_on} -> {eval_on}: {folder / 'report.html'}", flush=True)
    rows = study_rows(parts)
    content: dict[str, Any] = {
        "schema": 1,
        "config": Path(str(config.filename)).stem,
        "threat_model": _threat_model(config, parts),
        "rows": rows,
        "cuts": _cuts(rows),
    }
    reports = [str(path.relative_to(out)) for path in sorted(out.glob("*/*/report.html"))]
    write_file(out / "study.json", json.dumps(finite(content), indent=1, allow_nan=False).encode())
    write_file(out / "study.md", markdown(content).encode())
    write_file(out / "study.html", study_page(content, reports).encode())
    print(markdown(content))
    return content


def _threat_model(config: Any, parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """That of the first part, with the names of all victims and all seeds."""
    found = dict(parts[0]["report"].get("threat_model", {}))
    thresholds = config.get("thresholds", 0.3)
    each = isinstance(thresholds, Mapping)
    victims = [f"{name} (score {thresholds[name] if each else thresholds:g})" for name in config.victims]
    seeds = ", ".join(str(seed) for seed in config.get("seeds", (0,)))
    return found | {"victim": ", ".join(victims), "seed": seeds}


def _samples(options: Any) -> list[AttackSample]:
    dataset = DATASETS.build(options.to_dict() if hasattr(options, "to_dict") else dict(options))
    return [dataset[index] for index in range(len(dataset))]


def _patches(config: Any, target: AttackTarget, data: Any, folder: Path) -> list[Bundle]:
    bundles, samples = [], None
    for seed in config.get("seeds", (0,)):
        attack = read_settings(AttackConfig, {**config.attack.to_dict(), "seed": int(seed)}, "the attack")
        path = folder / f"seed_{seed}"
        module = getattr(target, "module", None)
        victim = fingerprint(module) if module is not None else ""
        if (path / "patch.json").is_file():
            bundle = load_bundle(path)
            if bundle.config == attack and bundle.header.get("victim_sha256") == victim:
                bundles.append(bundle)
                continue
        samples = samples or _samples(data)
        crafted = craft(target, samples, attack)
        plain = json.loads(json.dumps(dict(data), default=str))
        about = {"data": plain, "threat_model": describe(attack, target, samples), "victim_sha256": victim}
        save_bundle(path, crafted, attack, about)
        print(f"{path}: {crafted.losses[0]:.3f} -> {crafted.losses[-1]:.3f}, {crafted.seconds:.0f} s", flush=True)
        bundles.append(load_bundle(path))
    return bundles


def _measure(
    config: Any, target: AttackTarget, victim: str, bundles: Sequence[Bundle], samples: Sequence[AttackSample],
    folder: Path,
) -> dict[str, Any]:  # fmt: skip
    threshold = config.get("thresholds", 0.3)
    threshold = float(threshold[victim] if isinstance(threshold, Mapping) else threshold)
    patches = {f"seed {bundle.config.seed}": bundle.patches for bundle in bundles}
    found = evaluate(target, samples, patches, bundles[0].config, threshold)
    about = {
        "victim": victim,
        "samples": len(samples),
        "threat_model": bundles[0].header.get("threat_model", {}),
        "occlusion": occlusion_note(samples),
    }
    return write_report(folder, found, about)


def study_rows(parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each victim, rendering the patch was made on and rendering it was measured on.

    ``excess`` is the mean ASR over the seeds above that of the random patch, in points; ``excess_worst`` that of the
    strongest seed. ``intervals`` are 95 % Wilson. Where nothing was detected clean the rates are not known (NaN, in
    files null).
    """
    rows = []
    for part in parts:
        report = part["report"]
        asr = {name: condition["asr"] for name, condition in report["conditions"].items()}
        rates = {name: math.nan if rate["value"] is None else 100 * rate["value"] for name, rate in asr.items()}
        seeds = [value for name, value in rates.items() if name not in CONTROLS]
        metric = report["metric_clean"]
        rows.append(
            {
                **{key: part[key] for key in ("victim", "crafted", "measured")},
                "instances": report["instances"],
                "detected_clean": report["detected_clean"],
                "valid": report["valid"],
                "metric_clean": metric,
                "asr_grey": rates["grey"],
                "asr_random": rates["random"],
                "asr": float(np.mean(seeds)),
                "asr_seeds": seeds,
                "excess": float(np.mean(seeds)) - rates["random"],
                "excess_worst": max(seeds) - rates["random"],
                "intervals": {name: [100 * rate["low"], 100 * rate["high"]] for name, rate in asr.items()},
            }
        )
    return rows


def _cuts(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How much of the first victim's excess each other victim takes away, and what that costs clean."""
    first = rows[0]["victim"] if rows else ""
    base = {(row["crafted"], row["measured"]): row for row in rows if row["victim"] == first}
    out = []
    for row in rows:
        before = base.get((row["crafted"], row["measured"]))
        if row["victim"] != first and before is not None and before["excess"] > 0 and not math.isnan(row["excess"]):
            cost = {
                k: v - row["metric_clean"][k] for k, v in before["metric_clean"].items() if k in row["metric_clean"]
            }
            cut = 100 * (1 - row["excess"] / before["excess"])
            keys = ("victim", "crafted", "measured")
            out.append({**{key: row[key] for key in keys}, "against": first, "cut": cut, "cost": cost})
    return out
