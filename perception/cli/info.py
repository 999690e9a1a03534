"""``perception info DRIVE``: what is in a recorded drive, and the mapping it would be read with."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import yaml

from perception.errors import InputError
from perception.sources import DriveInfo, DriveMapping, open_drive

__all__ = ["HELP", "add_arguments", "run"]

HELP = "Topics, types, rates, duration, cameras, calibration and poses of a recorded drive."

_MAPPING_HEAD = """\
# Which topic is which sensor. Rename the cameras and LiDARs to the names your models use.
# sync.reference drives the frames; others join within tolerance_ms of its header stamp.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("drive", help="bag, MCAP file, video, picture or folder")
    parser.add_argument("--mapping", metavar="FILE", help="read with this mapping instead of a derived one")
    parser.add_argument("--calib", metavar="FILE", help="calibrations that replace those of the drive")
    parser.add_argument("--write-mapping", metavar="FILE", help="store the mapping in use, to edit it")
    parser.add_argument("--json", action="store_true", help="print json instead of text")


def run(args: argparse.Namespace) -> int:
    """Print the description; 0 when the drive can be read."""
    with open_drive(args.drive, args.mapping, args.calib) as drive:
        info = drive.info
    if args.write_mapping:
        _write_mapping(Path(args.write_mapping), info.mapping)
    print(json.dumps(info.to_dict(), indent=2) if args.json else "\n".join(_lines(info)))
    return 0


def _write_mapping(path: Path, mapping: DriveMapping) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_MAPPING_HEAD + yaml.safe_dump(mapping.to_dict(), sort_keys=False))
    except OSError as error:
        raise InputError(path, "", "a file that can be written", str(error)) from error


def _lines(info: DriveInfo) -> Iterable[str]:
    yield f"{info.uri} ({info.source})"
    about = "" if info.frames_exact else "up to "
    yield f"  {about}{info.frames} frames in {info.duration_s:.2f} s, reference {info.mapping.reference}"
    yield "streams"
    width = max((len(stream.name) for stream in info.streams), default=0)
    kinds = max((len(stream.type) for stream in info.streams), default=0)
    for stream in info.streams:
        count = "?" if stream.count < 0 else str(stream.count)
        rate = f"{stream.rate_hz:8.2f} Hz" if stream.rate_hz else ""
        yield f"  {stream.name:<{width}}  {stream.type:<{kinds}}  {count:>7} {rate}".rstrip()
    yield "sensors"
    for name, size in info.cameras.items():
        pixels = "no image decoded" if size is None else f"{size[0]}x{size[1]}"
        calibration = "calibrated" if name in info.calibrated else "no calibration"
        yield f"  camera {name}: {pixels}, {calibration}, {_mounting(info, name)}{_topic(info, name)}"
    for name in info.lidars:
        yield f"  lidar {name}: {_mounting(info, name)}{_topic(info, name)}"
    yield f"  ego pose: {'found' if info.has_pose else 'not found'}"
    if info.faults:
        yield "faults"
        yield from (f"  {fault.where}: {fault.kind}: {fault.message}" for fault in info.faults)


def _mounting(info: DriveInfo, name: str) -> str:
    return "mounting pose known" if name in info.posed else "no mounting pose"


def _topic(info: DriveInfo, name: str) -> str:
    camera, lidar = info.mapping.cameras.get(name), info.mapping.lidars.get(name)
    topic = camera.image if camera else lidar.points if lidar else ""
    return f" ({topic})" if topic else ""
