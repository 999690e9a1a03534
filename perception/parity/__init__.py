"""Parity with the original implementations: golden cases, comparison under their tolerances, weights by rule.

A plugin declares ``PluginSpec(parity={"family": "module:function"})``, the core its own families in ``core_runners``;
the function gets a ``GoldenCase`` and returns or yields a ``ParityRow`` for every compared tensor. It raises
``UncoveredError`` for a kind of case it does not know. Several plugins may declare the same family: each runs the cases
it knows, and a case that none of them knows is uncovered.
"""

from perception.parity.case import Arrays, GoldenCase, UncoveredError
from perception.parity.comparison import (
    ParityRow,
    compare,
    compare_differs,
    compare_scaled,
    compare_sets,
    compare_to_max,
)
from perception.parity.fill import fill_state
from perception.parity.runner import CaseResult, exit_code, find, run, to_dict

__all__ = [
    "Arrays",
    "CaseResult",
    "GoldenCase",
    "ParityRow",
    "UncoveredError",
    "compare",
    "compare_differs",
    "compare_scaled",
    "compare_sets",
    "compare_to_max",
    "exit_code",
    "fill_state",
    "find",
    "run",
    "to_dict",
]
