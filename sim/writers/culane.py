"""A dataset in the layout of CULane (spec ganet section 3): pictures, ``.lines.txt`` files and lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from perception.errors import PerceptionError
from perception.jobs import run_jobs
from perception.sim.lanes import lane_category, render_lane_sample
from perception.sim.writers import Request
from perception.sim.writers.lane_pictures import Picture, plan, refuse_towns, write_jpeg
from perception.sinks.storage import write_file

SPLITS = ("normal", "crowd", "hlight", "shadow", "noline", "arrow", "curve", "cross", "night")
"""Names of CULane's test splits, in order; :func:`perception.sim.lanes.lane_category` says what fills them."""


def write(request: Request) -> Iterator[str]:
    """Serve ``perception simulate --format culane``; the option ``rows_from`` is that of :func:`write_culane`."""
    refuse_towns(request, "culane")
    rows_from = float(request.option({"rows_from": "0"})["rows_from"])
    size = (1640, 590) if request.size is None else request.size if any(request.size) else None
    frames = 10 if request.frames is None else request.frames
    common = (request.out, request.scenes, frames, request.seed, request.preset, size, request.workers)
    count = 0
    for count, _ in enumerate(write_culane(*common, rows_from=rows_from), 1):
        request.progress(count, request.scenes * frames)
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
    if not 0 <= rows_from <= 0.9:
        raise PerceptionError(f"simulate: rows_from: expected within [0, 0.9], found {rows_from}")
    root = Path(out)
    pictures = plan(root, scenes, frames, seed, preset, size, "driver_sim_{:07d}/{:05d}.jpg".format, rows_from)
    splits = []
    for picture, split in zip(pictures, run_jobs(_write_picture, pictures, workers)):
        splits.append(split)
        yield picture.path
    _write_lists(root, pictures, splits)


def _write_picture(picture: Picture) -> str:
    """Write one picture and its labels unless they exist; returns the test split it belongs to."""
    path, seed, preset, size = picture.path, picture.seed, picture.preset, picture.size
    labels = path.with_suffix(".lines.txt")
    if not (path.is_file() and labels.is_file()):
        sample = render_lane_sample(seed, preset, size, picture.rows_from)
        write_file(labels, sample.lanes.to_culane_text().encode())
        write_jpeg(path, sample.image)
    if picture.part != "test":
        return ""
    return lane_category(seed, preset, size, empty=not labels.stat().st_size)


def _write_lists(root: Path, pictures: list[Picture], splits: list[str]) -> None:
    """Write ``list/{train,val,test}.txt`` and the nine test splits, empty ones too."""
    for part in ("train", "val", "test"):
        _write_list(root / "list" / f"{part}.txt", [picture.name for picture in pictures if picture.part == part])
    for number, name in enumerate(SPLITS):
        rows = [picture.name for picture, split in zip(pictures, splits) if split == name]
        _write_list(root / "list" / "test_split" / f"test{number}_{name}.txt", rows)


def _write_list(path: Path, names: list[str]) -> None:
    write_file(path, "".join(f"/{name}\n" for name in names).encode())
