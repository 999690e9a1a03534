"""Plugins: one typed description each, found in ``perception.plugins`` and by the entry-point group of that name."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType, ModuleType

from perception.errors import PerceptionError, UnknownNameError

__all__ = ["PluginFailure", "PluginIndex", "PluginSpec", "discover", "get", "load"]

GROUP = "perception.plugins"


@dataclass(frozen=True)
class PluginSpec:
    """What a plugin is, without importing its heavy parts.

    Attributes:
        name: Unique name, as used in pipeline configs.
        task: What it does, in a word or two: ``"2-D lane detection"``.
        summary: One line for ``perception plugins``.
        result: Kind of its results (``Result.KIND``), empty for none.
        sensors: What it needs, for example ``("camera:front",)``.
        modules: Absolute names of the modules that register its components; imported by :func:`load`.
        configs: Shipped configs, relative to ``perception.configs``.
        weights: Shipped weights, file names in ``perception.weights``.
        capabilities: What other plugins may ask for, for example ``"DifferentiableFromImage"``.
        parity: Golden family -> ``"module:function"`` that runs one case (``perception.parity``); plugins may
            share a family.
        bench: Modules that register benchmarks (``perception.bench``).
        datasets: Name -> ``"module:attribute"`` of a ``DatasetTool`` (``perception data``).
    """

    name: str
    task: str
    summary: str = ""
    result: str = ""
    sensors: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    capabilities: frozenset[str] = frozenset()
    parity: Mapping[str, str] = field(default_factory=dict)
    bench: tuple[str, ...] = ()
    datasets: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise PerceptionError(f"plugin name {self.name!r}: expected a Python identifier")
        for key in ("sensors", "modules", "configs", "weights", "bench"):
            if isinstance(getattr(self, key), str):
                raise PerceptionError(f"plugin {self.name!r}: {key}: expected a tuple of strings, found one string")
        for key in ("parity", "datasets"):
            object.__setattr__(self, key, MappingProxyType(dict(getattr(self, key))))


@dataclass(frozen=True)
class PluginFailure:
    """A plugin that could not be imported: its name, where it was found, the reason and the traceback."""

    name: str
    origin: str
    reason: str
    details: str = ""


@dataclass(frozen=True)
class PluginIndex:
    """All plugins by name, and those that failed."""

    specs: Mapping[str, PluginSpec]
    failures: tuple[PluginFailure, ...] = ()


@lru_cache(maxsize=1)
def discover() -> PluginIndex:
    """Find every plugin; one that fails is reported in ``failures`` and never stops the others.

    Built-in plugins are the sub-packages of ``perception.plugins`` with a ``PLUGIN``; third-party ones are entry points
    of the group ``perception.plugins`` that resolve to a :class:`PluginSpec` or to a module with a ``PLUGIN``.
    """
    specs: dict[str, PluginSpec] = {}
    failures: list[PluginFailure] = []
    for name, origin, resolve in [*_built_in(), *_entry_points()]:
        try:
            found = resolve()
            spec = found if isinstance(found, PluginSpec) else getattr(found, "PLUGIN", None)
            if not isinstance(spec, PluginSpec):
                raise PerceptionError(f"expected a PluginSpec named PLUGIN, found {type(spec).__name__}")
            if spec.name in specs:
                raise PerceptionError(f"the name {spec.name!r} is taken by another plugin")
            specs[spec.name] = spec
        except Exception as error:  # a broken plugin must not take the others down
            failures.append(PluginFailure(name, origin, f"{type(error).__name__}: {error}", traceback.format_exc()))
    return PluginIndex(MappingProxyType(dict(sorted(specs.items()))), tuple(failures))


def get(name: str) -> PluginSpec:
    """The plugin of that name.

    Raises:
        UnknownNameError: No such plugin; suggests close matches.
        PerceptionError: It exists but failed to import; the text says why.
    """
    index = discover()
    if name in index.specs:
        return index.specs[name]
    for failure in index.failures:
        if failure.name == name:
            raise PerceptionError(f"plugin {name!r} ({failure.origin}) failed to import: {failure.reason}")
    raise UnknownNameError("plugin", name, index.specs)


def load(name: str) -> PluginSpec:
    """Import the modules of a plugin, so that its components are registered."""
    spec = get(name)
    for module in spec.modules:
        importlib.import_module(module)
    return spec


def _built_in():
    package: ModuleType = importlib.import_module(GROUP)
    for info in pkgutil.iter_modules(package.__path__):
        if info.ispkg:
            module = f"{GROUP}.{info.name}"
            yield info.name, module, lambda module=module: importlib.import_module(module)


def _entry_points():
    for point in importlib.metadata.entry_points(group=GROUP):
        yield point.name, f"entry point {point.value}", point.load
