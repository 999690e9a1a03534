"""``perception browse WHAT``: samples with truth drawn on them."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = (
    "Draw samples of a config's data with their truth, as stored and as the network sees them, into one picture; or "
    "frames of recorded drives with theirs."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("what", nargs="+", metavar="WHAT", help="a config file, the name of a shipped one, or drives")
    parser.add_argument("--part", choices=("train", "val", "test"), default="train")
    parser.add_argument("--count", type=int, default=12, help="samples (12)")
    parser.add_argument("--seed", type=int, default=0, help="of the augmentation (0)")
    parser.add_argument("--stored-only", action="store_true", help="leave out what the network sees")
    parser.add_argument(
        "--show", nargs="+", default=[], metavar="KIND", help="drives: lane_segments, boxes_3d, cloud, ... (all)"
    )
    parser.add_argument("--width", type=int, default=1920, help="of the picture in pixels (1920)")
    parser.add_argument("--out", type=Path, default=Path("browse.png"), help=".png or .jpg to write (browse.png)")
    parser.add_argument("--cfg-options", nargs="+", metavar="KEY=VALUE", help="override dotted config keys")


def run(args: argparse.Namespace) -> int:
    """Write the picture."""
    from perception.engine.browse import browse_drives, browse_samples
    from perception.engine.config import load_config, parse_options
    from perception.errors import PerceptionError
    from perception.sinks.storage import write_picture
    from perception.sources import split_part

    if args.count < 1 or args.width < 16:
        raise PerceptionError(f"browse: expected --count >= 1 and --width >= 16, found {args.count}, {args.width}")
    path = Path(split_part(args.what[0])[0])
    if len(args.what) > 1 or (path.exists() and path.suffix != ".py"):
        sheet = browse_drives(args.what, args.count, args.show, args.width)
    else:
        config = load_config(args.what[0], parse_options(args.cfg_options))
        sheet = browse_samples(config, args.part, args.count, args.seed, args.stored_only, args.width)
    write_picture(args.out, sheet)
    print(f"wrote {args.out}")
    return 0
