"""``perception attack`` on LiDAR sweeps: placements on disk, their evaluation beside controls, the same report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from perception.attack import ATTACK_TARGETS
from perception.attack_points import PointAttackTarget, PointSample
from perception.engine.components import config_part
from perception.errors import InputError, PerceptionError
from perception.registry import DATASETS
from perception.sinks.storage import write_file

from .comparisons import corruption_table
from .evaluate import CONTROLS, Evaluation
from .points import CraftedPoints, Placement, PointAttackConfig, attacked_sample, control_placement, craft_points
from .provenance import plain, provenance
from .settings import read_settings
from .victim import unchanged

__all__ = ["craft_placements", "evaluate_placements", "evaluate_points", "load_placement"]

HEADER, SCHEMA = "placement.json", 1


def evaluate_points(
    target: PointAttackTarget,
    samples: Sequence[PointSample],
    placements: Mapping[str, Placement],
    config: PointAttackConfig,
    threshold: float = 0.5,
    control_seed: int = 12345,
) -> Evaluation:
    """Evaluate placements and controls; see ``evaluate.evaluate``.

    Of the goal ``appear`` there are no rows, and so no ASR: what appears is no instance of the truth. The victim's
    metric says what it does (of LiDAR maps, the share of ground called something else).

    Args:
        target: The victim; it is not changed.
        samples: Held out from crafting, unless the scope is ``per_instance``.
        placements: Name -> placement; ``clean``, ``grey`` and ``random`` are added.
        config: Of the attack.
        threshold: Score from which an instance counts as detected.
        control_seed: Of the random placement.

    Raises:
        PerceptionError: No sample, a reserved name, or the victim was changed.
    """
    if not samples:
        raise PerceptionError("evaluation: expected at least one sample, found none")
    if reserved := {"clean", *CONTROLS} & set(placements):
        raise PerceptionError(f"evaluation: the names {', '.join(sorted(reserved))} are reserved for controls")
    controls = {name: control_placement(name, samples, config, control_seed) for name in CONTROLS}
    conditions: dict[str, Placement | None] = {"clean": None, **controls, **placements}
    rows: list[dict[str, Any]] = []
    for sample in samples if config.goal != "appear" else ():
        for index, instance in enumerate(target.instances(sample)):
            rows.append({"sample": sample.name, "scene": sample.scene or sample.name, "instance": index, **instance})
    metrics, examples = {}, {}
    with unchanged(target):
        for name, placement in conditions.items():
            shown = [s if placement is None else attacked_sample(s, placement, config) for s in samples]
            results = target.predict(shown)
            if rows:
                scores = [float(v) for r, s in zip(results, shown) for v in target.instance_scores(r, s)]
                for row, score in zip(rows, scores, strict=True):
                    row[f"score_{name}"] = score
            metrics[name] = target.task_metric(results, shown)
            examples[name] = target.picture(shown[0], results[0])
    found: dict[str, int | None] = dict.fromkeys(conditions)
    return Evaluation(rows, metrics, found, threshold, examples, dict.fromkeys(conditions))


def _describe(config: PointAttackConfig) -> dict[str, Any]:
    if config.kind == "cells":
        budget = f"{config.cells} cells of {config.points} returns, {config.steps} rounds"
        what = "returns in all sweeps, still in the world" if config.past else "returns in the newest sweep"
    else:
        height, width = config.size_m
        budget, what = f"{config.steps} poses", f"a board of {height:g} x {width:g} m on the road, ray-cast"
    knowledge = "white box" if config.kind == "cells" else "black box"
    scope = "one placement for all samples" if config.scope == "universal" else "a placement for each sample"
    where = f"x {config.region[0]} to {config.region[2]}, y {config.region[1]} to {config.region[3]} m"
    return {"goal": config.goal, "knowledge": knowledge, "scope": scope, "what": what, "where": where, "budget": budget}


def save_placement(folder: Path, crafted: CraftedPoints, config: PointAttackConfig, about: Mapping[str, Any]) -> Path:
    """Write ``placement.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    header = {
        "schema": SCHEMA,
        "attack": dataclasses.asdict(config),
        "placement": {key: np.round(value, 4).tolist() for key, value in crafted.placement.items()},
        "seconds": round(crafted.seconds, 3),
        "queries": crafted.queries,
        "losses": [float(f"{loss:.6g}") for loss in crafted.losses],
        **about,
    }
    write_file(folder / HEADER, json.dumps(header, indent=1).encode())
    return folder


