"""``perception info DRIVE``: what is in a recorded drive, what is wrong with it, and what can run on it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from perception.errors import InputError
from perception.sources import DriveInfo, DriveMapping, drives_in, open_drive
from perception.sources.inspect import Gap, calibration_faults, sample_frames, stream_gaps, thumbnail_strip
from perception.structures import Fault

__all__ = ["HELP", "add_arguments", "run"]

HELP = "Topics, rates, gaps, cameras, calibration and poses of a recorded drive, and the pipelines that run on it."

_MAPPING_HEAD = """\
# Which topic is which sensor. Rename the cameras and LiDARs to the names your models use.
# sync.reference drives the frames; others join within tolerance_ms of its header stamp.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("drive", help="bag, MCAP file, video, picture, data set folder, https:// or s3://")
    parser.add_argument("--mapping", metavar="FILE", help="read with this mapping instead of a derived one")
    parser.add_argument("--calib", metavar="FILE", help="calibrations that replace those of the drive")
    parser.add_argument("--trust", action="store_true", help="read files that could run code (pickles of data sets)")
    parser.add_argument("--write-mapping", metavar="FILE", help="store the mapping in use, to edit it")
    parser.add_argument("--thumbnails", metavar="FILE", help="store a strip of pictures (.png or .jpg)")
    parser.add_argument("--samples", type=int, default=8, metavar="N", help="frames to look at (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="no gaps, calibration checks and pipelines")
    parser.add_argument("--json", action="store_true", help="print json instead of text")


@dataclass(frozen=True)
class _Findings:
    """What looking into a drive adds to its description."""

    gaps: Mapping[str, list[Gap]] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    pipelines: Mapping[str, str] = field(default_factory=dict)
    odometry: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "gaps": {name: [asdict(gap) for gap in gaps] for name, gaps in self.gaps.items()},
            "calibration_faults": [fault.to_dict() for fault in self.faults],
            "pipelines": {name: reason or "runs" for name, reason in self.pipelines.items()},
        }


def run(args: argparse.Namespace) -> int:
    """Print the description; 0 when the drive can be read."""
    inside = drives_in(args.drive)
    if inside and inside != [args.drive]:
        print(f"{args.drive}: {len(inside)} drive{'s'[: len(inside) != 1]} inside; describe one, run one or several")
        print("\n".join(f"  {drive}" for drive in inside))
        return 0
    with open_drive(args.drive, args.mapping, args.calib, trust=args.trust) as drive:
        frames = list(sample_frames(drive, args.samples)) if args.thumbnails or not args.quick else []
        info, found = drive.info, _Findings()
        if not args.quick:
            found = _look(drive, frames, info, args.mapping is None)
        if args.thumbnails:
            _write_strip(Path(args.thumbnails), thumbnail_strip(frames))
    if args.write_mapping:
        _write_mapping(Path(args.write_mapping), info.mapping)
    print(json.dumps({**info.to_dict(), **found.to_dict()}, indent=2) if args.json else "\n".join(_lines(info, found)))
    return 0


def _look(drive: Any, frames: list[Any], info: DriveInfo, derived: bool) -> _Findings:
    """``derived``: the mapping is not the user's, so that ``run`` computes poses where stages need some."""
    from perception.runtime.runnable import verdicts
    from perception.sources.odometry import odometry_helps

    seen = {name for frame in frames for name in frame.images}
    blind = [name for name, size in info.cameras.items() if size is None and name not in seen]
    faults = tuple(calibration_faults(drive, frames))
    odometry = derived and odometry_helps(info)
    posed = replace(info, has_pose=True) if odometry else info
    return _Findings(stream_gaps(drive.stream_times()), faults, verdicts(posed, blind=blind), odometry)


def _write_strip(path: Path, strip: Any) -> None:
    import cv2

    if strip is None:
        raise InputError(path, "thumbnails", "a drive with images or clouds that decode", "none")
    encoded, data = cv2.imencode(path.suffix or ".png", strip[..., ::-1])
    if not encoded:
        raise InputError(path, "thumbnails", "a name that ends with .png or .jpg", path.suffix)
    _write(path, data.tobytes())


