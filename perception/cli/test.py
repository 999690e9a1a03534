"""``perception test CONFIG WEIGHTS``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "Evaluate weights on a config's test data; prints published figures next to yours."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", help="a config file, or the name of a shipped one")
    parser.add_argument("weights", nargs="?", help="a checkpoint, or the name of shipped weights")
    parser.add_argument("--save-results", type=Path, metavar="DIR", help="also write the predictions to DIR")
    parser.add_argument("--from-results", type=Path, metavar="DIR", help="score predictions that were saved; no model")
    parser.add_argument("--trust", action="store_true", help="unpickle a checkpoint that holds more than tensors")
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm"), default="none")
    parser.add_argument("--work-dir", type=Path, help="folder for logs (default: work_dirs/<config name>)")
    parser.add_argument("--threads", type=int, help="intra-op threads of torch")
    parser.add_argument("--cfg-options", nargs="+", metavar="KEY=VALUE", help="override dotted config keys")
    parser.add_argument("--json", type=Path, help="also write the scores to this file")


def run(args: argparse.Namespace) -> int:
    """Evaluate."""
    from mmengine.dist import is_main_process

    from perception.engine.config import load_config, parse_options
    from perception.engine.evaluate import evaluate, score_results
    from perception.engine.train import TrainOptions
    from perception.errors import PerceptionError

    if (args.weights is None) == (args.from_results is None):
        raise PerceptionError("test: expected either WEIGHTS or --from-results DIR")
    config = load_config(args.config, parse_options(args.cfg_options))
    if args.from_results:
        scores = score_results(config, args.from_results)
    else:
        options = TrainOptions(work_dir=args.work_dir, threads=args.threads, launcher=args.launcher)
        scores = evaluate(config, args.weights, options, args.save_results, args.trust)
    if not is_main_process():
        return 0
    published = config.get("published")
    print(f"{'metric':<28} {'yours':>10}" + (f" {'published':>12}" if published else ""))
    beside = matching(scores, published) if published else None
    for name, value in scores.items():
        print(f"{name:<28} {value:>10.4f}" + (f" {published['value']:>12}" if name == beside else ""))
    if published:
        print(f"published: {published['metric']} {published['value']} ({published['source']})")
    if args.json:
        args.json.write_text(json.dumps(scores, indent=1))
    return 0


def matching(scores: dict[str, float], published: dict) -> str | None:
    """The score that a published figure is for: the one whose name ends with that of its metric."""
    return next((name for name in scores if name.rsplit("/", 1)[-1] == published["metric"]), None)
