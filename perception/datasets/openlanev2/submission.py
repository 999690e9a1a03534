"""Result files in the official submission format, written and read without loss."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from perception.datasets.openlanev2.annotation import Annotation, read_block
from perception.errors import InputError, PerceptionError
from perception.metrics.openlanev2.io import open_frames
from perception.metrics.openlanev2.records import Place
from perception.sinks.storage import write_file

__all__ = ["HEADER", "read_submission", "write_submission"]

HEADER = ("method", "authors", "e-mail", "institution / company", "country / region")
"""Keys beside ``results`` that the official server asks for; the 2024 challenge adds ``team``."""
MOST_AUTHORS = 10


def write_submission(
    path: str | Path, predictions: Iterable[tuple[str, Annotation]], header: Mapping[str, Any] | None = None
) -> int:
    """Write predictions as the official result file.

    Args:
        path: ``.pkl`` for the official form (numpy arrays, frames named by tuples), ``.json`` for the same as text.
        predictions: Name of a frame, ``"<split>/<segment>/<timestamp>"``, and what was predicted; all of one track.
        header: Values of :data:`HEADER`, further keys are kept; missing ones become empty, which the devkit only
            warns about.

    Returns:
        Number of frames.

    Raises:
        PerceptionError: A name of another form or used twice, mixed tracks, a header the devkit refuses, no frame, or a
            file that cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".pkl", ".json"):
        raise PerceptionError(f"{path}: expected a name ending in .pkl or .json")
    results: dict[Any, Any] = {}
    tracks = set()
    for name, annotation in predictions:
        parts = tuple(name.split("/"))
        if len(parts) != 3 or not all(parts):
            raise PerceptionError(f"{path}: frame {name!r}: expected <split>/<segment>/<timestamp>")
        key = parts if path.suffix == ".pkl" else name
        if key in results:
            raise PerceptionError(f"{path}: frame {name!r} was given twice")
        tracks.add(annotation.track)
        results[key] = {"predictions": annotation.to_block(predicted=True, arrays=path.suffix == ".pkl")}
    if len(tracks) != 1:
        raise PerceptionError(f"{path}: expected frames of one track, found {', '.join(sorted(tracks)) or 'no frame'}")
    content = {**_checked_header(path, header or {}), "results": results}
    data = pickle.dumps(content, protocol=4) if path.suffix == ".pkl" else json.dumps(content).encode()
    write_file(path, data)
    return len(results)


def read_submission(
    path: str | Path, track: str | None = None, trust: bool = False
) -> Iterator[tuple[str, Annotation]]:
    """Read a result file frame by frame.

    Args:
        path: ``.json``, or with `trust` ``.pkl``.
        track: ``"centerline"`` or ``"lane_segment"``; None looks at the first frame.
        trust: Open pickles.

    Yields:
        ``"<segment>/<timestamp>"`` and the prediction.

    Raises:
        InputError: Names file, frame, object and field.
    """
    frames = open_frames(Path(path), track, trust)
    for key, entry in frames.entries.items():
        place = Place(Path(path), "/".join(key))
        if not isinstance(entry, Mapping) or not isinstance(entry.get("predictions"), Mapping):
            raise place.error("the frame", "an object predictions", "none")
        yield "/".join(key), read_block(place, entry["predictions"], frames.track, predicted=True)


def _checked_header(path: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {key: [] if key == "authors" else "" for key in HEADER}
    header = {**empty, **given}
    authors = header["authors"]
    if not isinstance(authors, list) or len(authors) > MOST_AUTHORS or not all(isinstance(a, str) for a in authors):
        raise InputError(path, "authors", f"a list of at most {MOST_AUTHORS} names", repr(authors)[:80])
    for key in HEADER:
        if key != "authors" and not isinstance(header[key], str):
            raise InputError(path, key, "a text", repr(header[key])[:80])
    return header
