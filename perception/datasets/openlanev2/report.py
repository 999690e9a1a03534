"""Pictures of predictions against truth, for the frames that score worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from perception.datasets.openlanev2.annotation import read_block
from perception.datasets.openlanev2.draw import draw_frame
from perception.datasets.openlanev2.frame import RoadFrame, read_frame
from perception.metrics.openlanev2.io import Frames, open_frames, read_object
from perception.metrics.openlanev2.records import Place
from perception.sinks.storage import write_png

__all__ = ["draw_pairs"]


def draw_pairs(
    pred: Path,
    gt: Path,
    names: Sequence[str],
    out: Path,
    track: str | None = None,
    trust: bool = False,
    root: Path | None = None,
) -> list[Path]:
    """Draw frames of a prediction against truth.

    Args:
        pred: Predictions, as :func:`perception.metrics.openlanev2.open_frames` takes them.
        gt: Truth; frames without cameras are drawn from above only.
        names: ``<segment>/<timestamp>`` of the frames.
        out: Folder of the pictures.
        track: ``"centerline"`` or ``"lane_segment"``.
        trust: Open pickles.
        root: Root of the camera pictures.

    Returns:
        The files.

    Raises:
        InputError: A frame is malformed.
    """
    truths = open_frames(gt, track, trust)
    predictions = open_frames(pred, truths.track, trust)
    root = root or (gt if gt.is_dir() else gt.parent)
    written = []
    for number, name in enumerate(names):
        segment, stamp = name.split("/")
        frame = _frame(truths, (segment, stamp))
        record = _record(predictions, (segment, stamp))
        predicted = "predictions" in record
        block = record["predictions" if predicted else "annotation"]
        path = predictions.entries[segment, stamp]
        place = Place(path if isinstance(path, Path) else pred, name)
        picture = draw_frame(frame, read_block(place, block, truths.track, predicted), root)
        written.append(out / f"{number:02d}_{segment}_{stamp}.png")
        write_png(written[-1], picture)
    return written


def _record(frames: Frames, key: tuple[str, str]) -> Mapping:
    entry = frames.entries[key]
    return read_object(entry) if isinstance(entry, Path) else entry


def _frame(frames: Frames, key: tuple[str, str]) -> RoadFrame:
    """The true frame; result files say nothing of cameras and pose."""
    entry = frames.entries[key]
    path = entry if isinstance(entry, Path) else frames.path
    record = _record(frames, key)
    if "sensor" in record:
        return read_frame(record, path, frames.track, path.parents[2].name if isinstance(entry, Path) else "")
    annotation = read_block(Place(path, "/".join(key)), record["annotation"], frames.track, predicted=False)
    return RoadFrame(
        "", key[0], int(key[1]) if key[1].isdecimal() else 0, {}, {}, {}, np.eye(4), frames.track, annotation, {}
    )
