"""``perception simulate``: drives and datasets with ground truth."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from perception.errors import PerceptionError

HELP = "make drives and datasets with ground truth"

_DEFAULTS = {"drive": ((960, 540), 50), "culane": ((1640, 590), 10)}

_SIZE_HELP = "image size (default: 960x540 for drives, 1640x590 for culane); culane: 'mixed' draws one for each picture"
_MIXED = (0, 0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="folder to write to; files that exist are kept, so it can be resumed")
    add("--format", choices=sorted(_DEFAULTS), default="drive", help="MCAP drives or a CULane tree (default: drive)")
    add("--scenes", type=int, default=1, metavar="N", help="number of drives or image folders (default: 1)")
    add("--frames", type=int, metavar="K", help="frames a scene (default: 50 for drives, 10 for culane)")
    add("--seed", type=int, default=0, metavar="S", help="first seed; from 900000 on seeds are held out from training")
    add("--preset", default="random", help="random, day, night or rain (default: random)")
    add("--size", type=_size, metavar="WxH", help=_SIZE_HELP)
    add("--rows-from", type=float, default=0.0, metavar="F", help="culane: leave this share of the top black")
    add("--fps", type=float, default=10.0, help="frames a second of drives (default: 10)")
    add("--workers", type=int, default=1, metavar="W", help="processes; the files do not depend on it (default: 1)")


def run(args: argparse.Namespace) -> int:
    """Write the files and name each one; returns 0."""
    size, frames = _DEFAULTS[args.format]
    size, frames = args.size or size, frames if args.frames is None else args.frames
    if args.format == "drive" and (size == _MIXED or args.rows_from):
        raise PerceptionError("simulate: --size mixed and --rows-from are for --format culane")
    common = (args.out, args.scenes, frames, args.seed, args.preset, None if size == _MIXED else size, args.workers)
    if args.format == "drive":
        from perception.sim.writers.mcap import write_drives

        for path in write_drives(*common, fps=args.fps):
            print(path, flush=True)
    else:
        from perception.sim.writers.culane import write_culane

        count = sum(1 for _ in write_culane(*common, rows_from=args.rows_from))
        print(f"{count} pictures in {args.out}")
    return 0


def _size(text: str) -> tuple[int, int]:
    if text == "mixed":
        return _MIXED
    match = re.fullmatch(r"(\d+)[xX](\d+)", text)
    if not match or min(int(match[1]), int(match[2])) < 16:
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT of at least 16x16, or mixed, found {text!r}")
    return int(match[1]), int(match[2])
