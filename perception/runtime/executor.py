"""Running a graph of stages on frames, one after the other, and what happens when something is wrong with a frame.

Fault policy: whatever goes wrong with one stage on one frame is recorded as a ``Fault`` of that frame; stages that need
the lost result are skipped with that reason, all others run. Nothing but the caller decides to stop.
"""

from __future__ import annotations

import logging
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from perception.errors import PerceptionError
from perception.runtime.graph import Graph, Node
from perception.runtime.slots import result_for_drive, result_for_stage, stage_frame
from perception.structures import Fault, Frame, Result

__all__ = ["Executor", "FrameOutput", "SequentialExecutor", "nonfinite", "size_faults"]

logger = logging.getLogger("perception.runtime")
Outcome = tuple[Node, "Result | Fault", "float | None"]


@dataclass(frozen=True, eq=False)
class FrameOutput:
    """What a pipeline made of one frame.

    Attributes:
        position: Number of the frame in the run, from 0.
        frame: The frame, with ``faults`` of the source.
        results: Stage -> result; a stage that was not due or failed is absent.
        faults: Faults of the source and of the stages.
        latency_ms: Stage -> milliseconds, for every stage that ran, also for one that failed.
    """

    position: int
    frame: Frame
    results: Mapping[str, Result] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    latency_ms: Mapping[str, float] = field(default_factory=dict)


class Executor(ABC):
    """Runs a graph on frames; implementations differ in how many frames and stages are at work at once.

    Args:
        graph: Built stages.
        cameras: Stage -> slot -> camera of the drive, see :meth:`Graph.assign`.
    """

    def __init__(self, graph: Graph, cameras: Mapping[str, Mapping[str, str]]) -> None:
        self.graph = graph
        self.cameras = cameras

    @abstractmethod
    def warmup(self) -> list[Fault]:
        """Warm up all stages; a stage that fails to is reported, and will be tried on frames all the same."""

    @abstractmethod
    def run(self, frames: Iterable[Frame], start: int = 0) -> Iterator[FrameOutput]:
        """One output for each frame, in the order of the frames; stages forget what they saw before.

        Args:
            frames: Frames of the run from position ``start`` on.
            start: Position of the first of them; decides on which frames a stage with ``every`` is due.
        """

    def close(self) -> None:
        """Release workers; the sequential executor has none."""
        return


