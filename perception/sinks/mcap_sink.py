"""Predictions, and on request the inputs, as an MCAP that Foxglove shows without ROS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perception.registry import SINKS
from perception.sinks.foxglove_layout import foxglove_layout
from perception.sinks.mcap_file import McapFile, cut, join
from perception.sinks.mcap_inputs import checked_format, write_inputs, write_truth
from perception.sinks.mcap_results import write_result
from perception.sinks.parts_sink import PartsSink
from perception.sinks.storage import storage_errors, write_file
from perception.structures import Fault, Frame, Result
from perception.viz.overlay import main_camera

__all__ = ["McapSink"]

FRAME_TOPIC = "/perception/frame"
LAYOUT = "foxglove_layout.json"


@SINKS.register_module()
class McapSink(PartsSink):
    """``predictions.mcap`` and ``foxglove_layout.json``, a layout that shows it.

    In the time base of the drive: log time = header stamp = the frame's time stamp.

    Channels: results as :func:`perception.sinks.mcap_results.write_result` says, ``/perception/frame`` (json
    ``{"index", "timestamp_ns", "faults"}``, one a frame), and with ``copy_inputs`` the topics of
    :mod:`perception.sinks.mcap_inputs`. Equal results give equal bytes; latencies are left to ``timings.jsonl``.

    Args:
        out: Folder of the run.
        copy_inputs: Also write images, calibration, transforms, clouds and truth.
        image_format: Of the copied images, ``"jpeg"`` or ``"png"``.
        quality: Quality of jpeg, 1..100.
        part_frames: Frames in a part: what a killed run has to compute again at most.
        flush_every: Frames after which everything is handed to the operating system.
    """

    def __init__(
        self,
        out: str | Path,
        copy_inputs: bool = False,
        image_format: str = "jpeg",
        quality: int = 90,
        part_frames: int = 100,
        flush_every: int = 10,
    ) -> None:
        super().__init__(out, "predictions.mcap", part_frames)
        self.copy_inputs, self.flush_every = copy_inputs, max(1, flush_every)
        self._encoding = (checked_format(image_format), quality)
        self._file: McapFile | None = None
        self._seen: dict[str, Any] = {}

    def _remember(self, frame: Frame) -> None:
        """Sensors for the layout, the main camera first."""
        main = main_camera(frame)
        names = sorted({*frame.images, *self._seen["cameras"]}, key=lambda name: (name != main, name))
        self._seen["cameras"], self._seen["lidars"] = names, sorted({*frame.clouds, *self._seen["lidars"]})

    def _begin_part(self, path: Path) -> None:
        self._file = McapFile(path)

    def _write(self, frame: Frame, results: Mapping[str, Result], faults: Sequence[Fault]) -> None:
        assert self._file is not None
        time_ns, index = frame.timestamp_ns, frame.index
        note = {"index": index, "timestamp_ns": time_ns, "faults": [fault.to_dict() for fault in faults]}
        self._file.json(FRAME_TOPIC, note, "perception.Frame", time_ns, index)
        if self.copy_inputs:
            write_inputs(self._file, frame, *self._encoding)
            write_truth(self._file, frame)
        self._remember(frame)
        for stage, result in results.items():
            self._seen["stages"][stage] = result.KIND
            write_result(self._file, stage, result, time_ns, index)
        if self._count % self.flush_every == 0:
            self._file.flush()

    def _end_part(self) -> dict[str, Any]:
        file, self._file = self._file, None
        assert file is not None
        file.close()
        seen = self._seen
        layout = foxglove_layout(seen["stages"], seen["cameras"], seen["lidars"] if self.copy_inputs else ())
        write_file(self.out / LAYOUT, layout.encode())
        return seen

    def _start(self) -> None:
        super()._start()
        self._seen = self._parts.state or {"stages": {}, "cameras": [], "lidars": []}

    def _keep(self, limit: int | None) -> int:
        kept = super()._keep(limit)
        if not kept:
            with storage_errors(self.out / LAYOUT):
                (self.out / LAYOUT).unlink(missing_ok=True)
        return kept

    def _abandon_part(self) -> None:
        if self._file is not None:
            self._file.abandon()
            self._file = None

    def _join(self, parts: Sequence[Path], target: Path) -> None:
        join(parts, target)

    def _cut(self, part: Path, frames: int, target: Path) -> None:
        cut(part, frames, target, FRAME_TOPIC)
