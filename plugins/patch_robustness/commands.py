"""What ``perception attack`` does."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from perception.attack import ATTACK_TARGETS, AttackSample, AttackTarget
from perception.engine.config import load_config, parse_options
from perception.errors import InputError, PerceptionError
from perception.registry import DATASETS

from . import crowd_scenes, scenes, victim  # noqa: F401 - registers
from .attacks import AttackConfig, craft, describe
from .bundle import load_bundle, save_bundle
from .evaluate import evaluate
from .placement import board_corners, preview, road_corners
from .render import render
from .report import write_report

__all__ = ["craft_patches", "evaluate_patches", "list_reports", "load_attack", "place_patch", "run_attack"]


def load_attack(name: str, options: Sequence[str] | None = None) -> Config:
    """Read a config with ``target``, ``attack``, ``craft_data`` and ``eval_data``, and import what it names.

    Raises:
        PerceptionError: A part is missing, or both data are the same.
    """
    config = load_config(name, parse_options(options))
    missing = [key for key in ("target", "attack", "craft_data", "eval_data") if key not in config]
    if missing:
        raise PerceptionError(f"{config.filename}: not a config of an attack: missing {', '.join(missing)}")
    import_modules_from_strings(**(config.get("custom_imports") or {"imports": []}))
    return config


def _target(config: Config) -> AttackTarget:
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
    target, samples = _target(config), _samples(config.craft_data.to_dict())
    for seed in seeds or config.get("seeds", (0,)):
        attack = AttackConfig(**{**config.attack.to_dict(), "seed": int(seed)})
        crafted = craft(target, samples, attack)
        about = {"config": stem, "data": config.craft_data.to_dict(), "threat_model": describe(attack, target)}
        bundle = save_bundle(root / f"seed_{seed}", crafted, attack, json.loads(json.dumps(about, default=str)), dpi)
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
    """Evaluate stored patches with their controls; returns 1 when one is above ``limit``."""
    config = load_attack(name, options)
    stem = Path(str(config.filename)).stem
    bundles = [load_bundle(folder) for folder in folders]
    attacks = {json.dumps({**dataclasses.asdict(bundle.config), "seed": 0}, sort_keys=True) for bundle in bundles}
    if len(attacks) != 1:
        raise PerceptionError("attack eval: the patches were made with different attacks; evaluate them one by one")
    used = json.dumps(bundles[0].header.get("data"), sort_keys=True, default=str)
    if used == json.dumps(json.loads(json.dumps(config.eval_data.to_dict(), default=str)), sort_keys=True):
        raise PerceptionError("attack eval: eval_data is the data the patches were made on; use held-out data")
    target, samples = _target(config), _samples(config.eval_data.to_dict())
    start = time.perf_counter()
    patches = {f"seed {bundle.config.seed}": bundle.patch for bundle in bundles}
    found = evaluate(target, samples, patches, bundles[0].config, float(config.get("threshold", 0.3)))
    about = {
        "config": stem,
        "threat_model": bundles[0].header.get("threat_model", {}),
        "data": json.loads(json.dumps(config.eval_data.to_dict(), default=str)),
        "patches": {f"seed {b.config.seed}": b.header["picture_sha256"] for b in bundles},
        "samples": len(samples),
        "occlusion": "ignored",
    }
    root = out or Path("work_dirs") / stem / "report"
    content = write_report(root, found, about)
    print(f"{len(samples)} samples in {time.perf_counter() - start:.1f} s -> {root / 'report.html'}")
    _print(content)
    worst = max((content["conditions"][key]["asr"]["value"] or 0.0 for key in patches), default=0.0)
    if limit is not None and worst > limit:
        print(f"ASR {worst:.3f} is above {limit:g}")
        return 1
    return 0


def _print(content: dict[str, Any]) -> None:
    metric = ", ".join(f"{key} {value:.3f}" for key, value in content["metric_clean"].items())
    print(f"  {'clean':<12} detected {content['detected_clean']} of {content['instances']}; {metric}")
    for name, part in content["conditions"].items():
        rate = part["asr"]
        value = "-" if rate["value"] is None else f"{100 * rate['value']:.1f} %"
        span = f"{100 * rate['low']:.1f} to {100 * rate['high']:.1f}"
        metric = ", ".join(f"{key} {number:.3f}" for key, number in part["metric"].items())
        print(f"  {name:<12} ASR {value} ({span}, n={rate['n']}); {metric}")
    if not content["valid"]:
        print("  not valid: fewer than 30 instances were detected clean")


def place_patch(
    drive: str,
    spot: tuple[float, float],
    size_m: tuple[float, float],
    on: str,
    camera: str,
    patch: Path | None,
    frames: int,
    out: Path,
) -> int:
    """Draw a patch that is fixed in the world into the first frames of a drive; returns 0.

    Raises:
        PerceptionError: No frame shows it.
    """
    from perception.sources import open_drive

    corners = (road_corners if on == "road" else board_corners)(spot[0], spot[1], size_m)
    picture = torch.full((1, 3, 64, 64), 0.5) if patch is None else load_bundle(patch).patch
    out.mkdir(parents=True, exist_ok=True)
    shown = []
    with open_drive(drive) as source:
        chosen = [frame for _, frame in zip(range(frames), source)]
    if not chosen:
        raise InputError(drive, "", "at least one frame", "none")
    for index, image, surface in preview(chosen, camera, corners, size_m):
        array = image
        if surface is not None:
            tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
            drawn = render(tensor, picture, [surface])[0]
            array = (drawn.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
            shown.append(index)
        cv2.imwrite(str(out / f"{index:05d}.png"), np.ascontiguousarray(array[..., ::-1]))
    if not shown:
        raise PerceptionError(f"attack place: none of {len(chosen)} frames shows the patch in camera {camera!r}")
    fixed = "fixed in the world" if chosen[0].ego_pose is not None else "moves with the vehicle: the drive has no poses"
    print(f"{len(shown)} of {len(chosen)} frames show it ({fixed}; occlusion is ignored) -> {out}")
    return 0


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
