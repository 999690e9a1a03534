"""Rates of success and what they are worth: FNR, ASR, thresholds, intervals (spec section 7)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from perception.errors import PerceptionError

__all__ = [
    "ClassRates",
    "Rate",
    "attack_rates",
    "bootstrap_interval",
    "fnr_threshold",
    "summarise",
    "wilson_interval",
]

COMPAT_EPSILON = 1e-9
"""REAP adds this to the denominator of its ASR."""


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % Wilson interval.

    Attributes:
        value: successes / n, NaN when n is 0.
        n: Number of trials.
        low: Lower end.
        high: Upper end.
    """

    value: float
    n: int
    low: float
    high: float

    @classmethod
    def of(cls, successes: int, n: int) -> Rate:
        """The rate of ``successes`` in ``n`` trials."""
        low, high = wilson_interval(successes, n)
        return cls(successes / n if n else math.nan, n, low, high)


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a rate; (0, 1) when there were no trials.

    Raises:
        PerceptionError: ``successes`` is not in 0..n.
    """
    if not 0 <= successes <= n:
        raise PerceptionError(f"rate: expected successes in 0..{n}, found {successes}")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = max(centre - half, 0.0), min(centre + half, 1.0)
    return (0.0 if successes == 0 else low), (1.0 if successes == n else high)


def bootstrap_interval(
    numerators: np.ndarray,
    denominators: np.ndarray,
    clusters: Sequence[object],
    seed: int = 0,
    draws: int = 2000,
) -> tuple[float, float]:
    """95 % interval of sum(numerators) / sum(denominators) when whole clusters (scenes) are drawn with replacement.

    Args:
        numerators: (N,) of each instance.
        denominators: (N,) of each instance.
        clusters: (N,) scene of each instance.
        seed: Of the draws.
        draws: Number of resamples.

    Returns:
        Ends of the interval; NaN without trials.
    """
    index = {cluster: k for k, cluster in enumerate(dict.fromkeys(clusters))}
    if not index or float(np.sum(denominators)) == 0:
        return math.nan, math.nan
    which = np.array([index[cluster] for cluster in clusters])
    up = np.bincount(which, np.asarray(numerators, np.float64), len(index))
    down = np.bincount(which, np.asarray(denominators, np.float64), len(index))
    chosen = np.random.default_rng(seed).integers(0, len(index), (draws, len(index)))
    totals = down[chosen].sum(1)
    ratios = up[chosen].sum(1)[totals > 0] / totals[totals > 0]
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class ClassRates:
    """Counts of one class.

    Attributes:
        truths: Number of truths.
        clean: How many were detected clean.
        attacked: How many were detected attacked.
        success: Detected clean and not detected attacked.
    """

    truths: int
    clean: int
    attacked: int
    success: int

    @property
    def asr(self) -> float:
        """Attack success rate in percent, NaN when nothing was detected clean."""
        return 100 * self.success / self.clean if self.clean else math.nan

    @property
    def fnr_clean(self) -> float:
        """False negative rate on clean images in percent."""
        return 100 * (1 - self.clean / self.truths) if self.truths else math.nan

    @property
    def fnr_attacked(self) -> float:
        """False negative rate on attacked images in percent."""
        return 100 * (1 - self.attacked / self.truths) if self.truths else math.nan


def attack_rates(clean: np.ndarray, attacked: np.ndarray, threshold: float, *, compat: bool = False) -> ClassRates:
    """Count successes from the scores of the detections that matched each truth.

    Args:
        clean: (G,) score of the matched detection, 0 for none.
        attacked: (G,) the same on attacked images.
        threshold: Of the class.
        compat: As REAP: with threshold 0, a truth without detection counts as detected.
    """
    before, after = (scores >= threshold for scores in (clean, attacked))
    if not compat:
        before, after = before & (clean > 0), after & (attacked > 0)
    return ClassRates(len(clean), int(before.sum()), int(after.sum()), int((before & ~after).sum()))


def summarise(classes: Sequence[ClassRates], *, compat: bool = False) -> dict[str, float]:
    """Mean over classes ("all"), weighted by truths ("allw") and pooled ASR, and mean FNR, in percent.

    Classes without clean detections have no ASR and are left out of its means.
    """
    slack = COMPAT_EPSILON if compat else 0.0
    rated = [row for row in classes if row.clean or compat]
    asr = np.array([100 * row.success / (row.clean + slack) for row in rated], np.float64)
    weights = np.array([row.truths for row in rated], np.float64)
    clean = sum(row.clean for row in classes) + slack
    with_truth = [row for row in classes if row.truths]
    return {
        "mean_asr": float(asr.mean()) if len(asr) else math.nan,
        "weighted_asr": float((asr * weights).sum() / weights.sum()) if weights.sum() else math.nan,
        "combined_asr": 100 * sum(row.success for row in classes) / clean if clean else math.nan,
        "mean_fnr_clean": float(np.mean([row.fnr_clean for row in with_truth])) if with_truth else math.nan,
        "mean_fnr_attacked": float(np.mean([row.fnr_attacked for row in with_truth])) if with_truth else math.nan,
    }


def fnr_threshold(scores: np.ndarray, matched: np.ndarray, fnr: float, steps: int = 1000) -> float:
    """Largest of ``steps`` thresholds in [0, 1] with a clean FNR below ``fnr``, rounded to three digits.

    For data without false positives, where F1 cannot choose one.

    Args:
        scores: (N,) of the best detection of each object.
        matched: (N,) whether it matches the object.
        fnr: Requested false negative rate.
        steps: How many thresholds to try.

    Raises:
        PerceptionError: No threshold reaches it.
    """
    grid = np.linspace(0, 1, steps)
    missed = (~((scores[None] >= grid[:, None]) & (matched > 0)[None])).sum(1) / max(len(scores), 1)
    good = np.flatnonzero(missed < fnr)
    if not len(good) or not len(scores):
        raise PerceptionError(f"threshold: no score threshold has an FNR below {fnr:g} on {len(scores)} objects")
    return round(float(grid[good[-1]]), 3)
