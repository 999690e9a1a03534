"""Benchmarks that compare our path with a naive one in the same process.

A group is a module of ``perception.bench.groups``; a plugin names its own modules in ``PluginSpec.bench``. Both
register with ``@benchmark(group, name, naive=..., unit=...)`` a function that prepares a ``Pair``.
"""

from __future__ import annotations

import importlib
import pkgutil

from perception import plugin
from perception.bench.core import BENCHMARKS, Benchmark, Pair, Timing, benchmark, machine, measure, run

__all__ = ["BENCHMARKS", "Benchmark", "Pair", "Timing", "benchmark", "load_groups", "machine", "measure", "run"]


def load_groups() -> tuple[str, ...]:
    """Import every module that registers benchmarks and return the names of the groups that have any."""
    groups = importlib.import_module("perception.bench.groups")
    names = [f"{groups.__name__}.{info.name}" for info in pkgutil.iter_modules(groups.__path__)]
    names += [module for spec in plugin.discover().specs.values() for module in spec.bench]
    for name in names:
        importlib.import_module(name)
    return tuple(sorted({group for group, _ in BENCHMARKS}))
