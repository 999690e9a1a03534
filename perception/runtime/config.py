"""Pipeline configs: what runs on a drive, checked before anything heavy is loaded.

A config is a text config with one dict::

    pipeline = dict(
        name="lanes_front",
        stages=[dict(name="lanes", type="LaneDetectionStage", plugin="lane_detection", every=1, ...)],
        sinks=["jsonl", dict(type="video", fps=10)],
    )
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perception.engine.config import load_config
from perception.errors import InputError, PerceptionError, UnknownNameError

__all__ = ["PipelineConfig", "StageConfig", "parse_pipeline", "topological_order"]

PIPELINE_KEYS = ("name", "stages", "sinks", "executor")
EXECUTORS = ("sequential", "threads")


@dataclass(frozen=True)
class StageConfig:
    """One stage of a pipeline.

    Attributes:
        name: Unique name inside the pipeline; results and faults carry it.
        type: Registered name of the stage class.
        plugin: Plugin whose modules register ``type``; empty when it is registered already.
        inputs: Names of the stages whose results this one gets.
        every: Run on each ``every``-th frame of the run.
        device: ``auto`` (CUDA when there is one), ``cpu``, ``cuda``, ``cuda:1``, ...
        cameras: Camera slot of the model -> camera of the drive, where names differ.
        arguments: Everything else, passed to the constructor.
    """

    name: str
    type: str
    plugin: str
    inputs: tuple[str, ...]
    every: int
    device: str
    cameras: Mapping[str, str]
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class PipelineConfig:
    """A checked pipeline.

    Attributes:
        name: Name for reports.
        stages: In the order of the config file.
        sinks: Constructor keywords of each sink, with ``type``.
        content: The plain dict it was read from.
        executor: ``sequential``, or ``threads``: stages that do not need each other run side by side.
    """

    name: str
    stages: tuple[StageConfig, ...]
    sinks: tuple[Mapping[str, Any], ...]
    content: Mapping[str, Any]
    executor: str = "sequential"

    def digest(self) -> str:
        """SHA-256 of the stages and of the model configs they name; equal for pipelines that compute the same."""
        models = [_model_config(stage) for stage in self.stages]
        text = json.dumps([self.content["stages"], models], sort_keys=True, default=repr)
        return hashlib.sha256(text.encode()).hexdigest()


def parse_pipeline(config: Mapping[str, Any], origin: str = "config") -> PipelineConfig:
    """Check a loaded config and turn its ``pipeline`` into a :class:`PipelineConfig`.

    Args:
        config: The loaded file; only its ``pipeline`` is looked at.
        origin: Name of the file for error messages.

    Raises:
        InputError: A value has the wrong form, a name is used twice or stages wait for each other.
        UnknownNameError: A key or an input stage does not exist.
    """
    pipeline = config.get("pipeline")
    if not isinstance(pipeline, Mapping):
        raise InputError(origin, "pipeline", "a dict with name, stages and sinks", _describe(pipeline))
    pipeline = _plain(pipeline)
    for key in pipeline:
        if key not in PIPELINE_KEYS:
            raise UnknownNameError(f"key in 'pipeline' of {origin}", str(key), PIPELINE_KEYS)
    entries = pipeline.get("stages")
    if not isinstance(entries, list) or not entries:
        raise InputError(origin, "pipeline.stages", "a list with at least one stage", _describe(entries))
    stages = tuple(_parse_stage(entry, f"pipeline.stages[{i}]", origin) for i, entry in enumerate(entries))
    _check_graph(stages, origin)
    sinks = pipeline.get("sinks", ["jsonl"])
    if not isinstance(sinks, list):
        raise InputError(origin, "pipeline.sinks", "a list of sink names or dicts", _describe(sinks))
    executor = pipeline.get("executor", "sequential")
    if executor not in EXECUTORS:
        raise UnknownNameError(f"executor of the pipeline in {origin}", str(executor), EXECUTORS)
    parsed = tuple(_parse_sink(entry, f"pipeline.sinks[{i}]", origin) for i, entry in enumerate(sinks))
    return PipelineConfig(
        str(pipeline.get("name", "pipeline")), stages, parsed, {**pipeline, "stages": entries}, executor
    )


def topological_order(inputs: Mapping[str, Sequence[str]]) -> list[str]:
    """Stage names so that each comes after its inputs; otherwise in the order given.

    Raises:
        PerceptionError: Stages wait for each other; names them.
    """
    order: list[str] = []
    waiting = dict(inputs)
    while waiting:
        ready = next((name for name, needed in waiting.items() if not set(needed) & set(waiting)), None)
        if ready is None:
            raise PerceptionError(f"stages wait for each other: {' -> '.join(_cycle(waiting))}")
        order.append(ready)
        del waiting[ready]
    return order


def _model_config(stage: StageConfig) -> Any:
    name = stage.arguments.get("config")
    if not isinstance(name, str):
        return None
    try:
        return _plain(load_config(name).to_dict())
    except UnknownNameError:  # not a config file of ours; the constructor knows what it means
        return None


def _cycle(waiting: Mapping[str, Sequence[str]]) -> list[str]:
    path = [next(iter(waiting))]
    while path.count(path[-1]) < 2:
        path.append(next(name for name in waiting[path[-1]] if name in waiting))
    return path[path.index(path[-1]) :]


def _parse_stage(entry: Any, record: str, origin: str) -> StageConfig:
    if not isinstance(entry, Mapping):
        raise InputError(origin, record, "a dict", _describe(entry))
    rest = dict(entry)
    stage_type = rest.pop("type", None)
    if not isinstance(stage_type, str):
        raise InputError(origin, f"{record}.type", "the registered name of a stage", _describe(stage_type))
    name = rest.pop("name", stage_type)
    if not isinstance(name, str) or not name.replace("-", "_").isidentifier():
        raise InputError(origin, f"{record}.name", "letters, digits, '_' and '-'", repr(name))
    inputs = rest.pop("inputs", ())
    if isinstance(inputs, str) or not all(isinstance(item, str) for item in inputs):
        raise InputError(origin, f"{record}.inputs", "a list of stage names", repr(inputs))
    every = rest.pop("every", 1)
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        raise InputError(origin, f"{record}.every", "a whole number from 1", repr(every))
    cameras = rest.pop("cameras", {})
    if not isinstance(cameras, Mapping):
        raise InputError(
            origin, f"{record}.cameras", "a dict of camera slot -> camera of the drive", _describe(cameras)
        )
    return StageConfig(
        name=name,
        type=stage_type,
        plugin=str(rest.pop("plugin", "")),
        inputs=tuple(inputs),
        every=every,
        device=str(rest.pop("device", "auto")),
        cameras=dict(cameras),
        arguments=rest,
    )


def _parse_sink(entry: Any, record: str, origin: str) -> dict[str, Any]:
    if isinstance(entry, str):
        return {"type": entry}
    if isinstance(entry, Mapping) and isinstance(entry.get("type"), str):
        return dict(entry)
    raise InputError(origin, record, "the name of a sink or a dict with its type", _describe(entry))


def _check_graph(stages: Sequence[StageConfig], origin: str) -> None:
    by_name: dict[str, StageConfig] = {}
    for stage in stages:
        if stage.name in by_name:
            raise InputError(origin, f"stage {stage.name!r}", "a name used once", "two stages of that name")
        by_name[stage.name] = stage
    for stage in stages:
        for needed in stage.inputs:
            if needed not in by_name:
                raise UnknownNameError(f"input stage of {stage.name!r} in {origin}", needed, by_name)
            if stage.every % by_name[needed].every:
                expected = f"a multiple of {by_name[needed].every}, as its input {needed!r} runs every that many frames"
                raise InputError(origin, f"stage {stage.name!r}: every", expected, str(stage.every))
    try:
        topological_order({stage.name: stage.inputs for stage in stages})
    except PerceptionError as error:
        raise InputError(origin, "pipeline.stages", "stages without a cycle", str(error)) from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _describe(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {value!r}"