def _write_mapping(path: Path, mapping: DriveMapping) -> None:
    _write(path, (_MAPPING_HEAD + yaml.safe_dump(mapping.to_dict(), sort_keys=False)).encode())


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise InputError(path, "", "a file that can be written", str(error)) from error


def _lines(info: DriveInfo, found: _Findings) -> Iterable[str]:
    yield f"{info.uri} ({info.source})"
    about = "" if info.frames_exact else "up to "
    yield f"  {about}{info.frames} frames in {info.duration_s:.2f} s, reference {info.mapping.reference}"
    yield "streams"
    width = max((len(stream.name) for stream in info.streams), default=0)
    kinds = max((len(stream.type) for stream in info.streams), default=0)
    for stream in info.streams:
        count = "?" if stream.count < 0 else str(stream.count)
        rate = f"{stream.rate_hz:8.2f} Hz" if stream.rate_hz else ""
        gaps = found.gaps.get(stream.name, [])
        gap = f"  {len(gaps)} gap(s), longest {gaps[0].length_s:.2f} s at {gaps[0].start_s:.2f} s" if gaps else ""
        yield f"  {stream.name:<{width}}  {stream.type:<{kinds}}  {count:>7} {rate}{gap}".rstrip()
    yield "sensors"
    for name, size in info.cameras.items():
        pixels = "no image decoded" if size is None else f"{size[0]}x{size[1]}"
        calibration = "calibrated" if name in info.calibrated else "no calibration"
        yield f"  camera {name}: {pixels}, {calibration}, {_mounting(info, name)}{_topic(info, name)}"
    for name in info.lidars:
        yield f"  lidar {name}: {_mounting(info, name)}{_topic(info, name)}"
    source = f" ({info.pose_source})" if info.pose_source else ""
    if found.odometry:
        source = " (LiDAR odometry computes it for pipelines that need one)"
    yield f"  ego pose: {'found' if info.has_pose else 'not found'}{source}"
    if info.origin is not None:
        yield "  world: east, north and up of latitude {:.7f}, longitude {:.7f}, height {:.1f} m".format(*info.origin)
    if info.transforms:
        yield "transforms"
        yield from _tree(info.transforms)
    faults = [*info.faults, *(fault for fault in found.faults if fault not in info.faults)]
    if faults:
        yield "faults"
        yield from (f"  {fault.where}: {fault.kind}: {fault.message}" for fault in faults)
    if found.pipelines:
        yield "pipelines"
        for name, reason in found.pipelines.items():
            yield f"  {name}: {f'cannot run, because {reason}' if reason else 'runs'}".replace(
                "cannot run, because runs in part", "runs in part"
            )


def _tree(edges: Iterable[tuple[str, str, bool]]) -> Iterable[str]:
    """The transform tree, a line a frame, indented below its parent."""
    below: dict[str, list[tuple[str, bool]]] = {}
    for parent, child, moving in edges:
        below.setdefault(parent, []).append((child, moving))
    children = {child for entries in below.values() for child, _ in entries}
    waiting = [(name, False, 1) for name in sorted(set(below) - children, reverse=True)]
    while waiting:
        name, moving, depth = waiting.pop()
        yield f"{'  ' * depth}{name}{' (moving)' if moving else ''}"
        waiting += [(child, turns, depth + 1) for child, turns in sorted(below.pop(name, []), reverse=True)]


def _mounting(info: DriveInfo, name: str) -> str:
    if name in info.yaws:
        return f"mounting pose known, looks to {info.yaws[name] * 57.29578:+.0f} degrees"
    return "mounting pose known" if name in info.posed else "no mounting pose"


def _topic(info: DriveInfo, name: str) -> str:
    camera, lidar = info.mapping.cameras.get(name), info.mapping.lidars.get(name)
    topic = camera.image if camera else lidar.points if lidar else ""
    return f" ({topic})" if topic else ""