class SequentialExecutor(Executor):
    """One frame at a time, stages in topological order, in the calling thread."""

    def warmup(self) -> list[Fault]:
        """See :meth:`Executor.warmup`."""
        faults = []
        for node in self.graph.nodes:
            try:
                node.stage.warmup()
            except Exception as error:
                logger.debug("warm-up of stage %s failed", node.name, exc_info=True)
                faults.append(Fault(node.name, "exception", f"warm-up: {_reason(error)}"))
        return faults

    def run(self, frames: Iterable[Frame], start: int = 0) -> Iterator[FrameOutput]:
        """See :meth:`Executor.run`."""
        for node in self.graph.nodes:
            node.stage.reset()
        for position, frame in enumerate(frames, start):
            yield self._run_frame(position, frame)

    def _run_frame(self, position: int, frame: Frame) -> FrameOutput:
        used = sorted({camera for slots in self.cameras.values() for camera in slots.values()})
        faults = [*frame.faults, *size_faults(frame, used)]
        results: dict[str, Result] = {}
        latency: dict[str, float] = {}
        raised: dict[str, Fault] = {}
        for group in self.groups:
            due = [node for node in group if position % node.every == 0]
            for node, outcome, milliseconds in self._outcomes(due, frame, results, faults):
                if milliseconds is not None:
                    latency[node.name] = milliseconds
                if isinstance(outcome, Result):
                    results[node.name] = outcome
                else:
                    raised[node.name] = outcome
        faults += [raised[node.name] for node in self.graph.nodes if node.name in raised]
        return FrameOutput(position, frame, results, tuple(faults), latency)

    @property
    def groups(self) -> Sequence[Sequence[Node]]:
        """Stages in the order they run; those of a group are handed to :meth:`_outcomes` together."""
        return [[node] for node in self.graph.nodes]

    def _outcomes(
        self, nodes: Sequence[Node], frame: Frame, results: Mapping[str, Result], faults: list[Fault]
    ) -> Iterable[Outcome]:
        return (self._attempt(node, frame, results, faults) for node in nodes)

    def _attempt(self, node: Node, frame: Frame, results: Mapping[str, Result], faults: list[Fault]) -> Outcome:
        """Result or fault of a stage, and how long it took unless it could not run."""
        obstacle = self._obstacle(node, frame, results, faults)
        if obstacle is not None:
            return node, obstacle, None
        began = time.perf_counter()
        outcome = self._run_stage(node, frame, results)
        return node, outcome, (time.perf_counter() - began) * 1e3

    def _obstacle(self, node: Node, frame: Frame, results: Mapping[str, Result], faults: list[Fault]) -> Fault | None:
        """Why a stage cannot run on a frame, or None."""
        needs, slots = node.stage.needs, self.cameras.get(node.name, {})
        lost = [name for name in node.inputs if name not in results]
        if lost:
            return Fault(node.name, "skipped", f"its input {', '.join(map(repr, lost))} failed")
        for camera in (slots[slot] for slot in needs.slots):
            if camera not in frame.images:
                known = [f"{fault.kind} {fault.message}".strip() for fault in faults if fault.where == camera]
                if known:
                    return Fault(node.name, "skipped", f"camera {camera!r}: {known[0]}")
                return Fault(node.name, "missing", f"no image of camera {camera!r} in this frame")
        if needs.calibration or needs.rectified:
            fault = _calibration_obstacle(node, frame, [slots[slot] for slot in slots], faults)
            if fault is not None:
                return fault
        if needs.lidar and not frame.clouds:
            return Fault(node.name, "missing", "no point cloud in this frame")
        if needs.pose and frame.ego_pose is None:
            return Fault(node.name, "missing", "no ego pose in this frame")
        return None

    def _run_stage(self, node: Node, frame: Frame, results: Mapping[str, Result]) -> Result | Fault:
        slots, rectified = self.cameras.get(node.name, {}), node.stage.needs.rectified
        try:
            inputs = {name: result_for_stage(results[name], slots, frame, rectified) for name in node.inputs}
            result = node.stage(stage_frame(frame, slots, rectified), inputs)
            if not isinstance(result, Result) or node.stage.kind != result.KIND:
                found = result.KIND if isinstance(result, Result) else type(result).__name__
                return Fault(node.name, "exception", f"expected a result of kind {node.stage.kind!r}, found {found}")
            problem = nonfinite(result)
            if problem:
                return Fault(node.name, "nonfinite", problem)
            return result_for_drive(result, slots, frame, rectified)
        except Exception as error:
            logger.debug("stage %s failed on frame %d", node.name, frame.index, exc_info=True)
            return Fault(node.name, "exception", _reason(error))


def nonfinite(result: Result) -> str:
    """Which array of a result holds NaN or infinity, and how many; empty when all numbers are finite."""
    for name, array in result.arrays().items():
        if array.dtype.kind in "fc":
            bad = array.size - int(np.isfinite(array).sum())
            if bad:
                return f"{name}: {bad} of {array.size} values are not finite"
    return ""


def size_faults(frame: Frame, cameras: Iterable[str]) -> list[Fault]:
    """Faults of cameras whose image has another size than their calibration says."""
    faults = []
    for name in cameras:
        camera, image = frame.calibration.cameras.get(name), frame.images.get(name)
        if camera is not None and image is not None and image.shape[:2] != (camera.height, camera.width):
            found = f"{image.shape[1]}x{image.shape[0]}"
            message = f"expected an image of {camera.width}x{camera.height} as calibrated, found {found}"
            faults.append(Fault(name, "size", message))
    return faults


def _calibration_obstacle(node: Node, frame: Frame, cameras: list[str], faults: list[Fault]) -> Fault | None:
    for camera in cameras:
        if camera not in frame.images:
            continue
        size = next((fault for fault in faults if fault.where == camera and fault.kind == "size"), None)
        if size is not None:
            return Fault(node.name, "skipped", f"camera {camera!r}: {size.message}")
        if camera not in frame.calibration.cameras:
            return Fault(node.name, "calibration", f"needs the calibration of camera {camera!r}, which is unknown")
    return None


def _reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    if isinstance(error, PerceptionError):
        return text[0] if text else reason
    frames = traceback.extract_tb(error.__traceback__)
    return f"{reason} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else reason
