"""Comparing an output with its golden value, under every kind of tolerance that golden sets state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from perception.parity.case import GoldenCase


@dataclass(frozen=True)
class ParityRow:
    """One compared tensor.

    Attributes:
        case: Name of the case.
        tensor: What was compared.
        max_error: Largest difference, in the measure of the tolerance; infinite when the shapes differ.
        tolerance: What was allowed, as text.
        ok: Whether it holds.
        note: Why it does not, or what is special.
    """

    case: str
    tensor: str
    max_error: float
    tolerance: str
    ok: bool
    note: str = ""


def compare(
    case: GoldenCase | str,
    tensor: str,
    ours: Any,
    expected: Any,
    rtol: float = 0.0,
    atol: float = 0.0,
    atol_of_max: float = 0.0,
    outliers: float = 0.0,
) -> ParityRow:
    """Compare element by element: ``|ours - expected| <= atol + atol_of_max * max|expected| + rtol * |expected|``.

    Args:
        case: The case, or its name.
        tensor: Name of the row.
        ours: Array, torch tensor or number.
        expected: The golden value. All tolerances 0 (the default) means equal; NaN equals NaN at the same place.
        rtol: Allowed difference relative to the element.
        atol: Allowed absolute difference.
        atol_of_max: Allowed difference relative to the largest absolute golden value.
        outliers: Share of elements that may exceed the tolerance.

    Returns:
        The row; ``max_error`` is the largest absolute difference.
    """
    stated = [f"{name} {value:g}" for name, value in (("rtol", rtol), ("atol", atol)) if value]
    stated += [f"{atol_of_max:g} of max"] if atol_of_max else []
    stated += [f"{outliers:.3g} outliers"] if outliers else []
    text = ", ".join(stated) or "exact"
    a, b = as_array(ours), as_array(expected)
    if problem := _mismatch(a, b):
        return ParityRow(_name(case), tensor, float("inf"), text, False, problem)
    error = difference(a, b)
    size = magnitude(b)
    limit = atol + atol_of_max * size.max(initial=0.0) + rtol * size
    wrong = ~(error <= limit)
    ok = bool(wrong.sum() <= outliers * wrong.size)
    note = f"{int(wrong.sum())} of {wrong.size} differ" if wrong.any() else ""
    return ParityRow(_name(case), tensor, float(error.max(initial=0.0)), text, ok, note)


def compare_to_max(case: GoldenCase | str, tensor: str, ours: Any, expected: Any, tolerance: float) -> ParityRow:
    """Compare ``max|ours - expected| / max|expected|`` with the tolerance; integers must be equal."""
    return _compare_normed(case, tensor, ours, expected, tolerance, offset=0.0)


def compare_scaled(case: GoldenCase | str, tensor: str, ours: Any, expected: Any, tolerance: float) -> ParityRow:
    """Compare ``max|ours - expected| / (1 + max|expected|)`` with the tolerance; integers must be equal."""
    return _compare_normed(case, tensor, ours, expected, tolerance, offset=1.0)


def _compare_normed(
    case: GoldenCase | str, tensor: str, ours: Any, expected: Any, tolerance: float, offset: float
) -> ParityRow:
    a, b = as_array(ours), as_array(expected)
    if b.dtype.kind not in "fc":
        return compare(case, tensor, a, b)
    text = f"{tolerance:g} of {'1 + ' if offset else ''}max"
    if problem := _mismatch(a, b):
        return ParityRow(_name(case), tensor, float("inf"), text, False, problem)
    worst, size = difference(a, b).max(initial=0.0), offset + magnitude(b).max(initial=0.0)
    error = float(worst / size) if size else (0.0 if worst == 0 else float("inf"))
    return ParityRow(_name(case), tensor, error, text, error <= tolerance)


def compare_sets(
    case: GoldenCase | str, tensor: str, ours: Iterable[Any], expected: Iterable[Any], allowed: int = 0
) -> ParityRow:
    """Compare two sets of rows or values without regard to order.

    Args:
        case: The case, or its name.
        tensor: Name of the row.
        ours: Array (N, D), or any values that can be put into a set.
        expected: The golden set.
        allowed: How many members may be in only one of them: decisions closer to their boundary than the numerical
            tolerance.

    Returns:
        The row; ``max_error`` is the number of members in only one set.
    """
    a, b = _members(ours), _members(expected)
    extra, missing = len(a - b), len(b - a)
    note = f"{extra} extra, {missing} missing" if extra or missing else ""
    text = f"{allowed} set differences"
    return ParityRow(_name(case), tensor, float(extra + missing), text, extra + missing <= allowed, note)


def compare_differs(case: GoldenCase | str, tensor: str, ours: Any, expected: Any, atol: float = 1e-3) -> ParityRow:
    """Check that an output does *not* equal a stored value, which records a defect of the original.

    Returns:
        The row; ok when the shapes agree and the largest difference exceeds ``atol``.
    """
    a, b = as_array(ours), as_array(expected)
    text = f"must differ by > {atol:g}"
    if problem := _mismatch(a, b):
        return ParityRow(_name(case), tensor, float("inf"), text, False, problem)
    worst = float(difference(a, b).max(initial=0.0))
    return ParityRow(_name(case), tensor, worst, text, worst > atol, "" if worst > atol else "reproduces the defect")


def as_array(value: Any) -> np.ndarray:
    """Return a value as an array; torch tensors are detached and copied to the CPU."""
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return |a - b| as float64; 0 where both are NaN or the same infinity, infinite where only one is finite.

    Text counts as 0 where equal and 1 elsewhere.
    """
    if "U" in (a.dtype.kind, b.dtype.kind):
        return (a != b).astype(np.float64)
    if a.dtype.kind in "iub" and b.dtype.kind in "iub":
        low, high = np.minimum(a, b), np.maximum(a, b)
        return (high.astype(np.float64) - low.astype(np.float64)) + ((low != high) & (low.astype(float) == high))
    wide = [array.astype(np.complex128 if array.dtype.kind == "c" else np.float64) for array in (a, b)]
    with np.errstate(invalid="ignore"):
        error = np.abs(wide[0] - wide[1])
    same = (wide[0] == wide[1]) | (np.isnan(wide[0]) & np.isnan(wide[1]))
    return np.where(same, 0.0, np.where(np.isnan(error), np.inf, error))


def magnitude(b: np.ndarray) -> np.ndarray:
    """Return |b| as float64, 0 for what is not finite or not a number."""
    if b.dtype.kind not in "iubfc":
        return np.zeros(b.shape)
    size = np.abs(b.astype(np.complex128 if b.dtype.kind == "c" else np.float64))
    return np.where(np.isfinite(size), size, 0.0)


def _mismatch(a: np.ndarray, b: np.ndarray) -> str:
    if a.shape != b.shape:
        return f"shape {a.shape}, expected {b.shape}"
    if "O" in (a.dtype.kind, b.dtype.kind) or (a.dtype.kind == "U") != (b.dtype.kind == "U"):
        return f"dtype {a.dtype}, expected {b.dtype}"
    return ""


def _members(values: Iterable[Any]) -> set[Any]:
    rows = values.tolist() if isinstance(values, np.ndarray) else list(values)
    return {tuple(row) if isinstance(row, (list, np.ndarray)) else row for row in rows}


def _name(case: GoldenCase | str) -> str:
    return case if isinstance(case, str) else case.name
