"""From a checked pipeline config to built stages in the order they run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from perception import plugin
from perception.errors import PerceptionError, UnknownNameError
from perception.registry import STAGES
from perception.runtime.config import PipelineConfig, StageConfig, topological_order
from perception.runtime.slots import assign_cameras
from perception.runtime.stage import Stage

__all__ = ["Graph", "Node", "build_graph", "resolve_device"]

MOVABLE = ("lanes_2d", "boxes_2d")
"""Kinds in image space that can be brought back from a rectified image."""
IN_IMAGE_GRIDS = ("density_map",)


@dataclass(frozen=True)
class Node:
    """A built stage in its pipeline.

    Attributes:
        name: Name in the pipeline.
        stage: The stage.
        plugin: Plugin it came from, or empty.
        inputs: Names of its input stages.
        every: It runs on frames whose position in the run is a multiple of this.
        device: Device it was built for.
        choices: Camera slot -> camera of the drive, as far as the config says.
    """

    name: str
    stage: Stage
    plugin: str = ""
    inputs: tuple[str, ...] = ()
    every: int = 1
    device: str = "cpu"
    choices: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """The stages of a pipeline, each after its inputs."""

    nodes: tuple[Node, ...]

    @classmethod
    def of(cls, nodes: Sequence[Node]) -> Graph:
        """Order nodes so that each comes after its inputs."""
        by_name = {node.name: node for node in nodes}
        return cls(tuple(by_name[name] for name in topological_order({node.name: node.inputs for node in nodes})))

    @property
    def history_s(self) -> float:
        """Seconds of past that the pipeline needs before its results are right."""
        return max((node.stage.needs.history_s for node in self.nodes), default=0.0)

    def assign(
        self,
        cameras: Sequence[str],
        chosen: Mapping[str, str] | None = None,
        yaws: Mapping[str, float] | None = None,
    ) -> dict[str, dict[str, str]]:
        """Camera slots of all stages: stage -> slot -> camera of the drive.

        Args:
            cameras: Cameras of the drive.
            chosen: Slot -> camera, before what the config says; the slot ``""`` stands for every stage's only slot.
            yaws: Camera -> direction it looks in, radians, for slots no camera has the name of.

        Raises:
            UnknownNameError: A slot or camera does not exist; suggests close matches.
        """
        chosen = dict(chosen or {})
        known = {slot for node in self.nodes for slot in (*node.stage.needs.slots, *node.stage.needs.optional_slots)}
        for slot, camera in chosen.items():
            if slot and slot not in known:
                raise UnknownNameError("camera slot", slot, known)
            if camera not in cameras:
                raise UnknownNameError("camera", camera, cameras)
        assigned = {}
        for node in self.nodes:
            needs = node.stage.needs
            choice = {slot: camera for slot, camera in chosen.items() if slot in (*needs.slots, *needs.optional_slots)}
            if "" in chosen and len(needs.slots) == 1:
                choice[needs.slots[0]] = chosen[""]
            assigned[node.name] = assign_cameras(node.name, needs, cameras, {**node.choices, **choice}, yaws)
        return assigned


def build_graph(config: PipelineConfig, device: str | None = None, weights: Mapping[str, str] | None = None) -> Graph:
    """Build the stages of a pipeline.

    Args:
        config: Checked pipeline.
        device: Replaces the device of every stage; ``auto`` spreads all that have ``auto`` over the CUDA devices.
        weights: Stage -> weights file in place of the config's; the key ``""`` stands for the only stage with weights.

    Raises:
        UnknownNameError: A plugin, stage type, stage or constructor key does not exist; suggests close matches.
        PerceptionError: A plugin cannot be imported or a stage cannot be built; the text says which and why.
    """
    replacement = _weights_by_stage(config, weights or {})
    if device is None or device == "auto":
        config = _spread(config, replacement)
        device = None
    return Graph.of([_build_node(stage, device, replacement.get(stage.name)) for stage in config.stages])


def _spread(config: PipelineConfig, weights: Mapping[str, str]) -> PipelineConfig:
    """Put stages with device ``auto`` on the CUDA devices there are, where there is a choice."""
    from perception.runtime.parallel.placement import available
    from perception.runtime.parallel.spread import spread_stages

    rooms = available()
    if len(rooms) < 2 or sum(stage.device == "auto" for stage in config.stages) < 2:
        return config
    return spread_stages(config, rooms, lambda stage, device: _build_node(stage, device, weights.get(stage.name)).stage)


def resolve_device(name: str) -> str:
    """``auto`` -> CUDA when there is one, else the CPU; other names unchanged.

    Raises:
        PerceptionError: CUDA is asked for and not available, or torch does not know the name.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise PerceptionError(f"device {name!r}: expected auto, cpu, cuda or cuda:N, found {name!r}") from error
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        raise PerceptionError(f"device {name!r}: torch sees {found} CUDA device(s); use --device cpu or auto")
    return name


