"""Finding and reading configs: packaged ones by name, one's own by path."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from perception.engine.packaged import find_file, folders
from perception.errors import InputError, PerceptionError, UnknownNameError

__all__ = ["apply_options", "find_config", "load_config", "packaged_configs", "parse_options"]

PACKAGE = "perception.configs"


def packaged_configs() -> list[str]:
    """Names of all shipped configs, such as ``lane_detection/ganet_tiny_sim.py``; bases are left out."""
    names = (path.relative_to(root).as_posix() for root in folders(PACKAGE) for path in root.rglob("*.py"))
    return sorted(name for name in names if "_base_" not in name)


def find_config(name: str | Path) -> Path:
    """A path to a config: ``name`` is a file of one's own or the name of a shipped config (``.py`` may be left out).

    Raises:
        UnknownNameError: Neither exists; suggests close matches.
    """
    trimmed = Path(name).as_posix().removeprefix("configs/")
    path = find_file(PACKAGE, name, f"{name}.py", trimmed)
    if path is None:
        raise UnknownNameError("config", str(name), packaged_configs())
    return path


def load_config(name: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config and apply dotted ``options`` (see :func:`apply_options`).

    Raises:
        UnknownNameError: No such config.
        InputError: It exists but cannot be read; names the file and line.
    """
    path = find_config(name)
    try:
        config = Config.fromfile(str(path))
    except SyntaxError as error:
        raise InputError(path, f"line {error.lineno}", "valid Python", str(error.msg)) from error
    except Exception as error:
        raise InputError(path, "", "a readable config", f"{type(error).__name__}: {error}") from error
    if options:
        apply_options(config, options)
    return config


def parse_options(pairs: Sequence[str] | None) -> dict[str, Any]:
    """``["a.b=1", "c=text"]`` -> dict; values are Python literals, anything else stays text."""
    options: dict[str, Any] = {}
    for pair in pairs or ():
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise PerceptionError(f"--cfg-options: expected key=value, found {pair!r}")
        try:
            options[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            options[key] = text
    return options


def apply_options(config: Config, options: Mapping[str, Any]) -> None:
    """Set dotted keys in place. The parent of a key must exist, so that a typo cannot pass unnoticed.

    A text at the top level that other keys were made from, such as ``data_root``, changes in those too.

    Raises:
        UnknownNameError: A part of the path does not exist; suggests close matches.
        PerceptionError: Other keys were made from a number or list at the top level; names them.
    """
    for key, value in options.items():
        if key in config and _is_variable(config, key):
            _set_copies(config, key, value)
        node: Any = config
        *parents, last = key.split(".")
        for part in parents:
            node = _child(node, part, key)
        if isinstance(node, (list, tuple)):
            _child(node, last, key)
            node[int(last)] = value  # type: ignore[index]
        elif isinstance(node, (Mapping, Config)) and (last in node or (node is not config and _may_add(node))):
            node[last] = value  # type: ignore[index]
        else:
            _child(node, last, key)  # raises


def _is_variable(config: Config, name: str) -> bool:
    """Whether the text of the config (its bases included) uses a top-level name as a value."""
    return re.search(rf"[=(\[,]\s*{re.escape(name)}\b(?!\s*=)", str(config.text)) is not None


def _set_copies(config: Config, name: str, value: Any) -> None:
    """Change the values that were made from a top-level name."""
    before = config[name]
    copies = [path for path in _paths_to(config, before) if path != (name,)]
    if copies and not (isinstance(before, str) and isinstance(value, str)):
        keys = ", ".join(".".join(path) for path in copies)
        raise PerceptionError(f"--cfg-options {name}: other keys were already made from it; change these: {keys}")
    for *parents, last in copies:
        node: Any = config
        for part in parents:
            node = _child(node, part, name)
        node[int(last) if isinstance(node, list) else last] = value


def _paths_to(node: Any, value: Any) -> Iterator[tuple[str, ...]]:
    """Where in a tree of dicts and lists a value stands, the outermost places only."""
    items = node.items() if isinstance(node, (Mapping, Config)) else enumerate(node) if isinstance(node, list) else ()
    for key, child in items:
        if type(child) is type(value) and child == value:
            yield (str(key),)
        else:
            yield from ((str(key), *path) for path in _paths_to(child, value))


def _child(node: Any, part: str, key: str) -> Any:
    if isinstance(node, (list, tuple)):
        if not part.lstrip("-").isdigit() or not -len(node) <= int(part) < len(node):
            raise UnknownNameError(f"list index in {key!r}", part, [str(i) for i in range(len(node))])
        return node[int(part)]
    if not isinstance(node, (Mapping, Config)) or part not in node:
        known = [str(name) for name in node] if isinstance(node, (Mapping, Config)) else []
        raise UnknownNameError(f"config key in {key!r}", part, known)
    return node[part]


def _may_add(node: Mapping[str, Any]) -> bool:
    """A dict with ``type`` takes any constructor argument, which the constructor itself will check."""
    return "type" in node
