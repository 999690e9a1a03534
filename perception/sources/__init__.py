"""Recorded drives in: bags, MCAP files, videos and picture folders, all as a sequence of frames.

``open_drive`` picks the source by content. Third parties add layouts by registering a
:class:`~perception.sources.base.DriveSource` in :data:`perception.registry.SOURCES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from perception.errors import InputError, UnknownNameError
from perception.registry import SOURCES
from perception.sources.base import DriveInfo, DriveOptions, DriveSource, StreamInfo
from perception.sources.mapping import DriveMapping
from perception.sources.remote import fetch
from perception.sources.rig import load_cameras
from perception.structures import Camera

__all__ = [
    "DriveInfo",
    "DriveMapping",
    "DriveOptions",
    "DriveSource",
    "StreamInfo",
    "drives_in",
    "open_drive",
    "source_for",
    "split_part",
    "with_odometry",
]

_BUILT_IN = (
    "argoverse2",
    "bag",
    "cloud_folder",
    "comma2k19",
    "images",
    "kitti",
    "mmdet3d_infos",
    "nuscenes",
    "openlanev2",
    "racecar",
    "video",
)
"""One module a format: a new one is a file that registers its source, and a line here."""

_LOG_SUFFIXES = (".mcap", ".bag", ".db3", ".mp4", ".mkv")


def source_for(path: str | Path, trust: bool = False) -> type[DriveSource]:
    """The source class that reads a path best; one that needs ``trust`` without it only if there is no other.

    Raises:
        InputError: The path does not exist or no source reads it; the text lists what was found.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(path, "", "a recorded drive", "no such file or folder")
    best = _best(path, trust)
    if best is None:
        inside = [str(drive.relative_to(path)) for drive in islice(_below(path), 4)] if path.is_dir() else []
        if inside:
            found = f"a folder with drives inside it: {', '.join(inside[:3])}{', ...' if len(inside) > 3 else ''}"
            raise InputError(path, "", "one drive", found)
        kinds = ", ".join(sorted(source.KIND or source.__name__ for source in _classes()))
        raise InputError(path, "", f"a drive of one of the kinds: {kinds}", _contents(path))
    return best


def drives_in(path: str | Path, limit: int = 1000) -> list[str]:
    """Drives below a path, each as :func:`open_drive` takes it.

    A path that is one drive gives itself; a data set root gives ``root#scene`` or the folders of its drives.
    """
    if split_part(path)[1] or "://" in str(path):
        return [str(path)]
    path = Path(path)
    best = _best(path) if path.exists() else None
    if best is not None:
        parts = best.parts(path)
        return [f"{path}#{part}" for part in parts] if len(parts) > 1 else [str(path)]
    return [str(folder) for folder in islice(_below(path), limit)]


def split_part(uri: str | Path) -> tuple[str, str]:
    """``root#scene`` -> its path and the name behind the ``#``; a path that exists as it stands has no such name."""
    text = str(uri)
    path, _, part = text.rpartition("#")
    return (path, part) if path and not Path(text).exists() else (text, "")


def open_drive(
    uri: str | Path,
    mapping: str | Path | DriveMapping | Mapping[str, Any] | None = None,
    calib: str | Path | Mapping[str, Camera] | None = None,
    start: float | None = None,
    end: float | None = None,
    every: int = 1,
    trust: bool = False,
    follow: float | None = None,
) -> DriveSource:
    """Open a recorded drive.

    Args:
        uri: Bag, MCAP file, video, picture or folder; ``root#name`` for one of several drives in a folder; ``https://``
            and ``s3://`` are fetched into a cache first.
        mapping: Which topic is which sensor: a yaml file, its content or a :class:`DriveMapping`; None derives it.
        calib: Calibrations that replace those of the drive: a yaml file or cameras by name.
        start: Seconds from the drive's first frame.
        end: Seconds from the drive's first frame, inclusive.
        every: Deliver every n-th frame.
        trust: Read files that could run code (pickles of data sets).
        follow: Wait for a drive that is still being written, until nothing new came for this many seconds.

    Returns:
        A source to iterate over; use it as a context manager.

    Raises:
        InputError: Nothing in the drive can be read, or it is of no known kind, or it holds several drives.
        UnknownNameError: Mapping or calibration name something the drive does not have.
    """
    text, part = split_part(uri)
    path = fetch(text) if "://" in text else Path(text)
    source = source_for(path, trust)
    parts = source.parts(path)
    if part and part not in parts:
        raise UnknownNameError(f"drive in {path}", part, parts)
    if len(parts) > 1 and not part:
        named = ", ".join(f"{path.name}#{name}" for name in parts[:5])
        raise InputError(
            path, "", "one drive", f"{len(parts)}: name one, as in {named}{' ...' if len(parts) > 5 else ''}"
        )
    if isinstance(mapping, (str, Path)):
        mapping = DriveMapping.from_yaml(mapping)
    elif mapping is not None and not isinstance(mapping, DriveMapping):
        mapping = DriveMapping.from_dict(mapping)
    cameras = load_cameras(calib) if isinstance(calib, (str, Path)) else calib or {}
    drive = source(path, DriveOptions(mapping, cameras, start, end, every, trust, part, follow))
    return with_odometry(drive) if mapping is not None and mapping.pose == "lidar" else drive


def with_odometry(drive: DriveSource) -> DriveSource:
    """The drive with ego poses computed from its clouds; closes it when that is not possible."""
    from perception.sources.odometry import LidarOdometrySource

    try:
        return LidarOdometrySource(drive)
    except BaseException:
        drive.close()
        raise


def _classes() -> list[type[DriveSource]]:
    for name in _BUILT_IN:
        importlib.import_module(f"perception.sources.{name}")
    return list(SOURCES.module_dict.values())


def _best(path: Path, trust: bool = False) -> type[DriveSource] | None:
    weights = {source: 1 if trust or not source.NEEDS_TRUST else 0.01 for source in _classes()}
    scores = [(source.probe(path) * weight, source) for source, weight in weights.items()]
    score, best = max(scores, key=lambda pair: pair[0])
    return best if score > 0 else None


def _below(folder: Path, depth: int = 3) -> Iterator[Path]:
    """Folders and log files below a folder that are drives, outermost first."""
    if depth == 0 or not folder.is_dir():
        return
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or (entry.is_file() and entry.suffix not in _LOG_SUFFIXES):
            continue
        if _best(entry) is not None:
            yield entry
        else:
            yield from _below(entry, depth - 1)


def _contents(path: Path) -> str:
    if path.is_dir():
        names = sorted(entry.name for entry in path.iterdir())
        return (
            f"a folder with {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}" if names else "an empty folder"
        )
    with path.open("rb") as stream:
        head = stream.read(8)
    return f"a file of {path.stat().st_size} bytes that begins with {head!r}" if head else "an empty file"
