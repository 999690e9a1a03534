"""Comparing validation scores."""

from __future__ import annotations

import math
from collections.abc import Mapping

from perception.errors import PerceptionError, UnknownNameError

__all__ = ["is_better", "monitored"]


def monitored(metrics: Mapping[str, float], name: str) -> tuple[str, float]:
    """Name and value of a metric; ``"auto"`` means the first.

    Raises:
        UnknownNameError: No such metric; suggests close matches.
    """
    if name == "auto":
        name = next(iter(metrics))
    if name not in metrics:
        raise UnknownNameError("validation metric", name, metrics)
    return name, float(metrics[name])


def is_better(value: float, best: float | None, rule: str, margin: float = 0.0) -> bool:
    """Whether a value beats the best by more than a margin; what is not finite never does.

    Raises:
        PerceptionError: The rule is neither ``greater`` nor ``less``.
    """
    if rule not in ("greater", "less"):
        raise PerceptionError(f"rule must be 'greater' or 'less', found {rule!r}")
    if not math.isfinite(value):
        return False
    return best is None or (value > best + margin if rule == "greater" else value < best - margin)
