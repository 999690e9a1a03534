"""``perception test CONFIG WEIGHTS``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "Evaluate weights on a config's test data; prints published figures next to yours."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", help="a config file, or the name of a shipped one")
    parser.add_argument("weights", help="a checkpoint, or the name of shipped weights")
    parser.add_argument("--work-dir", type=Path, help="folder for logs (default: work_dirs/<config name>)")
    parser.add_argument("--threads", type=int, help="intra-op threads of torch")
    parser.add_argument("--cfg-options", nargs="+", metavar="KEY=VALUE", help="override dotted config keys")
    parser.add_argument("--json", type=Path, help="also write the scores to this file")


def run(args: argparse.Namespace) -> int:
    """Evaluate."""
    from perception.engine.config import load_config, parse_options
    from perception.engine.train import TrainOptions, evaluate

    config = load_config(args.config, parse_options(args.cfg_options))
    scores = evaluate(config, args.weights, TrainOptions(work_dir=args.work_dir, threads=args.threads))
    for name, value in scores.items():
        print(f"{name:<28} {value:.4f}")
    if published := config.get("published"):
        print(f"{'published ' + published['metric']:<28} {published['value']}  ({published['source']})")
    if args.json:
        args.json.write_text(json.dumps(scores, indent=1))
    return 0
