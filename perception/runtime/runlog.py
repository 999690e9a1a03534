"""What a run remembers about each frame, in a file that survives a kill, and the statistics made from it.

``run_log.jsonl`` has a line a frame with what the report needs and the results leave out because it differs from run to
run: times, and counts that would otherwise be lost when a run is killed and continued.
"""

from __future__ import annotations

import json
import time
from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from perception.runtime.scoring import SCORERS, Tally
from perception.sinks.base import Sink
from perception.sinks.storage import dump_json, storage_errors
from perception.structures import DensityMap, Fault, Frame, Result

__all__ = ["RunLog", "RunStatistics", "count_items"]

SERIES_LENGTH = 1000


def count_items(result: Result) -> float:
    """How much a result holds: people of a density map, else number of lanes, boxes, segments; 1 for a grid."""
    if isinstance(result, DensityMap):
        return round(result.count, 3)
    return float(len(result)) if hasattr(result, "__len__") else 1.0


class RunStatistics:
    """Running totals of a run; memory grows by a few numbers a frame, whatever the results are.

    Attributes:
        frames: Frames so far.
        skipped: Frames in which stages were due and none gave a result.
        faults: (where, kind) -> [count, index of the first frame, its message].
        wall_s: Seconds spent on these frames, including reading and writing.
        drive_faults: Damage of the drive as a whole that was found while these frames were read.
        pose_gaps: Stretches of frames without ego pose: [first timestamp, last timestamp, frames].
    """

    def __init__(self, stages: Sequence[str]) -> None:
        self.stages = tuple(stages)
        self.frames = 0
        self.skipped = 0
        self.faults: dict[tuple[str, str], list[Any]] = {}
        self.wall_s = 0.0
        self.drive_faults: list[Fault] = []
        self.pose_gaps: list[list[int]] = []
        self._pose_lost = False
        self.timestamps = array("q")
        self.indices = array("q")
        self._latency = {stage: array("f") for stage in stages}
        self._counts = {stage: array("f") for stage in stages}
        self._tally: dict[str, Tally] = {}
        self._scored: dict[str, int] = {}

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a record of :class:`RunLog`."""
        self.frames += 1
        self.wall_s += record["wall_s"]
        self.timestamps.append(record["timestamp_ns"])
        self.indices.append(record["index"])
        for stage in self.stages:
            self._latency[stage].append(record["ms"].get(stage, np.nan))
            self._counts[stage].append(record["items"].get(stage, np.nan))
        for where, kind, message in record["faults"]:
            self.faults.setdefault((where, kind), [0, record["index"], message])[0] += 1
        self._note_pose(record)
        self.drive_faults += [Fault(*fault) for fault in record.get("drive_faults", ())]
        failed = any(where in self._latency for where, _, _ in record["faults"])
        self.skipped += failed and not record["items"]
        for stage, tally in record.get("scores", {}).items():
            self._scored[stage] = self._scored.get(stage, 0) + 1
            total = self._tally.setdefault(stage, {})
            for name, numbers in tally.items():
                total[name] = [a + b for a, b in zip(total.get(name, [0.0] * len(numbers)), numbers)]

    def _note_pose(self, record: Mapping[str, Any]) -> None:
        lost = any(where == "ego_pose" for where, _, _ in record["faults"])
        if lost and self._pose_lost:
            self.pose_gaps[-1][1:] = [record["timestamp_ns"], self.pose_gaps[-1][2] + 1]
        elif lost:
            self.pose_gaps.append([record["timestamp_ns"], record["timestamp_ns"], 1])
        self._pose_lost = lost

    def poses(self, source: str) -> dict[str, Any]:
        """Where ego poses came from, and the stretches of the run without them (the first hundred)."""
        begin = self.timestamps[0] if self.frames else 0
        gaps = [
            {"start_s": (first - begin) * 1e-9, "end_s": (last - begin) * 1e-9, "frames": frames}
            for first, last, frames in self.pose_gaps[:100]
        ]
        return {"source": source or None, "missing_frames": sum(gap[2] for gap in self.pose_gaps), "gaps": gaps}

    def fault_rows(self) -> list[dict[str, Any]]:
        """Faults for the report, in the order in which they first appeared."""
        return [
            {"where": where, "kind": kind, "count": count, "first_index": first, "message": message}
            for (where, kind), (count, first, message) in self.faults.items()
        ]

    def results(self, stage: str) -> int:
        """Number of results of a stage."""
        return int(np.isfinite(np.frombuffer(self._counts[stage], dtype=np.float32)).sum())

    def latency(self, stage: str) -> dict[str, float | None]:
        """Mean, percentiles and maximum of a stage in milliseconds; None when it never ran."""
        values = np.frombuffer(self._latency[stage], dtype=np.float32)
        values = values[np.isfinite(values)]
        if not len(values):
            return dict.fromkeys(("mean", "p50", "p95", "p99", "max"))
        p50, p95, p99 = (round(float(value), 3) for value in np.percentile(values, (50, 95, 99)))
        mean, largest = round(float(values.mean(dtype=np.float64)), 3), round(float(values.max()), 3)
        return {"mean": mean, "p50": p50, "p95": p95, "p99": p99, "max": largest}

    def series(self) -> dict[str, dict[str, list[float | None]]]:
        """Latency and item counts along the run, each at most 1,000 means over equal stretches; None for no value."""
        return {
            "latency_ms": {stage: _downsampled(values) for stage, values in self._latency.items()},
            "counts": {stage: _downsampled(values) for stage, values in self._counts.items()},
        }

    def scores(self, kinds: Mapping[str, str]) -> dict[str, Any]:
        """Scores of the stages (stage -> kind) for which the drive carried truth."""
        out = {}
        for stage, tally in self._tally.items():
            scorer = SCORERS[kinds[stage]]
            out[stage] = {"metric": scorer.metric, **scorer.summarize(tally, self._scored[stage])}
        return out


class RunLog(Sink):
    """The sink behind ``run_log.jsonl``; keeps :attr:`statistics` of all frames, also of those before a kill.

    Args:
        out: Folder of the run.
        kinds: Stage -> kind of its results.
        cameras: Stage -> slot -> camera of the drive; tells which truth belongs to a stage that failed.
        drive_faults: The growing list of damage of the drive as a whole. It is stored as well, since a run that
            continues behind the damage would not find it again.
    """

    def __init__(
        self,
        out: str | Path,
        kinds: Mapping[str, str],
        cameras: Mapping[str, Mapping[str, str]] | None = None,
        drive_faults: Sequence[Fault] = (),
    ) -> None:
        super().__init__(out)
        self.path = self.out / "run_log.jsonl"
        self.statistics = RunStatistics(tuple(kinds))
        self._kinds, self._cameras, self._drive_faults = kinds, cameras or {}, drive_faults
        self._stored_faults = 0
        self._file: IO[bytes] | None = None
        self._last = 0.0

    def append(
        self, frame: Frame, results: Mapping[str, Result], faults: Sequence[Fault], timings_ms: Mapping[str, float]
    ) -> None:
        """Score the frame, add it to the statistics and write its line."""
        now = time.perf_counter()
        scores = self._scores(frame, results, faults)
        record: dict[str, Any] = {
            "index": frame.index,
            "timestamp_ns": frame.timestamp_ns,
            "wall_s": round(now - self._last, 6),
            "ms": {stage: round(value, 3) for stage, value in timings_ms.items()},
            "items": {stage: count_items(result) for stage, result in results.items()},
            "faults": [[fault.where, fault.kind, fault.message] for fault in faults],
        }
        if scores:
            record["scores"] = scores
        found, self._stored_faults = self._drive_faults[self._stored_faults :], len(self._drive_faults)
        if found:
            record["drive_faults"] = [[fault.where, fault.kind, fault.message] for fault in found]
        self._last = time.perf_counter()  # measuring the quality is no part of the throughput
        assert self._file is not None, "append before open"
        with storage_errors(self.path):
            self._file.write(dump_json(record).encode() + b"\n")
            self._file.flush()
        self.statistics.add(record)

    def restart_clock(self) -> None:
        """Start counting time now, so that start-up is not charged to the first frame."""
        self._last = time.perf_counter()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with storage_errors(self.path):
                self._file.close()
            self._file = None

    def abort(self) -> None:
        """Close the file, whatever it holds."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _scores(self, frame: Frame, results: Mapping[str, Result], faults: Sequence[Fault]) -> dict[str, Tally]:
        failed = {fault.where for fault in faults}
        scores = {}
        for stage, kind in self._kinds.items():
            result = results.get(stage)
            if kind not in SCORERS or (result is None and stage not in failed):
                continue
            frames = [result.frame_id] if result is not None else [*self._cameras.get(stage, {}).values(), "ego"]
            truth = next((frame.truth[f"{name}/{kind}"] for name in frames if f"{name}/{kind}" in frame.truth), None)
            if truth is not None:
                scores[stage] = SCORERS[kind].count(result, truth)
        return scores

    def _keep(self, limit: int | None) -> int:
        self.statistics = RunStatistics(self.statistics.stages)
        if not self.path.exists():
            return 0
        with storage_errors(self.path), open(self.path, "r+b") as file:
            end = 0
            while limit is None or self.statistics.frames < limit:
                line = file.readline()
                if not line.endswith(b"\n"):
                    break
                try:
                    self.statistics.add(json.loads(line))
                except (ValueError, KeyError, TypeError):
                    break
                end = file.tell()
            file.truncate(end)
        return self.statistics.frames

    def _start(self) -> None:
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "ab")  # noqa: SIM115 - closed by close() and abort()
        self._stored_faults = len(self._drive_faults) if self.statistics.frames else 0
        self.restart_clock()


def _downsampled(values: array) -> list[float | None]:
    data = np.frombuffer(values, dtype=np.float32).astype(np.float64)
    if len(data) > SERIES_LENGTH:
        edges = np.linspace(0, len(data), SERIES_LENGTH + 1).astype(int)[:-1]
        present = np.isfinite(data)
        counts = np.add.reduceat(present.astype(np.float64), edges)
        with np.errstate(invalid="ignore"):
            data = np.add.reduceat(np.where(present, data, 0.0), edges) / counts
    return [round(float(value), 3) if np.isfinite(value) else None for value in data]
