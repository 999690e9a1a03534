"""What a patch does: the same samples clean, with a grey and a random patch, and with the patch; a row an instance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perception.attack import AttackSample, AttackTarget, instance_details
from perception.errors import PerceptionError

from .attacks import AttackConfig, PatchSet, as_images, attacked_images, control_patch
from .rates import Rate, bootstrap_interval
from .sequences import mean_details, sequence_summary
from .surfaces import obliqueness
from .victim import unchanged

__all__ = ["CONTROLS", "Evaluation", "evaluate", "summary"]

CONTROLS = ("grey", "random")
BREAKDOWNS = ("label", "size_px", "obliqueness_deg", "gain", "distance_m")
ENOUGH = 30
"""Fewer instances detected clean make a report invalid."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Outcome on one set of samples.

    Attributes:
        rows: One dict per attacked instance: sample, scene, instance, label, size_px, obliqueness_deg, gain, and the
            score of the right detection in every condition (``score_clean``, ``score_grey``, ...), and what else the
            target says about it (``lateral_m_clean``, ...).
        metrics: Condition -> the plugin's own measure.
        found: Condition -> number of detections at the threshold, right or not.
        threshold: Score from which an instance counts as detected.
        examples: Condition -> (H, W, 3) uint8 of the first sample.
        predictions: Condition -> result for that sample.
    """

    rows: list[dict[str, Any]]
    metrics: dict[str, dict[str, float]]
    found: dict[str, int]
    threshold: float
    examples: dict[str, np.ndarray]
    predictions: dict[str, Any]


def evaluate(
    target: AttackTarget,
    samples: Sequence[AttackSample],
    patches: Mapping[str, Tensor | PatchSet],
    config: AttackConfig,
    threshold: float = 0.3,
    control_seed: int = 12345,
) -> Evaluation:
    """Evaluate patches and controls.

    Args:
        target: The victim; it is not changed.
        samples: Not those the patch was made on.
        patches: Name -> (1, 3, w, w), or a ``PatchSet``; ``clean``, ``grey`` and ``random`` are added.
        config: Of the attack: goal, sticker size, canvas.
        threshold: See ``Evaluation``; fix it on other data.
        control_seed: Of the random patch.

    Raises:
        PerceptionError: A reserved name, or the victim was changed.
    """
    if reserved := {"clean", *CONTROLS} & set(patches):
        raise PerceptionError(f"evaluation: the names {', '.join(sorted(reserved))} are reserved for controls")
    controls: dict[str, Tensor] = {name: control_patch(name, config.width, control_seed) for name in CONTROLS}
    conditions: dict[str, Tensor | PatchSet | None] = {"clean": None, **controls, **patches}
    rows: list[list[dict[str, Any]]] = []
    metrics, found, examples, predictions = {}, {}, {}, {}
    with unchanged(target), torch.no_grad():
        for name, patch in conditions.items():
            results = []
            for number, sample in enumerate(samples):
                images = as_images([sample])
                if patch is not None:
                    images = attacked_images(images, [sample], patch, config)
                images = (images.clamp(0, 1) * 255).round() / 255  # what a camera would store
                [result] = target.predict(images, [sample])
                results.append(result)
                scores = target.instance_scores(result, sample)
                if len(rows) == number:
                    rows.append(_rows(sample, len(scores)))
                _fill(rows[number], name, scores, instance_details(target, result, sample))
                if name not in examples:
                    examples[name] = _picture(images)
                    predictions[name] = result
            metrics[name] = target.task_metric(results, samples)
            found[name] = sum(int((np.asarray(r.scores) >= threshold).sum()) for r in results if hasattr(r, "scores"))
    return Evaluation([row for part in rows for row in part], metrics, found, threshold, examples, predictions)


def _picture(images: Tensor) -> np.ndarray:
    """(H, W, 3) uint8 of the first image or view."""
    return (images.flatten(0, -4)[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


def _fill(rows: list[dict[str, Any]], name: str, scores: np.ndarray, details: Sequence[Mapping[str, float]]) -> None:
    for row in rows:
        row[f"score_{name}"] = float(scores[row["instance"]])
        if details:
            row.update({f"{key}_{name}": float(value) for key, value in details[row["instance"]].items()})


def _rows(sample: AttackSample, count: int) -> list[dict[str, Any]]:
    """A row for each instance that carries a patch; a surface without instance (road, board) concerns all of them."""
    owned = [(surface.instance, surface) for surface in sample.surfaces if surface.instance is not None]
    if not owned and sample.surfaces:
        owned = [(index, sample.surfaces[0]) for index in range(count)]
    rows: dict[int, dict[str, Any]] = {}
    for instance, surface in owned:
        rows[instance] = {
            "sample": sample.name,
            "scene": sample.scene or sample.name,
            "instance": int(instance),
            "label": surface.label,
            "size_px": round(surface.size_px, 2),
            "obliqueness_deg": round(obliqueness(surface), 1),
            "gain": round(surface.lighting.gain, 3),
            **{key: value for key, value in sample.meta.items() if isinstance(value, (int, float, str))},
        }
    return [rows[key] for key in sorted(rows)]


def summary(evaluation: Evaluation, seed: int = 0) -> dict[str, Any]:
    """Rates of every condition, recomputed from the rows, with intervals and breakdowns."""
    rows, limit = evaluation.rows, evaluation.threshold
    conditions = [name for name in evaluation.metrics if name != "clean"]
    clean = np.array([row["score_clean"] >= limit and row["score_clean"] > 0 for row in rows], bool)
    out: dict[str, Any] = {
        "instances": len(rows),
        "detected_clean": int(clean.sum()),
        "valid": bool(clean.sum() >= ENOUGH),
        "fnr_clean": _plain(Rate.of(int((~clean).sum()), len(rows))),
        "conditions": {},
    }
    for name in conditions:
        lost = clean & np.array([row[f"score_{name}"] < limit for row in rows], bool)
        interval = bootstrap_interval(lost, clean.astype(float), [row["scene"] for row in rows], seed)
        out["conditions"][name] = {
            "asr": _plain(Rate.of(int(lost.sum()), int(clean.sum()))),
            "asr_by_scene": _numbers(interval),
            "fnr": _plain(Rate.of(int(sum(row[f"score_{name}"] < limit for row in rows)), len(rows))),
            "detections": evaluation.found[name],
            "metric": evaluation.metrics[name],
            "details": mean_details(rows, name, seed),
            "over_time": sequence_summary(rows, name, limit),
            "by": {key: _breakdown(rows, clean, lost, key) for key in BREAKDOWNS if rows and key in rows[0]},
        }
    out["metric_clean"], out["detections_clean"] = evaluation.metrics["clean"], evaluation.found["clean"]
    out["details_clean"], out["over_time_clean"] = (
        mean_details(rows, "clean", seed),
        sequence_summary(rows, "clean", limit),
    )
    return out


def _plain(rate: Rate) -> dict[str, Any]:
    low, high = rate.low, rate.high
    return {"value": None if math.isnan(rate.value) else rate.value, "n": rate.n, "low": low, "high": high}


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [None if math.isnan(value) else float(value) for value in values]


def _breakdown(rows: list[dict[str, Any]], clean: np.ndarray, lost: np.ndarray, key: str) -> dict[str, Any]:
    """ASR by class, or by thirds of a measured quantity."""
    values = [row[key] for row in rows]
    if not values:
        return {}
    if key == "label":
        groups = {str(name): np.array([value == name for value in values]) for name in sorted(set(values))}
    else:
        numbers = np.array(values, np.float64)
        edges = np.unique(np.quantile(numbers, [0, 1 / 3, 2 / 3, 1]))
        groups = {}
        for low, high in pairwise(edges):
            last = high == edges[-1]
            groups[f"{low:.3g} to {high:.3g}"] = (numbers >= low) & ((numbers <= high) if last else (numbers < high))
    return {name: _plain(Rate.of(int((lost & g).sum()), int((clean & g).sum()))) for name, g in groups.items()}
