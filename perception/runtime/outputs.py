"""From the names of sinks in a config or on the command line to sinks."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perception.errors import PerceptionError, UnknownNameError
from perception.registry import SINKS
from perception.sinks.base import Sink

__all__ = ["ALIASES", "build_sinks"]

ALIASES = {"jsonl": "JsonLinesSink", "video": "OverlayVideoSink", "mcap": "McapSink", "png": "PngSink"}
"""Short names for the command line and for configs -> registered classes."""


def build_sinks(
    entries: Sequence[Mapping[str, Any]],
    out: Path,
    names: Sequence[str] | None = None,
    copy_inputs: bool = False,
) -> list[Sink]:
    """Make the sinks of a run.

    Args:
        entries: The config's sinks: ``type`` (short or registered name) and constructor keywords.
        out: Folder of the run.
        names: Sinks wanted instead; those the config has too keep its keywords. None takes the config's.
        copy_inputs: Ask those sinks that can for a copy of the inputs.

    Raises:
        UnknownNameError: A sink or one of its keywords does not exist; suggests close matches.
        PerceptionError: A sink cannot be made, is named twice, or none can copy inputs.
    """
    importlib.import_module("perception.sinks")
    given = {_registered(str(entry["type"])): entry for entry in entries}
    if len(given) < len(entries):
        raise PerceptionError(f"sinks: expected each sink once, found {', '.join(str(e['type']) for e in entries)}")
    wanted = list(given) if names is None else list(dict.fromkeys(_registered(name) for name in names))
    sinks, copying = [], False
    for name in wanted:
        sink_class = SINKS.module_dict[name]
        arguments = {key: value for key, value in given.get(name, {}).items() if key != "type"}
        known = [key for key in inspect.signature(sink_class).parameters if key != "out"]
        for key in arguments:
            if key not in known:
                raise UnknownNameError(f"key of sink {name}", key, known)
        if copy_inputs and "copy_inputs" in known:
            arguments["copy_inputs"] = copying = True
        sinks.append(sink_class(out, **arguments))
    if copy_inputs and not copying:
        raise PerceptionError("--copy-inputs: none of the sinks stores inputs; add mcap to --sinks")
    return sinks


def _registered(name: str) -> str:
    registered = ALIASES.get(name, name)
    if registered not in SINKS.module_dict:
        raise UnknownNameError("sink", name, {*ALIASES, *SINKS.module_dict})
    return registered
