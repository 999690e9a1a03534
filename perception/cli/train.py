"""``perception train CONFIG``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "Train a model from a config; the run folder receives checkpoints, logs and weights.safetensors."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", help="a config file, or the name of a shipped one")
    parser.add_argument("--work-dir", type=Path, help="run folder (default: work_dirs/<config name>)")
    parser.add_argument("--resume", action="store_true", help="continue from the newest checkpoint of the run folder")
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm"), default="none")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--threads", type=int, help="intra-op threads of torch")
    amp_help = "mixed precision: bf16 (CPU and CUDA; the default of --amp) or fp16 (CUDA)"
    parser.add_argument("--amp", nargs="?", const="bf16", choices=("bf16", "fp16"), help=amp_help)
    parser.add_argument(
        "--tracker", nargs="*", default=["tensorboard"], help="tensorboard, wandb, mlflow; none if empty"
    )
    parser.add_argument("--deterministic", action="store_true", help="refuse operations whose results vary")
    parser.add_argument("--no-scale-lr", action="store_true", help="keep the config's learning rate at any batch size")
    parser.add_argument("--cfg-options", nargs="+", metavar="KEY=VALUE", help="override dotted config keys")


def run(args: argparse.Namespace) -> int:
    """Train."""
    from perception.engine.config import load_config, parse_options
    from perception.engine.train import TrainOptions, train

    config = load_config(args.config, parse_options(args.cfg_options))
    options = TrainOptions(
        work_dir=args.work_dir,
        resume=args.resume,
        launcher=args.launcher,
        seed=args.seed,
        threads=args.threads,
        scale_lr=not args.no_scale_lr,
        amp=args.amp,
        trackers=tuple(args.tracker),
        deterministic=args.deterministic,
    )
    print(f"weights: {train(config, options)}")
    return 0
