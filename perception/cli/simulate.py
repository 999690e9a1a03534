"""``perception simulate``: drives and datasets with ground truth."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from perception.errors import PerceptionError

if TYPE_CHECKING:
    from perception.runtime.progress import Progress

HELP = "make drives and datasets with ground truth"

_SIZE_HELP = "image size (default: of the format or rig); culane: 'mixed' draws one for each picture"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    from perception.sim.writers import FORMATS

    formats = ", ".join(f"{name}: {entry.help}" for name, entry in FORMATS.items())
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="folder to write to; files that exist are kept, so it can be resumed")
    add("--format", choices=sorted(FORMATS), default="drive", help=f"{formats} (default: drive)")
    add("--scenes", type=int, default=1, metavar="N", help="number of drives or image folders (default: 1)")
    add("--frames", type=int, metavar="K", help="frames a scene (default: 50 for drives, 10 for culane)")
    add("--seed", type=int, default=0, metavar="S", help="first seed; from 900000 on seeds are held out from training")
    add("--preset", default="random", help="random, day, night or rain (default: random)")
    add("--world", choices=("road", "town"), help="roads with one front camera, or towns with a rig (default: road)")
    add("--rig", help="town: ring7, nuscenes6 or dash (default: ring7)")
    add("--lidar", type=int, metavar="BEAMS", help="town: 32, 64 or 128; 0 for none (default: none)")
    add("--size", type=_size, metavar="WxH", help=_SIZE_HELP)
    add("--rows-from", type=float, metavar="F", help="culane: leave this share of the top black")
    add("--fps", type=float, default=10.0, help="frames a second of drives (default: 10)")
    add("--workers", type=int, default=1, metavar="W", help="processes; the files do not depend on it (default: 1)")
    add("--option", action="append", default=[], metavar="KEY=VALUE", help="setting of the format, repeatable")


def run(args: argparse.Namespace) -> int:
    """Write the files and name each one; returns 0."""
    from perception.held_out import note_seeds
    from perception.sim.writers import FORMATS, Request, writer

    options, bar = {}, _Bar()
    for text in args.option:
        key, equals, value = text.partition("=")
        if not equals:
            raise PerceptionError(f"simulate: --option: expected KEY=VALUE, found {text!r}")
        options[key] = value
    if args.rows_from is not None:
        if args.format != "culane":
            raise PerceptionError("simulate: --rows-from is for --format culane")
        options["rows_from"] = str(args.rows_from)
    request = Request(
        args.out, args.scenes, args.frames, args.seed, args.preset, args.size, args.fps, args.workers, args.world,
        args.rig, args.lidar, options, bar.update,
    )  # fmt: skip
    last = FORMATS[args.format].last_seed(request)
    try:
        for line in writer(args.format)(request):
            if last is not None and args.format != "sheet":
                note_seeds(args.out, args.seed, last, format=args.format, preset=args.preset)
                last = None
            print(line, flush=True)
    finally:
        bar.close()
    return 0


class _Bar:
    """A progress bar that begins when the first piece is done."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def update(self, done: int, total: int) -> None:
        """Tell how much is done."""
        from perception.runtime.progress import Progress

        if self._progress is None:
            self._progress = Progress(total)
        self._progress.update(done, 0)

    def close(self) -> None:
        """Remove the bar."""
        if self._progress is not None:
            self._progress.close()


def _size(text: str) -> tuple[int, int]:
    if text == "mixed":
        return 0, 0
    match = re.fullmatch(r"(\d+)[xX](\d+)", text)
    if not match or min(int(match[1]), int(match[2])) < 16:
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT of at least 16x16, or mixed, found {text!r}")
    return int(match[1]), int(match[2])
