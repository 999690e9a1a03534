"""Simulated drives as MCAP files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from perception.errors import PerceptionError, UnknownNameError
from perception.jobs import run_jobs
from perception.sim import presets
from perception.sim.city.sensors.rigs import DEFAULT_SIZES
from perception.sim.writers import Request, check_request
from perception.sinks.storage import storage_errors
from perception.structures import Frame


class _Job(NamedTuple):
    path: str
    town: bool
    settings: dict[str, Any]


def write(request: Request) -> Iterator[str]:
    """Serve ``perception simulate --format drive``: roads, or towns with ``--world town``; no options."""
    request.option({})
    frames = 50 if request.frames is None else request.frames
    if request.size == (0, 0):
        raise PerceptionError("simulate: --size mixed is for --format culane")
    if request.world != "town":
        if request.rig or request.lidar:
            raise PerceptionError("simulate: --rig and --lidar need --world town")
        paths = write_drives(
            request.out, request.scenes, frames, request.seed, request.preset, request.size or (960, 540),
            request.workers, request.rate_hz,
        )  # fmt: skip
    else:
        paths = write_town_drives(
            request.out, request.scenes, frames, request.seed, request.preset, request.size, request.workers,
            request.rate_hz, request.rig or "ring7", request.lidar,
        )  # fmt: skip
    for count, path in enumerate(paths, 1):
        request.progress(count, request.scenes)
        yield str(path)


def write_drive(drive: Iterable[Frame], path: str | Path) -> None:
    """Write all frames of a drive to ``path``, which appears only when it is complete.

    Raises:
        PerceptionError: The disk cannot be written.
    """
    from perception.sinks.mcap_inputs import McapFrameWriter

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
    settings = {"preset": preset, "n_frames": frames, "fps": fps, "size": size}
    yield from _write_all(out, preset, scenes, frames, seed, workers, False, settings)


def write_town_drives(
    out: str | Path,
    scenes: int,
    frames: int = 50,
    seed: int = 0,
    preset: str = "random",
    size: tuple[int, int] | None = None,
    workers: int = 1,
    rate_hz: float = 10.0,
    rig: str = "ring7",
    lidar: int | None = None,
) -> Iterator[Path]:
    """Write ``scenes`` drives through towns ``town_<preset>_<seed>.mcap``; files that exist are kept.

    Args:
        out: Folder of the files.
        scenes: Number of drives; drive ``i`` uses seed ``seed + i``.
        frames: Frames a drive.
        seed: First seed.
        preset: Name of a preset.
        size: (width, height) of the rig's landscape cameras; None takes the default of the rig.
        workers: Processes; a drive is written by one.
        rate_hz: Frames a second.
        rig: Name of a rig.
        lidar: Beams of the LiDAR; None or 0 for none.

    Yields:
        Each file as soon as it is complete.

    Raises:
        PerceptionError: Numbers out of range, unknown names, or the disk cannot be written.
    """
    if rig not in DEFAULT_SIZES:
        raise UnknownNameError("rig", rig, DEFAULT_SIZES)
    settings = {"preset": preset, "n_frames": frames, "rate_hz": rate_hz, "rig": rig, "lidar": lidar or None}
    settings["size"] = size or DEFAULT_SIZES[rig]
    yield from _write_all(out, f"town_{preset}", scenes, frames, seed, workers, True, settings)


def _write_all(
    out: str | Path, name: str, scenes: int, frames: int, seed: int, workers: int,
    town: bool, settings: dict[str, Any],
) -> Iterator[Path]:  # fmt: skip
    """Write drives ``<name>_<seed>.mcap`` through towns or along roads."""
    check_request(scenes, frames, seed)
    presets.get(settings["preset"])
    jobs = [
        _Job(str(Path(out) / f"{name}_{number:07d}.mcap"), town, {**settings, "seed": number})
        for number in range(seed, seed + scenes)
    ]
    for job, _ in zip(jobs, run_jobs(_write, jobs, workers)):
        yield Path(job.path)


def _write(job: _Job) -> None:
    from perception.sim import SimulatedDrive, TownDrive  # heavy: the process that hands out the jobs needs neither

    if not Path(job.path).is_file():
        write_drive((TownDrive if job.town else SimulatedDrive)(**job.settings), job.path)
