"""Which of the shipped pipelines can run on a drive, and why the others cannot."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from perception.engine.config import load_config, packaged_configs
from perception.errors import PerceptionError
from perception.runtime.config import parse_pipeline
from perception.runtime.graph import build_graph
from perception.runtime.preflight import obstacles
from perception.sources.base import DriveInfo

__all__ = ["shipped_pipelines", "verdicts"]


def shipped_pipelines() -> list[str]:
    """Names of the pipeline configs that ship with the package, as ``--pipeline`` takes them."""
    return [name for name in packaged_configs() if name.startswith("pipelines/")]


def verdicts(info: DriveInfo, pipelines: Sequence[str] | None = None, blind: Collection[str] = ()) -> dict[str, str]:
    """Pipeline -> why it cannot run on a drive; an empty text when it can.

    A pipeline of which only some stages can run says so.

    Args:
        info: What the drive holds.
        pipelines: Configs to try; None tries all that ship.
        blind: Cameras known to have no picture that can be read.
    """
    return {name: _verdict(name, info, blind) for name in (shipped_pipelines() if pipelines is None else pipelines)}


def _verdict(name: str, info: DriveInfo, blind: Collection[str]) -> str:
    try:
        graph = build_graph(parse_pipeline(load_config(name), name), "cpu")
        reasons = obstacles(graph, info, graph.assign(tuple(info.cameras), None, info.yaws), blind)
    except PerceptionError as error:
        return str(error).splitlines()[0]
    except Exception as error:  # a plugin of somebody else must not end the description of a drive
        return f"it cannot be built: {type(error).__name__}: {error}"
    if not reasons:
        return ""
    text = "; ".join(f"{stage}: {reason}" for stage, reason in reasons.items())
    return text if len(reasons) == len(graph.nodes) else f"runs in part; {text}"
