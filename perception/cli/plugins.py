"""``perception plugins [NAME]``: what is registered."""

from __future__ import annotations

import argparse
import importlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

HELP = "List the plugins, or show one: inputs, outputs, configs, weights, capabilities and registered components."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", help="show this plugin in full")
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(args: argparse.Namespace) -> int:
    """Print the list or one plugin; plugins that failed to import are listed with the reason."""
    from perception import plugin

    index = plugin.discover()
    if args.name is None:
        overview = {
            "plugins": [summary(spec) for spec in index.specs.values()],
            "failures": [
                {"name": failure.name, "origin": failure.origin, "reason": failure.reason} for failure in index.failures
            ],
        }
        print(json.dumps(overview, indent=2) if args.json else _listed(overview))
        return 0
    for failure in index.failures:
        if failure.name == args.name and failure.name not in index.specs:
            print(f"{failure.name} ({failure.origin}) failed to import:\n{failure.details}")
            return 1
    shown = details(plugin.get(args.name))
    print(json.dumps(shown, indent=2) if args.json else _described(shown))
    return 0


def summary(spec: Any) -> dict[str, Any]:
    """What a plugin declares (a ``PluginSpec``), json-able; imports none of its modules."""
    return {
        "name": spec.name,
        "task": spec.task,
        "summary": spec.summary,
        "inputs": list(spec.sensors),
        "output": spec.result,
        "configs": list(spec.configs),
        "weights": list(spec.weights),
        "capabilities": sorted(spec.capabilities),
    }


def details(spec: Any) -> dict[str, Any]:
    """:func:`summary` with the state of the shipped files and the components that its modules register.

    Modules that cannot be imported are listed under ``problems`` with the reason.
    """
    problems = [problem for module in spec.modules if (problem := _import_problem(module))]
    shown = summary(spec)
    shown["configs"] = [_shipped("perception.configs", name) for name in spec.configs]
    shown["weights"] = [_shipped_weights(name) for name in spec.weights]
    shown["parity"] = dict(spec.parity)
    shown["components"] = _components(spec.modules)
    shown["problems"] = problems
    return shown


def _import_problem(module: str) -> str:
    try:
        importlib.import_module(module)
    except Exception as error:
        return f"{module}: {type(error).__name__}: {error}"
    return ""


def _packaged(package: str, name: str) -> Path:
    return Path(str(files(package).joinpath(name)))  # str() of the folder alone is no path: it has no __init__.py


def _shipped(package: str, name: str) -> dict[str, Any]:
    path = _packaged(package, name)
    return {"name": name, "found": path.is_file(), "size": path.stat().st_size if path.is_file() else 0}


def _shipped_weights(name: str) -> dict[str, Any]:
    from perception.engine.checkpoint import weights_meta

    entry = _shipped("perception.weights", name)
    return {**entry, "meta": weights_meta(_packaged("perception.weights", name)) if entry["found"] else {}}


def _components(modules: tuple[str, ...]) -> dict[str, list[str]]:
    """Registry -> names that were registered from the packages of ``modules``."""
    import perception.registry as registry

    roots = tuple({module.rpartition(".")[0] or module for module in modules})
    found: dict[str, list[str]] = {}
    for key in registry.__all__:
        table = getattr(getattr(registry, key), "module_dict", {})
        names = [
            name
            for name, component in table.items()
            if any(f"{component.__module__}.".startswith(f"{root}.") for root in roots)
        ]
        if names:
            found[key] = sorted(names)
    return found


def _listed(overview: dict[str, Any]) -> str:
    rows = [(entry["name"], entry["task"], entry["output"] or "-", entry["summary"]) for entry in overview["plugins"]]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[3]]).rstrip() for row in rows]
    lines += [
        f"{failure['name']} ({failure['origin']}) is skipped, it failed to import: {failure['reason']}"
        for failure in overview["failures"]
    ]
    return "\n".join(lines) if lines else "no plugins"


def _described(shown: dict[str, Any]) -> str:
    lines = [f"{shown['name']}: {shown['task']}"]
    if shown["summary"]:
        lines.append(shown["summary"])
    lines.append(f"inputs        {', '.join(shown['inputs']) or 'none'}")
    lines.append(f"output        {shown['output'] or 'none'}")
    lines.append(f"capabilities  {', '.join(shown['capabilities']) or 'none'}")
    lines += [f"config        {entry['name']}{'' if entry['found'] else ' (missing)'}" for entry in shown["configs"]]
    for entry in shown["weights"]:
        trained = entry["meta"].get("trained_on")
        size = f"{entry['size'] / 1e6:.1f} MB{f', trained on {trained}' if trained else ''}"
        lines.append(f"weights       {entry['name']} ({size if entry['found'] else 'missing'})")
    lines += [f"parity        {family} ({runner})" for family, runner in shown["parity"].items()]
    lines += [f"{registry.lower():<13} {', '.join(names)}" for registry, names in shown["components"].items()]
    lines += [f"problem       {problem}" for problem in shown["problems"]]
    return "\n".join(lines)
