"""Crowds in the layout of ShanghaiTech (spec crowd section 4), with the heads as JSON beside the MATLAB files."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from perception.errors import PerceptionError
from perception.jobs import run_jobs
from perception.sim.writers import Request

PART = "part_S_final"
"""Folder of the simulated part, beside ``part_A_final`` and ``part_B_final`` of the real data."""
JPEG_QUALITY = 92
_HEADER = b"MATLAB 5.0 MAT-file".ljust(116)
"""Text at the start of MATLAB files; scipy writes the time of day there, which would make equal labels differ."""


def write(request: Request) -> Iterator[str]:
    """Crowds for ``perception simulate``: ``scenes`` times ``frames`` pictures; option ``people`` (default: random).

    Raises:
        PerceptionError: Settings of other formats, or numbers out of range.
    """
    people = request.option({"people": ""})["people"]
    if request.size == (0, 0) or request.world is not None:
        raise PerceptionError("simulate: --size mixed and --world are not for --format crowd")
    if people and not people.isdigit():
        raise PerceptionError(f"simulate: option people: expected a number, found {people!r}")
    pictures = request.scenes * (1 if request.frames is None else request.frames)
    wanted = int(people) if people else None
    size = request.size or (1024, 768)
    for path in write_crowds(request.out, pictures, request.seed, size, request.workers, wanted):
        yield str(path)


class _Job(NamedTuple):
    root: str
    split: str
    number: int
    seed: int
    size: tuple[int, int]
    people: int | None


def write_crowds(
    out: str | Path,
    pictures: int,
    seed: int = 0,
    size: tuple[int, int] = (1024, 768),
    workers: int = 1,
    people: int | None = None,
) -> Iterator[Path]:
    """Write pictures of crowds; those that exist are kept. Every tenth goes to ``test_data``.

    Picture ``i`` uses seed ``seed + i``. Beside ``images/IMG_n.jpg`` there are ``ground_truth/GT_IMG_n.mat`` and
    ``ground_truth/IMG_n.json`` (``image``, ``size``, ``points``); ``train.json`` and ``test.json`` gather the latter.
    Coordinates follow the published files: pixel k covers [k, k + 1).

    Args:
        out: Root folder of the dataset.
        pictures: How many.
        seed: First seed.
        size: (width, height) of the pictures.
        workers: Processes.
        people: People to place in each picture; random when None.

    Yields:
        Each picture's path as soon as it is there.

    Raises:
        PerceptionError: Numbers out of range, or the disk cannot be written.
    """
    if pictures < 1 or seed < 0:
        raise PerceptionError(f"simulate: expected pictures >= 1 and seed >= 0, found {pictures}, {seed}")
    root = Path(out) / PART
    jobs = [
        _Job(str(root), "test" if index % 10 == 9 else "train", index + 1, seed + index, size, people)
        for index in range(pictures)
    ]
    records: dict[str, list[Any]] = {"train": [], "test": []}
    for job, record in zip(jobs, run_jobs(_write_picture, jobs, workers)):
        records[job.split].append(record)
        yield root / record["image"]
    from perception.sinks.storage import write_file

    for split, found in records.items():
        write_file(root / f"{split}.json", json.dumps({"images": found}).encode())


def _write_picture(job: _Job) -> dict[str, Any]:
    """Write one picture and its labels unless they exist; returns its record."""
    folder = Path(job.root) / f"{job.split}_data"
    name = f"IMG_{job.number}"
    picture, labels = folder / "images" / f"{name}.jpg", folder / "ground_truth" / f"{name}.json"
    if picture.is_file() and labels.is_file():
        return json.loads(labels.read_text())
    from perception.sim.crowd import render_crowd_sample  # heavy: the process that hands out the jobs needs neither
    from perception.sinks.storage import write_file

    sample = render_crowd_sample(job.seed, job.size, job.people)
    points = sample.points.astype(np.float64) + 0.5
    record = {
        "image": picture.relative_to(job.root).as_posix(),
        "size": list(job.size),
        "points": points.round(2).tolist(),
    }
    _, code = cv2.imencode(
        ".jpg", cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    write_file(folder / "ground_truth" / f"GT_{name}.mat", mat_bytes(points))
    write_file(labels, json.dumps(record).encode())
    write_file(picture, code.tobytes())
    return record


def mat_bytes(points: np.ndarray) -> bytes:
    """A ShanghaiTech annotation file of (N, 2) points: cell ``image_info`` with a struct of location and number."""
    import scipy.io

    info = np.empty((1, 1), object)
    info[0, 0] = {"location": np.asarray(points, np.float64).reshape(-1, 2), "number": float(len(points))}
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"image_info": info}, do_compression=True)
    return _HEADER + buffer.getvalue()[len(_HEADER) :]
