"""Predictions, and on request the inputs, as an MCAP that Foxglove shows without ROS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from perception.registry import SINKS
from perception.sinks.base import Sink
from perception.sinks.mcap_file import McapFile, join, read_messages
from perception.sinks.mcap_inputs import checked_format, write_inputs, write_truth
from perception.sinks.mcap_results import write_result
from perception.sinks.segments import Segments
from perception.structures import Fault, Frame, Result

__all__ = ["McapSink"]

FRAME_TOPIC = "/perception/frame"


@SINKS.register_module()
class McapSink(Sink):
    """``predictions.mcap``, in the time base of the drive: log time = header stamp = the frame's time stamp.

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
        super().__init__(out)
        self.path = self.out / "predictions.mcap"
        self.copy_inputs = copy_inputs
        self.part_frames, self.flush_every = max(1, part_frames), max(1, flush_every)
        self._encoding = (checked_format(image_format), quality)
        self._parts = Segments(self.path)
        self._file: McapFile | None = None
        self._count = 0

    def append(
        self, frame: Frame, results: Mapping[str, Result], faults: Sequence[Fault], timings_ms: Mapping[str, float]
    ) -> None:
        """Write the messages of one frame."""
        if self._file is None:
            self._file, self._count = McapFile(self._parts.next_part), 0
        time_ns, index = frame.timestamp_ns, frame.index
        note = {"index": index, "timestamp_ns": time_ns, "faults": [fault.to_dict() for fault in faults]}
        self._file.json(FRAME_TOPIC, note, "perception.Frame", time_ns, index)
        if self.copy_inputs:
            write_inputs(self._file, frame, *self._encoding)
            write_truth(self._file, frame)
        for stage, result in results.items():
            write_result(self._file, stage, result, time_ns, index)
        self._count += 1
        if self._count == self.part_frames:
            self._finish_part()
        elif self._count % self.flush_every == 0:
            self._file.flush()

    def close(self) -> None:
        """Join the parts into ``predictions.mcap``."""
        if self._file is not None:
            self._finish_part()
        self._parts.merge(join)

    def abort(self) -> None:
        """Leave the part in work readable up to its last flush; it is not counted and will be written again."""
        if self._file is not None:
            self._file.abandon()
            self._file = None

    def _keep(self, limit: int | None) -> int:
        return self._parts.keep(limit, _cut)

    def _start(self) -> None:
        self._parts.begin()

    def _finish_part(self) -> None:
        file, self._file = self._file, None
        assert file is not None
        file.close()
        self._parts.complete(self._count)


def _cut(part: Path, frames: int, target: Path) -> None:
    """Copy the first ``frames`` frames of a part; each begins with its message on ``/perception/frame``."""
    count = 0
    out = McapFile(target)
    for schema, channel, message in read_messages(part):
        count += channel.topic == FRAME_TOPIC
        if count > frames:
            break
        out.copy(schema, channel, message)
    out.close()
