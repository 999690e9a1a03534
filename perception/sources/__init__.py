"""Recorded drives in: bags, MCAP files, videos and picture folders, all as a sequence of frames.

``open_drive`` picks the source by content. Third parties add layouts by registering a
:class:`~perception.sources.base.DriveSource` in :data:`perception.registry.SOURCES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perception.errors import InputError
from perception.registry import SOURCES
from perception.sources.base import DriveInfo, DriveOptions, DriveSource, StreamInfo
from perception.sources.mapping import DriveMapping
from perception.sources.rig import load_cameras
from perception.structures import Camera

__all__ = ["DriveInfo", "DriveMapping", "DriveOptions", "DriveSource", "StreamInfo", "open_drive", "source_for"]

_BUILT_IN = ("bag", "images", "video")


def source_for(path: str | Path) -> type[DriveSource]:
    """The source class that reads a path best.

    Raises:
        InputError: The path does not exist or no source reads it; the text lists what was found.
    """
    for name in _BUILT_IN:
        importlib.import_module(f"perception.sources.{name}")
    if "://" in str(path):
        raise InputError(path, "", "a file or folder", f"the unsupported scheme {str(path).split('://')[0]}://")
    path = Path(path)
    if not path.exists():
        raise InputError(path, "", "a recorded drive", "no such file or folder")
    classes: list[type[DriveSource]] = list(SOURCES.module_dict.values())
    score, best = max(((source.probe(path), source) for source in classes), key=lambda pair: pair[0])
    if score <= 0:
        kinds = ", ".join(sorted(source.KIND or source.__name__ for source in classes))
        raise InputError(path, "", f"a drive of one of the kinds: {kinds}", _contents(path))
    return best


def open_drive(
    uri: str | Path,
    mapping: str | Path | DriveMapping | Mapping[str, Any] | None = None,
    calib: str | Path | Mapping[str, Camera] | None = None,
    start: float | None = None,
    end: float | None = None,
    every: int = 1,
) -> DriveSource:
    """Open a recorded drive.

    Args:
        uri: Bag, MCAP file, video, picture or folder.
        mapping: Which topic is which sensor: a yaml file, its content or a :class:`DriveMapping`; None derives it.
        calib: Calibrations that replace those of the drive: a yaml file or cameras by name.
        start: Seconds from the drive's first frame.
        end: Seconds from the drive's first frame, inclusive.
        every: Deliver every n-th frame.

    Returns:
        A source to iterate over; use it as a context manager.

    Raises:
        InputError: Nothing in the drive can be read, or it is of no known kind.
        UnknownNameError: Mapping or calibration name something the drive does not have.
    """
    source = source_for(uri)
    if isinstance(mapping, (str, Path)):
        mapping = DriveMapping.from_yaml(mapping)
    elif mapping is not None and not isinstance(mapping, DriveMapping):
        mapping = DriveMapping.from_dict(mapping)
    cameras = load_cameras(calib) if isinstance(calib, (str, Path)) else calib or {}
    return source(Path(uri), DriveOptions(mapping, cameras, start, end, every))


def _contents(path: Path) -> str:
    if path.is_dir():
        names = sorted(entry.name for entry in path.iterdir())
        return (
            f"a folder with {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}" if names else "an empty folder"
        )
    with path.open("rb") as stream:
        head = stream.read(8)
    return f"a file of {path.stat().st_size} bytes that begins with {head!r}" if head else "an empty file"