def load_placement(folder: Path) -> tuple[dict[str, np.ndarray], PointAttackConfig, dict[str, Any]]:
    """Read what ``save_placement`` wrote.

    Raises:
        InputError: It is missing, or not what it should be.
    """
    path = folder / HEADER
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        config = PointAttackConfig(**header["attack"])
        shape = (-1, 3) if config.kind == "cells" else (3,)
        placement = {str(k): np.array(v, np.float32).reshape(shape) for k, v in header["placement"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, PerceptionError) as error:
        raise InputError(path, "", "a placement of `attack craft`", f"{type(error).__name__}: {error}") from error
    if not all(np.isfinite(value).all() for value in placement.values()):
        raise InputError(path, "placement", "finite numbers", "others")
    return placement, config, header


def _built(config: Config, data: str) -> tuple[PointAttackTarget, list[PointSample]]:
    with config_part(str(config.filename), "target"):
        target: PointAttackTarget = ATTACK_TARGETS.build(config.target.to_dict())
    dataset = DATASETS.build(config[data].to_dict())
    return target, [dataset[index] for index in range(len(dataset))]


def craft_placements(config: Config, root: Path, seeds: Sequence[int]) -> None:
    """Make a placement for every seed into ``root/seed_<n>``."""
    stem = Path(str(config.filename)).stem
    target, samples = _built(config, "craft_data")
    for seed in seeds:
        attack = read_settings(PointAttackConfig, {**config.attack.to_dict(), "seed": int(seed)}, "the attack")
        crafted = craft_points(target, samples, attack)
        data = plain(config.craft_data.to_dict())
        about = {"config": stem, "data": data, "threat_model": _describe(attack), **provenance(config, target)}
        folder = save_placement(root / f"seed_{seed}", crafted, attack, about)
        ends = f"{crafted.losses[0]:.4g} -> {crafted.losses[-1]:.4g}"
        print(f"{folder}: loss {ends} in {crafted.seconds:.1f} s, {crafted.queries} queries", flush=True)


def evaluate_placements(config: Config, folders: Sequence[Path]) -> tuple[Evaluation, dict[str, Any]]:
    """Evaluate stored placements; returns the outcome and what the report says about it.

    Raises:
        PerceptionError: Placements of different attacks, or the data they were made on, unless each was made for its
            sample.
    """
    loaded = [load_placement(folder) for folder in folders]
    if len({json.dumps({**dataclasses.asdict(c), "seed": 0}, sort_keys=True) for _, c, _ in loaded}) != 1:
        raise PerceptionError("attack eval: the placements were made with different attacks; evaluate them one by one")
    attack = loaded[0][1]
    data = plain(config.eval_data.to_dict())
    if attack.scope == "universal" and any(header.get("data") == data for _, _, header in loaded):
        raise PerceptionError("attack eval: eval_data is the data the placements were made on; use held-out data")
    target, samples = _built(config, "eval_data")
    placements = {f"seed {one.seed}": placement for placement, one, _ in loaded}
    found = evaluate_points(target, samples, placements, attack, float(config.get("threshold", 0.5)))
    about: dict[str, Any] = {
        "config": Path(str(config.filename)).stem,
        "threat_model": _describe(attack),
        "data": data,
        "samples": len(samples),
        "occlusion": "ray-cast" if attack.kind == "board" else "added returns hide nothing",
        **provenance(config, target),
    }
    if "corruptions" in config:
        options = config.corruptions.to_dict()
        about["corruptions"] = corruption_table(target, samples, threshold=found.threshold, **options)
    return found, about
