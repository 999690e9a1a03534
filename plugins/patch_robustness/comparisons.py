"""Beside the patch: the same samples under weather and camera faults, and the same patches against other victims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perception.attack import AttackSample, AttackTarget
from perception.attack_points import PointAttackTarget, PointSample

from .attacks import AttackConfig, PatchSet, as_images
from .evaluate import evaluate, summary
from .faults import faulty
from .rates import Rate
from .victim import unchanged

__all__ = ["corruption_table", "transfer_table"]


def corruption_table(
    target: AttackTarget | PointAttackTarget,
    samples: Sequence[AttackSample] | Sequence[PointSample],
    kinds: Sequence[str],
    severities: Sequence[int] = (1, 2, 3, 4, 5),
    threshold: float = 0.3,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """The task metric of a victim under faults of its sensors, and the share of instances that get lost.

    Args:
        target: The victim; it is not changed.
        samples: Clean ones.
        kinds: See ``faults.faulty``.
        severities: Of each kind, 1 to 5.
        threshold: Score from which an instance counts as detected.
        seed: Sample ``i`` draws from ``seed + i``.

    Returns:
        A row for each kind and severity, the first for clean: ``kind``, ``severity``, ``metric``, ``lost`` (rate with
        its Wilson interval among instances detected clean).
    """
    rows: list[dict[str, Any]] = []
    cases = [("clean", 0), *((kind, severity) for kind in kinds for severity in severities)]
    before: list[np.ndarray] = []
    for kind, severity in cases[1:]:
        faulty(samples[:1], kind, severity)  # refuse what makes no sense before work starts
    with unchanged(target), torch.no_grad():
        for kind, severity in cases:
            shown: Any = samples if kind == "clean" else faulty(samples, kind, severity, seed)
            results = _predicted(target, shown)
            scores = [target.instance_scores(result, sample) for result, sample in zip(results, shown)]
            found = np.concatenate([(part >= threshold) & (part > 0) for part in scores] or [np.zeros(0, bool)])
            before = before or [found]
            rate = Rate.of(int((before[0] & ~found).sum()), int(before[0].sum()))
            lost = {"value": rate.value if rate.n else None, "n": rate.n, "low": rate.low, "high": rate.high}
            metric = target.task_metric(results, shown)
            rows.append({"kind": kind, "severity": severity, "metric": metric, "lost": lost})
    return rows


def _predicted(target: Any, samples: Sequence[Any]) -> list[Any]:
    if samples and isinstance(samples[0], PointSample):
        return list(target.predict(samples))
    return [target.predict(as_images([sample]), [sample])[0] for sample in samples]


def transfer_table(
    targets: Mapping[str, AttackTarget],
    samples: Sequence[AttackSample],
    patches: Mapping[str, Tensor | PatchSet],
    config: AttackConfig,
    threshold: float = 0.3,
) -> dict[str, dict[str, Any]]:
    """Patches that were made against one victim, scored on others.

    Returns:
        Victim -> ``clean`` (its metric) and condition -> ``asr`` and ``metric``; controls are among the conditions.
    """
    out = {}
    for name, target in targets.items():
        found = summary(evaluate(target, samples, patches, config, threshold))
        rows = {key: {"asr": part["asr"], "metric": part["metric"]} for key, part in found["conditions"].items()}
        out[name] = {"clean": {"metric": found["metric_clean"]}, **rows}
    return out
