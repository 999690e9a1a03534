"""Do the forms of an op agree? For tests, the table in docs/ops.md and, on real hardware, the GPU report.

``python -m perception.ops.verify`` prints one JSON object; with ``NUMBA_ENABLE_CUDASIM=1`` CUDA kernels are simulated.
An op takes part by a module ``check`` with a ``CHECK``.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Outputs = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Check:
    """What is needed to compare the forms of one op.

    Attributes:
        cases: Returns the keyword arguments of each case, by name; random and adversarial.
        reference: The plain definition on numpy arrays.
        cpu: The kernel for the CPU.
        cuda: The kernel for CUDA; copies to the (simulated) device and back.
        tolerance: Largest difference that counts as agreement, for sums whose order is free.
    """

    cases: Callable[[], Mapping[str, Mapping[str, Any]]]
    reference: Callable[..., Outputs]
    cpu: Callable[..., Outputs]
    cuda: Callable[..., Outputs]
    tolerance: float = 0.0


def checks() -> dict[str, Check]:
    """Return the check of every op that has one, by the op's name."""
    ops = importlib.import_module("perception.ops")
    found = {}
    for info in pkgutil.iter_modules(ops.__path__):
        name = f"perception.ops.{info.name}"
        if info.ispkg and any(
            module.name == "check" for module in pkgutil.iter_modules([f"{ops.__path__[0]}/{info.name}"])
        ):
            found[info.name] = importlib.import_module(f"{name}.check").CHECK
    return found


def difference(a: Outputs, b: Outputs) -> float:
    """Return the largest absolute difference of two results; infinite when shapes differ or one has a NaN more."""
    worst = 0.0
    for one, two in zip(a, b, strict=True):
        if one.shape != two.shape or not np.array_equal(np.isnan(one), np.isnan(two)):
            return float("inf")
        gap = np.abs(np.nan_to_num(one.astype(np.float64)) - np.nan_to_num(two.astype(np.float64)))
        worst = max(worst, float(gap.max(initial=0)))
    return worst


def compare(check: Check, forms: Sequence[str] = ("cpu", "cuda")) -> dict[str, dict[str, float]]:
    """Run every case of an op.

    Args:
        check: Of the op.
        forms: Names of the forms to compare with the reference.

    Returns:
        Largest difference from the reference by case and form.
    """
    result = {}
    for name, inputs in check.cases().items():
        expected = check.reference(**inputs)
        result[name] = {form: difference(expected, getattr(check, form)(**inputs)) for form in forms}
    return result


def main(names: Sequence[str]) -> int:
    """Print the differences of the named ops (all when none is named); 1 when some form differs."""
    known = checks()
    report = {name: compare(known[name]) for name in names or known}
    print(json.dumps(report))
    limits = {name: known[name].tolerance for name in report}
    return int(
        any(gap > limits[op] for op, cases in report.items() for case in cases.values() for gap in case.values())
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
