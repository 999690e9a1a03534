"""Simulated drives as MCAP files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from perception.errors import PerceptionError
from perception.jobs import run_jobs
from perception.sim import presets
from perception.sim.drive import SimulatedDrive
from perception.sinks.mcap_inputs import McapFrameWriter
from perception.sinks.storage import storage_errors


class _Job(NamedTuple):
    path: str
    seed: int
    preset: str
    frames: int
    fps: float
    size: tuple[int, int]


def write_drive(drive: SimulatedDrive, path: str | Path) -> None:
    """Write all frames of a drive to ``path``, which appears only when it is complete.

    Raises:
        PerceptionError: The disk cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    with McapFrameWriter(temporary) as writer:
        for frame in drive:
            writer.write(frame)
    with storage_errors(path):
        os.replace(temporary, path)


def write_drives(
    out: str | Path,
    scenes: int,
    frames: int = 50,
    seed: int = 0,
    preset: str = "random",
    size: tuple[int, int] = (960, 540),
    workers: int = 1,
    fps: float = 10.0,
) -> Iterator[Path]:
    """Write ``scenes`` drives ``<preset>_<seed>.mcap`` of ``frames`` frames; files that exist are kept.

    Drive ``i`` uses seed ``seed + i``.

    Args:
        out: Folder of the files.
        scenes: Number of drives.
        frames: Frames a drive.
        seed: First seed.
        preset: Name of a preset.
        size: (width, height) of the images.
        workers: Processes; a drive is written by one.
        fps: Frames a second.

    Yields:
        Each file as soon as it is complete.

    Raises:
        PerceptionError: Numbers out of range, unknown preset, or the disk cannot be written.
    """
    if scenes < 1 or frames < 1 or seed < 0:
        raise PerceptionError(f"simulate: expected scenes, frames >= 1 and seed >= 0, found {scenes}, {frames}, {seed}")
    presets.get(preset)
    jobs = []
    for number in range(seed, seed + scenes):
        path = Path(out) / f"{preset}_{number:07d}.mcap"
        jobs.append(_Job(str(path), number, preset, frames, fps, size))
    for job, _ in zip(jobs, run_jobs(_write, jobs, workers)):
        yield Path(job.path)


def _write(job: _Job) -> None:
    if not Path(job.path).is_file():
        write_drive(SimulatedDrive(job.seed, job.preset, job.frames, job.fps, job.size), job.path)
