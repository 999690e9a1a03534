"""``perception browse CONFIG``: samples with truth drawn on them."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "Draw samples of a config's data with their truth, as stored and as the network sees them, into one picture."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", help="a config file, or the name of a shipped one")
    parser.add_argument("--part", choices=("train", "val", "test"), default="train")
    parser.add_argument("--count", type=int, default=12, help="samples (12)")
    parser.add_argument("--seed", type=int, default=0, help="of the augmentation (0)")
    parser.add_argument("--out", type=Path, default=Path("browse.png"), help="picture to write (browse.png)")
    parser.add_argument("--cfg-options", nargs="+", metavar="KEY=VALUE", help="override dotted config keys")


def run(args: argparse.Namespace) -> int:
    """Write the picture."""
    from perception.engine.browse import browse_samples
    from perception.engine.config import load_config, parse_options
    from perception.sinks.storage import write_png

    sheet = browse_samples(load_config(args.config, parse_options(args.cfg_options)), args.part, args.count, args.seed)
    write_png(args.out, sheet)
    print(f"wrote {args.out}")
    return 0
