"""The threat model of an attack in words: what the attacker knows, may do and spends, and on what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perception.attack import AttackSample

from .attacks import BLACK_BOX, AttackConfig
from .signs import INCH_MM, parse_patch_size
from .surfaces import Surface

__all__ = ["describe"]

SCOPE_TEXTS = {
    "universal": "one patch for all surfaces",
    "per_class": "a patch for each class",
    "per_instance": "a patch for each surface, by an attacker who has seen it",
}


def describe(config: AttackConfig, target: Any, samples: Sequence[AttackSample] = ()) -> dict[str, Any]:
    """The threat model as plain data: what the attacker knows, may do and spends, and on what."""
    surfaces = [surface for sample in samples for surface in sample.surfaces]
    return {
        "goal": config.goal,
        "knowledge": "black box" if config.method in BLACK_BOX else "white box",
        "scope": SCOPE_TEXTS[config.scope],
        "size": _sticker_text(config.size) if config.size else "the whole surface",
        **({"surface": _surface_text(surfaces)} if surfaces else {}),
        "method": config.method,
        "budget": f"{config.steps} {'queries' if config.method in BLACK_BOX else 'steps'}",
        "victim": type(target).__name__,
        "seed": config.seed,
    }


def _sticker_text(size: str) -> str:
    """A sticker with its size in centimetres, ``25.4 x 25.4 cm, bottom``."""
    found = parse_patch_size(size)
    height, width = (value * INCH_MM / 10 for value in (found.height_in, found.width_in))
    return f"{'two of ' if found.count == 2 else ''}{height:g} x {width:g} cm, {found.place}"


def _surface_text(surfaces: Sequence[Surface]) -> str:
    """What kinds of surfaces there are and how large."""
    names = sorted({surface.label or surface.surface_id or surface.shape for surface in surfaces})
    sizes = [tuple(sorted({100 * surface.size_m[k] for surface in surfaces})) for k in (0, 1)]
    spans = [f"{s[0]:g}" if len(s) == 1 else f"{s[0]:g} to {s[-1]:g}" for s in sizes]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}; {spans[0]} x {spans[1]} cm"
