"""A dataset in the layout of TuSimple (spec ganet section 3): clips and JSON lines, under the names of the original.

Training data fill ``label_data_0313.json`` and ``label_data_0531.json``, validation ``label_data_0601.json`` and tests
``test_label.json``, so that whatever reads TuSimple reads this. A clip holds its labelled picture, ``20.jpg``, alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from perception.errors import PerceptionError
from perception.jobs import run_jobs
from perception.sim.lanes import lane_labels, render_lane_sample
from perception.sim.truth import TruthConfig
from perception.sim.writers import Request
from perception.sim.writers.lane_pictures import Picture, plan, refuse_towns, write_jpeg
from perception.sinks.storage import write_file

LABELS = ("label_data_0313.json", "label_data_0531.json", "label_data_0601.json", "test_label.json")
SIZE = (1280, 720)
_TRUTH = TruthConfig(row_step=2.0)  # finer than the rows that are written


def write(request: Request) -> Iterator[str]:
    """Serve ``perception simulate --format tusimple``."""
    refuse_towns(request, "tusimple")
    request.option({})
    if request.size == (0, 0):
        raise PerceptionError("simulate: --size mixed is for --format culane; TuSimple pictures share one size")
    frames = 10 if request.frames is None else request.frames
    common = (request.out, request.scenes, frames, request.seed, request.preset, request.size or SIZE, request.workers)
    count = sum(1 for _ in write_tusimple(*common))
    yield f"{count} pictures in {request.out}"


def write_tusimple(
    out: str | Path,
    scenes: int,
    frames: int = 1,
    seed: int = 0,
    preset: str = "random",
    size: tuple[int, int] = SIZE,
    workers: int = 1,
) -> Iterator[Path]:
    """Write ``scenes`` folders of ``frames`` clips each; pictures that exist are kept.

    Args:
        out: Root folder of the dataset.
        scenes: Number of folders ``clips/sim_<first seed>``.
        frames: Clips a folder.
        seed: First seed, see :func:`perception.sim.writers.lane_pictures.plan`.
        preset: Name of a preset.
        size: (width, height) of the pictures.
        workers: Processes.

    Yields:
        Each picture's path as soon as it is there. The label files are written at the end.

    Raises:
        PerceptionError: Numbers out of range, unknown preset, or the disk cannot be written.
    """
    root = Path(out)
    pictures = plan(root, scenes, frames, seed, preset, size, "clips/sim_{:07d}/{:05d}/20.jpg".format)
    lines: dict[str, list[str]] = {name: [] for name in LABELS}
    for picture, record in zip(pictures, run_jobs(_write_picture, pictures, workers)):
        lines[_label_file(picture)].append(json.dumps(record))
        yield picture.path
    for name, rows in lines.items():
        write_file(root / name, "".join(row + "\n" for row in rows).encode())


def label_rows(height: int) -> list[int]:
    """Rows on which lanes are given: 160, 170, ... 710 of a picture 720 high, others from the same share down."""
    return list(range(round(height * 160 / 720 / 10) * 10, height, 10))


def _label_file(picture: Picture) -> str:
    return LABELS[{"train": picture.scene % 2, "val": 2, "test": 3}[picture.part]]


def _write_picture(picture: Picture) -> dict[str, Any]:
    """Write one picture unless it exists; returns its label record."""
    if picture.path.is_file():
        lanes = lane_labels(picture.seed, picture.preset, picture.size, _TRUTH)
    else:
        sample = render_lane_sample(picture.seed, picture.preset, picture.size, truth=_TRUTH)
        write_jpeg(picture.path, sample.image)
        lanes = sample.lanes
    record = lanes.to_tusimple(label_rows(lanes.image_size[1]), picture.name)
    del record["run_time"]  # results have one, labels have none
    record["lanes"] = [lane for lane in record["lanes"] if sum(x >= 0 for x in lane) >= 2]
    return record
