"""Results as an OpenLane-V2 submission, for the official evaluator and for ``perception metric openlanev2``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from perception.datasets.openlanev2.annotation import Annotation, from_result, read_block
from perception.datasets.openlanev2.submission import write_submission
from perception.errors import PerceptionError
from perception.metrics.openlanev2.pickles import plain, read_pickle
from perception.metrics.openlanev2.records import Place
from perception.registry import SINKS
from perception.sinks.parts_sink import PartsSink
from perception.sinks.storage import write_file
from perception.structures import Fault, Frame, LaneGraph, LaneSegments, Result

__all__ = ["OpenLaneV2Sink"]

_TYPES: tuple[type[LaneGraph] | type[LaneSegments], ...] = (LaneGraph, LaneSegments)


@SINKS.register_module()
class OpenLaneV2Sink(PartsSink):
    """``openlanev2.json`` (or ``.pkl``) with the predictions of one stage, in the official submission format.

    Frames of an OpenLane-V2 tree keep their names ``<split>/<segment>/<timestamp>``; those of other drives are named
    ``drive/<folder of the run>/<timestamp_ns>``. A frame on which the stage failed gets an empty prediction, since the
    evaluator wants every frame; one on which it was not due is left out. No file is written when no frame has a result.

    Args:
        out: Folder of the run.
        stage: Stage whose results are stored; "" takes the first lane graph or lane segments that appear.
        form: ``"json"`` or ``"pkl"``, which the official server wants.
        header: ``method``, ``authors``, ``e-mail``, ``institution / company``, ``country / region``.
        part_frames: Frames in a part: what a killed run has to compute again at most.
    """

    def __init__(
        self,
        out: str | Path,
        stage: str = "",
        form: str = "json",
        header: Mapping[str, Any] | None = None,
        part_frames: int = 100,
    ) -> None:
        if form not in ("json", "pkl"):
            raise PerceptionError(f"form: expected 'json' or 'pkl', found {form!r}")
        super().__init__(out, f"openlanev2.{form}", part_frames)
        self.stage, self.header = stage, dict(header or {})
        self._path = self.path
        self._state: dict[str, Any] = {}
        self._frames: list[tuple[str, LaneGraph | LaneSegments | None]] = []

    def _start(self) -> None:
        super()._start()
        self._state = self._parts.state or {"stage": self.stage, "kind": ""}

    def _begin_part(self, path: Path) -> None:
        self._path, self._frames = path, []

    def _write(self, frame: Frame, results: Mapping[str, Result], faults: Sequence[Fault]) -> None:
        if not self._state["kind"]:
            self._choose(results)
        result = results.get(self._state["stage"])
        failed = {fault.where for fault in faults}
        if isinstance(result, LaneGraph | LaneSegments) and self._state["kind"] == result.KIND:
            self._frames.append((self._name(frame), result))
        elif self._state["stage"] in failed or (not self._state["stage"] and failed):
            self._frames.append((self._name(frame), None))

    def _choose(self, results: Mapping[str, Result]) -> None:
        for stage, result in results.items():
            if isinstance(result, LaneGraph | LaneSegments) and stage in (self._state["stage"] or stage):
                self._state = {"stage": stage, "kind": result.KIND}
                return

    def _name(self, frame: Frame) -> str:
        source = frame.provenance
        if source.source == "openlanev2" and source.drive.count("/") == 1:
            return f"{source.drive}/{source.record}"
        return f"drive/{self.out.resolve().name or 'run'}/{frame.timestamp_ns}"

    def _end_part(self) -> dict[str, Any]:
        """Names and json predictions; a pickle cannot be appended to, nor read without trust."""
        frames, self._frames = self._frames, []
        listed = [
            [name, None if result is None else from_result(result).to_block(predicted=True)] for name, result in frames
        ]
        write_file(self._path, json.dumps(listed).encode())
        return self._state

    def _abandon_part(self) -> None:
        self._frames = []

    def close(self) -> None:
        """Make the submission, which like every reader of it holds all frames in memory."""
        if self._count:
            self._finish_part()
        if self._state["kind"]:
            super().close()

    def _join(self, parts: Sequence[Path], target: Path) -> None:
        write_submission(target, self._predictions(parts), self.header)

    def _predictions(self, parts: Sequence[Path]) -> Iterator[tuple[str, Annotation]]:
        (empty,) = [from_result(kind("ego")) for kind in _TYPES if self._state["kind"] == kind.KIND]
        for part in parts:
            for name, block in _frames_of(part):
                place = Place(part, name)
                yield name, empty if block is None else read_block(place, block, empty.track, predicted=True)


def _frames_of(part: Path) -> list[tuple[str, Any]]:
    """Names and predictions of a part: a list, or the submission of a run that was complete and is continued."""
    data = part.read_bytes()
    if data.startswith(b"["):
        return list(json.loads(data))
    content = json.loads(data) if part.suffix == ".json" else plain(read_pickle(part, trust=True))  # our own file
    named = ((name if isinstance(name, str) else "/".join(name), frame) for name, frame in content["results"].items())
    return [(name, frame["predictions"]) for name, frame in named]