def _build_node(config: StageConfig, device: str | None, weights: str | None) -> Node:
    stage_class = _stage_class(config)
    resolved = resolve_device(device or config.device)
    arguments = dict(config.arguments)
    if weights is not None:
        arguments["weights"] = weights
    known = inspect.signature(stage_class).parameters
    takes_any = any(item.kind is inspect.Parameter.VAR_KEYWORD for item in known.values())
    if "device" in known or takes_any:
        arguments["device"] = resolved
    if not takes_any:
        for key in arguments:
            if key not in known:
                own = ("name", "type", "plugin", "inputs", "every", "device", "cameras")
                raise UnknownNameError(f"key of stage {config.name!r} ({config.type})", key, {*known, *own})
    required = [key for key, item in known.items() if item.default is item.empty and item.kind not in (2, 4)]
    missing = [key for key in required if key not in arguments]
    if missing:
        raise PerceptionError(f"stage {config.name!r} ({config.type}): missing key(s) {', '.join(missing)}")
    stage = _construct(stage_class, arguments, config)
    if stage.needs.rectified and stage.kind in IN_IMAGE_GRIDS:
        raise PerceptionError(
            f"stage {config.name!r}: expected recorded images for results of kind {stage.kind!r}, found rectified; "
            f"only {', '.join(MOVABLE)} and results in the ego frame can be brought back from a rectified image"
        )
    return Node(config.name, stage, config.plugin, config.inputs, config.every, resolved, config.cameras)


def _construct(stage_class: type[Stage], arguments: dict[str, Any], config: StageConfig) -> Stage:
    try:
        return stage_class(**arguments)
    except PerceptionError as error:
        raise PerceptionError(f"stage {config.name!r} ({config.type}): {error}") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise PerceptionError(f"stage {config.name!r} ({config.type}) cannot be built: {reason}") from error


def _stage_class(config: StageConfig) -> type[Stage]:
    if config.plugin:
        try:
            plugin.load(config.plugin)
        except ImportError as error:
            raise PerceptionError(f"plugin {config.plugin!r} cannot be imported: {error}") from error
    found = STAGES.module_dict.get(config.type)
    if found is None:
        raise UnknownNameError(f"type of stage {config.name!r}", config.type, STAGES.module_dict)
    if not (isinstance(found, type) and issubclass(found, Stage)):
        raise PerceptionError(f"stage {config.name!r}: expected {config.type} to be a Stage, found {found!r}")
    return found


def _weights_by_stage(config: PipelineConfig, weights: Mapping[str, str]) -> dict[str, str]:
    takers = [stage.name for stage in config.stages if "weights" in stage.arguments]
    chosen = dict(weights)
    for name in chosen:
        if name and name not in [stage.name for stage in config.stages]:
            raise UnknownNameError("stage", name, [stage.name for stage in config.stages])
    if "" in chosen:
        if len(takers) != 1:
            raise PerceptionError(
                f"--weights: expected STAGE=FILE as {len(takers)} stages have weights ({', '.join(takers) or 'none'})"
            )
        chosen[takers[0]] = chosen.pop("")
    return chosen
