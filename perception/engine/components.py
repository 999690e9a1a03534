"""Components that a config names, checked before anything is built: types, and names of their arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.registry import Registry

from perception.errors import InputError, PerceptionError, suggestion

__all__ = ["check_component", "config_part"]


def check_component(
    path: str | Path, key: str, options: Any, registry: Registry, nested: Mapping[str, Registry] | None = None
) -> None:
    """Refuse a component that its registry cannot build; nothing is built.

    Args:
        path: File of the config, for errors.
        key: Where the component stands in it, ``eval_data.dataset``.
        options: Its ``type`` and arguments.
        registry: Where the type is looked up; its name says what is missing in errors.
        nested: Name of an argument -> registry of the components that it holds; those are checked too.

    Raises:
        InputError: No type, an unknown one, an argument that it does not take, or one that is missing; names the file,
            the key and what there is.
    """
    kind = registry.name
    if not isinstance(options, Mapping) or "type" not in options:
        raise InputError(path, key, f"a dict with the type of the {kind}", repr(options)[:80])
    name = options["type"]
    found = registry.get(name) if isinstance(name, str) else name
    if not callable(found):
        hint = suggestion(str(name), registry.module_dict)
        raise InputError(path, f"{key}.type", f"the name of a known {kind}", f"{name!r}: {hint}")
    given = {str(argument): value for argument, value in options.items() if argument not in ("type", "_scope_")}
    _check_arguments(path, key, found, given)
    for argument, value in given.items():
        if nested and argument in nested and isinstance(value, Mapping):
            check_component(path, f"{key}.{argument}", value, nested[argument], nested)


def _check_arguments(path: str | Path, key: str, component: Callable[..., Any], given: Mapping[str, Any]) -> None:
    try:
        parameters = inspect.signature(component).parameters
    except (TypeError, ValueError):  # a callable written in C says nothing of its arguments
        return
    word = getattr(component, "__name__", str(component))
    kinds = inspect.Parameter
    named = {n: p for n, p in parameters.items() if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)}
    if not any(parameter.kind is kinds.VAR_KEYWORD for parameter in parameters.values()):
        for argument in given:
            if argument not in named:
                hint = suggestion(argument, named)
                raise InputError(path, f"{key}.{argument}", f"an argument of {word}", f"an unknown one: {hint}")
    missing = [n for n, parameter in named.items() if parameter.default is kinds.empty and n not in given]
    if missing:
        raise InputError(path, key, f"the arguments {', '.join(missing)} of {word}", "none")


@contextmanager
def config_part(path: str | Path, key: str) -> Iterator[None]:
    """Name the file and the key in errors that do not say which part of a config they speak of.

    Raises:
        PerceptionError: What was raised inside, with file and key in front; an ``InputError`` names its file already.
    """
    try:
        yield
    except InputError:
        raise
    except PerceptionError as error:
        raise PerceptionError(f"{path}: {key}: {error}") from error
