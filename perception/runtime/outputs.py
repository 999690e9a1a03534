"""From the names of sinks in a config or on the command line to sinks."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perception.errors import PerceptionError, UnknownNameError
from perception.sinks.base import Sink
from perception.sinks.table import sink_class

__all__ = ["build_sinks", "sink_options"]

Options = Mapping[str, Mapping[str, Any]]


def build_sinks(
    entries: Sequence[Mapping[str, Any]],
    out: Path,
    names: Sequence[str] | None = None,
    copy_inputs: bool = False,
    options: Options | None = None,
    dataset: Path | None = None,
) -> list[Sink]:
    """Make the sinks of a run.

    Args:
        entries: The config's sinks: ``type`` (short or registered name) and constructor keywords.
        out: Folder of the run.
        names: Sinks wanted instead; those the config has too keep its keywords. None takes the config's.
        copy_inputs: Ask those sinks that can for a copy of the inputs.
        options: Sink -> keywords that replace those of the config.
        dataset: Folder that the drives of one call share, for those sinks that can use one.

    Raises:
        UnknownNameError: A sink or one of its keywords does not exist; suggests close matches.
        PerceptionError: A sink cannot be made, is named twice, is not used but has options, or none can copy inputs.
    """
    given = {sink_class(str(entry["type"])): entry for entry in entries}
    if len(given) < len(entries):
        raise PerceptionError(f"sinks: expected each sink once, found {', '.join(str(e['type']) for e in entries)}")
    wanted = list(given) if names is None else list(dict.fromkeys(sink_class(name) for name in names))
    changes = {sink_class(name): values for name, values in (options or {}).items()}
    for unused in set(changes) - set(wanted):
        raise PerceptionError(f"options of sink {unused.__name__}, which is not among the sinks of the run")
    copying = False
    sinks: list[Sink] = []
    for cls in wanted:
        arguments = {**given.get(cls, {}), **changes.get(cls, {})}
        arguments.pop("type", None)
        known = [key for key in inspect.signature(cls).parameters if key != "out"]
        for key in arguments:
            if key not in known:
                raise UnknownNameError(f"key of sink {cls.__name__}", key, known)
        if copy_inputs and "copy_inputs" in known:
            arguments["copy_inputs"] = copying = True
        if dataset is not None and "dataset" in known:
            arguments.setdefault("dataset", dataset)
        sinks.append(cls(out, **arguments))
    if copy_inputs and not copying:
        raise PerceptionError("--copy-inputs: none of the sinks stores inputs; add mcap to --sinks")
    return sinks


def sink_options(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """``{"png.every": 5}`` -> ``{"png": {"every": 5}}``.

    Raises:
        PerceptionError: A key is not ``sink.option``.
    """
    found: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        sink, dot, option = key.partition(".")
        if not dot or not option:
            raise PerceptionError(f"--sink-options: expected sink.option=value, found {key!r}")
        found.setdefault(sink, {})[option] = value
    return found
