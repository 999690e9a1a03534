"""A dataset in the layout of CULane (spec ganet section 3): pictures, ``.lines.txt`` files and lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2

from perception.errors import PerceptionError
from perception.jobs import run_jobs
from perception.sim import presets
from perception.sim.lanes import render_lane_sample, sample_scene
from perception.sim.writers import Request, check_request
from perception.sinks.storage import write_file

SPLITS = ("normal", "crowd", "hlight", "shadow", "noline", "arrow", "curve", "cross", "night")
"""Names of CULane's test splits, in order; the simulator fills normal, noline, curve and night."""

JPEG_QUALITY = 92


class _Job(NamedTuple):
    root: str
    name: str
    part: str
    seed: int
    preset: str
    size: tuple[int, int] | None
    rows_from: float


def write(request: Request) -> Iterator[str]:
    """Serve ``perception simulate --format culane``; the option ``rows_from`` is that of :func:`write_culane`."""
    if request.world == "town" or request.rig or request.lidar:
        raise PerceptionError("simulate: --format culane shows roads; --world town, --rig and --lidar are for others")
    rows_from = float(request.option({"rows_from": "0"})["rows_from"])
    size = (1640, 590) if request.size is None else request.size if any(request.size) else None
    frames = 10 if request.frames is None else request.frames
    common = (request.out, request.scenes, frames, request.seed, request.preset, size, request.workers)
    count = sum(1 for _ in write_culane(*common, rows_from=rows_from))
    yield f"{count} pictures in {request.out}"


def write_culane(
    out: str | Path,
    scenes: int,
    frames: int = 1,
    seed: int = 0,
    preset: str = "random",
    size: tuple[int, int] | None = (1640, 590),
    workers: int = 1,
    rows_from: float = 0.0,
) -> Iterator[Path]:
    """Write ``scenes`` folders of ``frames`` independent pictures each; pictures that exist are kept.

    Picture ``i`` uses seed ``seed + i``. Of ten scenes eight are for training, one for validation, one for tests.

    Args:
        out: Root folder of the dataset.
        scenes: Number of folders ``driver_sim_<first seed>``.
        frames: Pictures a folder.
        seed: First seed.
        preset: Name of a preset.
        size: (width, height) of the pictures; None draws one of :data:`perception.sim.presets.TRAINING_SIZES` for each.
        workers: Processes.
        rows_from: Share of the height that is left black at the top, within [0, 0.9]: a model that crops its input
            there learns the same from pictures that are faster to make.

    Yields:
        Each picture's path as soon as it is there. The lists are written at the end.

    Raises:
        PerceptionError: Numbers out of range, unknown preset, or the disk cannot be written.
    """
    check_request(scenes, frames, seed)
    if not 0 <= rows_from <= 0.9:
        raise PerceptionError(f"simulate: rows_from: expected within [0, 0.9], found {rows_from}")
    presets.get(preset)
    root = Path(out)
    jobs = []
    for index in range(scenes * frames):
        scene, frame = divmod(index, frames)
        name = f"driver_sim_{seed + scene * frames:07d}/{frame:05d}.jpg"
        part = {8: "val", 9: "test"}.get(scene % 10, "train")
        jobs.append(_Job(str(root), name, part, seed + index, preset, size, rows_from))
    splits = []
    for job, split in zip(jobs, run_jobs(_write_picture, jobs, workers)):
        splits.append(split)
        yield root / job.name
    _write_lists(root, jobs, splits)


def _write_picture(job: _Job) -> str:
    """Write one picture and its labels unless they exist; returns the test split it belongs to."""
    path = Path(job.root) / job.name
    labels = path.with_suffix(".lines.txt")
    if not (path.is_file() and labels.is_file()):
        sample = render_lane_sample(job.seed, job.preset, job.size, job.rows_from)
        _, code = cv2.imencode(".jpg", sample.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        write_file(labels, sample.lanes.to_culane_text().encode())
        write_file(path, code.tobytes())
    if job.part != "test":
        return ""
    tags = sample_scene(job.seed, job.preset).tags
    if tags["night"]:
        return "night"
    if not labels.stat().st_size:
        return "noline"
    return "curve" if tags["bend"] > 1 / 400 else "normal"


def _write_lists(root: Path, jobs: list[_Job], splits: list[str]) -> None:
    """Write ``list/{train,val,test}.txt`` and the nine test splits, empty ones too."""
    for part in ("train", "val", "test"):
        _write_list(root / "list" / f"{part}.txt", [job.name for job in jobs if job.part == part])
    for number, name in enumerate(SPLITS):
        rows = [job.name for job, split in zip(jobs, splits) if split == name]
        _write_list(root / "list" / "test_split" / f"test{number}_{name}.txt", rows)


def _write_list(path: Path, names: list[str]) -> None:
    write_file(path, "".join(f"/{name}\n" for name in names).encode())
