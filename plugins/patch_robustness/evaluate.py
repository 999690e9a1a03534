"""What a patch does: the same samples clean, with a grey and a random patch, and with the patch; a row an instance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perception.attack import AttackSample, AttackTarget, check_appear, instance_details, surface_scores
from perception.errors import PerceptionError
from perception.metrics.box_match import OUTCOMES, box_outcome
from perception.structures import Boxes2D

from .attacks import AttackConfig, PatchSet, as_images, attacked_images, control_patch, of_sample
from .rates import ClassRates, Rate, bootstrap_interval, summarise
from .sequences import mean_details, sequence_summary
from .surfaces import check_surfaces, obliqueness
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
            target says about it (``lateral_m_clean``, ...); of boxes also what became of it (``outcome_clean``, one of
            ``perception.metrics.box_match.OUTCOMES``). Of the goal ``appear`` a row is a surface, and its score that
            of what is seen there though it is not.
        metrics: Condition -> the plugin's own measure.
        found: Condition -> number of detections at the threshold, right or not; None of results without scores.
        threshold: Score from which an instance counts as detected.
        examples: Condition -> (H, W, 3) uint8 of the first sample, the view of its first surface.
        predictions: Condition -> result for that sample.
        appear: Success is what was not seen clean and is seen with the patch (goal ``appear``), not what is lost.
        invented: Condition -> detections of nothing a picture, where results are boxes.
    """

    rows: list[dict[str, Any]]
    metrics: dict[str, dict[str, float]]
    found: dict[str, int | None]
    threshold: float
    examples: dict[str, np.ndarray]
    predictions: dict[str, Any]
    appear: bool = False
    invented: dict[str, float] = field(default_factory=dict)


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
        PerceptionError: No sample, a surface that is degenerate or outside its image, a reserved name, a goal the
            target cannot score, or the victim was changed.
    """
    appear = config.goal == "appear"
    if appear:
        check_appear(target)
    if not samples:
        raise PerceptionError("evaluation: expected at least one sample, found none")
    if reserved := {"clean", *CONTROLS} & set(patches):
        raise PerceptionError(f"evaluation: the names {', '.join(sorted(reserved))} are reserved for controls")
    for sample in samples:
        if sample.surfaces:
            with of_sample(sample):
                check_surfaces(sample.surfaces, [view.shape[:2] for view in sample.views], min_side=1.0)
    controls: dict[str, Tensor] = {name: control_patch(name, config.width, control_seed) for name in CONTROLS}
    conditions: dict[str, Tensor | PatchSet | None] = {"clean": None, **controls, **patches}
    rows: list[list[dict[str, Any]]] = []
    metrics, found, examples, predictions = {}, {}, {}, {}
    invented: dict[str, float] = {}
    with unchanged(target), torch.no_grad():
        for name, patch in conditions.items():
            results = []
            for number, sample in enumerate(samples):
                images = _shown(sample, patch, config)
                [result] = target.predict(images, [sample])
                results.append(result)
                scores = surface_scores(target, result, sample) if appear else target.instance_scores(result, sample)
                if len(rows) == number:
                    rows.append(_rows(sample, len(scores), appear))
                _fill(rows[number], name, scores, [] if appear else instance_details(target, result, sample))
                if name not in examples:
                    examples[name], predictions[name] = _picture(images, sample), result
            metrics[name] = target.task_metric(results, samples)
            found[name] = _count(results, threshold)
            invented |= _outcomes(name, rows, results, samples, threshold, appear)
    flat = [row for part in rows for row in part]
    return Evaluation(flat, metrics, found, threshold, examples, predictions, appear, invented)


def _shown(sample: AttackSample, patch: Tensor | PatchSet | None, config: AttackConfig) -> Tensor:
    """The images of one sample with a patch on them, in the 8 bits that a camera would store."""
    images = as_images([sample])
    if patch is not None:
        images = attacked_images(images, [sample], patch, config)
    return (images.clamp(0, 1) * 255).round() / 255


def _count(results: Sequence[Any], threshold: float) -> int | None:
    """Detections of at least ``threshold``; None where a result has no scores."""
    scores = [getattr(result, "scores", None) for result in results]
    if any(part is None for part in scores):
        return None
    return sum(int((np.asarray(part) >= threshold).sum()) for part in scores)


def _outcomes(
    name: str, rows: list[list[dict[str, Any]]], results: Sequence[Any], samples: Sequence[AttackSample],
    threshold: float, appear: bool,
) -> dict[str, float]:  # fmt: skip
    """Note what became of every true box; returns the detections of nothing a picture, empty where none are boxes."""
    if not all(isinstance(part, Boxes2D) for pair in zip(results, samples) for part in (pair[0], pair[1].truth)):
        return {}
    invented = 0
    for members, result, sample in zip(rows, results, samples):
        outcome = box_outcome(result, sample.truth, threshold)
        invented += outcome.invented
        for row in () if appear else members:
            row[f"outcome_{name}"] = outcome.of_truth[row["instance"]]
    return {name: invented / len(samples)}


def _picture(images: Tensor, sample: AttackSample) -> np.ndarray:
    """(H, W, 3) uint8 of the image, of several views that of the first surface."""
    view = sample.surfaces[0].view if images.ndim == 5 and sample.surfaces else 0
    return (images.flatten(0, -4)[view].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


def _fill(rows: list[dict[str, Any]], name: str, scores: np.ndarray, details: Sequence[Mapping[str, float]]) -> None:
    for row in rows:
        row[f"score_{name}"] = float(scores[row["instance"]])
        if details:
            row.update({f"{key}_{name}": float(value) for key, value in details[row["instance"]].items()})


def _rows(sample: AttackSample, count: int, appear: bool) -> list[dict[str, Any]]:
    """A row for each instance that carries a patch; a surface without instance (road, board) concerns all of them.

    Of the goal ``appear`` a row for each surface.
    """
    owned = [(surface.instance, surface) for surface in sample.surfaces if surface.instance is not None]
    if appear:
        owned = list(enumerate(sample.surfaces))
    elif not owned and sample.surfaces:
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
    appear = evaluation.appear
    seen = {name: _detected(rows, name, limit) for name in evaluation.metrics}
    clean = ~seen["clean"] if appear else seen["clean"]
    out: dict[str, Any] = {
        "success": "appears" if appear else "lost",
        "instances": len(rows),
        "detected_clean": int(seen["clean"].sum()),
        "valid": bool(clean.sum() >= ENOUGH),
        "fnr_clean": _plain(Rate.of(int((~seen["clean"]).sum()), len(rows))),
        "conditions": {},
        "boxes": {name: _boxes(rows, name, evaluation) for name in evaluation.invented},
    }
    for name in conditions:
        lost = clean & (seen[name] if appear else ~seen[name])
        interval = bootstrap_interval(lost, clean.astype(float), [row["scene"] for row in rows], seed)
        out["conditions"][name] = {
            "asr": _plain(Rate.of(int(lost.sum()), int(clean.sum()))),
            "asr_by_scene": _numbers(interval),
            "asr_over_classes": _over_classes(rows, clean, lost),
            "fnr": _plain(Rate.of(int((~seen[name]).sum()), len(rows))),
            "detections": evaluation.found[name],
            "metric": evaluation.metrics[name],
            "metric_change": _change(evaluation.metrics[name], evaluation.metrics["clean"]),
            "details": mean_details(rows, name, seed),
            "over_time": sequence_summary(rows, name, limit),
            "by": {
                key: _breakdown(rows, clean, lost, key)
                for key in BREAKDOWNS
                if rows and all(key in row for row in rows)
            },
        }
    out["metric_clean"], out["detections_clean"] = evaluation.metrics["clean"], evaluation.found["clean"]
    out["details_clean"] = mean_details(rows, "clean", seed)
    out["over_time_clean"] = sequence_summary(rows, "clean", limit)
    return out


def _over_classes(rows: Sequence[Mapping[str, Any]], clean: np.ndarray, lost: np.ndarray) -> dict[str, float | None]:
    """Mean of the ASR of the classes, and that weighted by their instances; a class without trials has no ASR."""
    labels = np.array([row.get("label", "") for row in rows])
    counts = []
    for label in dict.fromkeys(labels.tolist()):
        mine = labels == label
        trials, lost_here = int((clean & mine).sum()), int((lost & mine).sum())
        counts.append(ClassRates(int(mine.sum()), trials, trials - lost_here, lost_here))
    found = summarise(counts)
    values = _numbers([found["mean_asr"] / 100, found["weighted_asr"] / 100])
    return dict(zip(("mean", "weighted"), values))


def _change(metric: Mapping[str, float | None], clean: Mapping[str, float | None]) -> dict[str, float]:
    """What each measure that is known in both differs by from clean."""
    both = {key: (value, clean.get(key)) for key, value in metric.items()}
    known = {key: (v, c) for key, (v, c) in both.items() if v is not None and c is not None}
    return {key: float(v - c) for key, (v, c) in known.items() if math.isfinite(v - c)}


def _detected(rows: Sequence[Mapping[str, Any]], name: str, limit: float) -> np.ndarray:
    """(N,) whether each row is detected in a condition; a score of 0, or NaN, never is one."""
    scores = np.array([row[f"score_{name}"] for row in rows], np.float64)
    return (scores >= limit) & (scores > 0)


def _boxes(rows: Sequence[Mapping[str, Any]], name: str, evaluation: Evaluation) -> dict[str, Any]:
    """What became of the true boxes in a condition: a rate of each outcome, and detections of nothing a picture."""
    words = [row[f"outcome_{name}"] for row in rows if f"outcome_{name}" in row]
    rates = {word: _plain(Rate.of(words.count(word), len(words))) for word in OUTCOMES} if words else {}
    return {**rates, "invented_a_picture": evaluation.invented[name]}


def _plain(rate: Rate) -> dict[str, Any]:
    low, high = rate.low, rate.high
    return {"value": None if math.isnan(rate.value) else rate.value, "n": rate.n, "low": low, "high": high}


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [None if math.isnan(value) else float(value) for value in values]


def _breakdown(rows: list[dict[str, Any]], clean: np.ndarray, lost: np.ndarray, key: str) -> dict[str, Any]:
    """ASR by class, or by thirds of a measured quantity."""
    values = [row[key] for row in rows]
    if key == "label":
        groups = {str(name): np.array([value == name for value in values]) for name in sorted(set(values))}
    else:
        numbers = np.array(values, np.float64)
        if not np.isfinite(numbers).all():
            return {}
        edges = np.unique(np.quantile(numbers, [0, 1 / 3, 2 / 3, 1]))
        groups = {}
        for low, high in pairwise(edges) if len(edges) > 1 else [(edges[0], edges[0])]:
            last = high == edges[-1]
            groups[f"{low:.3g} to {high:.3g}"] = (numbers >= low) & ((numbers <= high) if last else (numbers < high))
    return {name: _plain(Rate.of(int((lost & g).sum()), int((clean & g).sum()))) for name, g in groups.items()}
