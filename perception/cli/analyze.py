"""``perception analyze``: compare runs, find the worst samples, tell what models cost."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "Compare training runs, list the samples that score worst, or tell what the models of configs cost."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", required=True)
    curves = actions.add_parser("curves", help="compare the curves of runs")
    curves.add_argument("runs", nargs="+", type=Path, help="run folders")
    worst = actions.add_parser("worst", help="samples of saved predictions that score worst")
    worst.add_argument("config")
    worst.add_argument("results", type=Path, help="folder of `perception test --save-results`")
    worst.add_argument("--metric", help="score to sort by (the first)")
    worst.add_argument("--count", type=int, default=12, help="samples to draw (12)")
    cost = actions.add_parser("cost", help="parameters, operations and latency of models")
    cost.add_argument("configs", nargs="*", help="configs (default: all shipped ones)")
    cost.add_argument("--repeats", type=int, default=5, help="timed passes; 0 only counts, without memory (5)")
    for command in (curves, worst):
        command.add_argument("--out", type=Path, default=Path("analysis"), help="folder to write to (analysis)")
        command.add_argument("--cfg-options", nargs="+", metavar="KEY=VALUE", help="override dotted config keys")


def run(args: argparse.Namespace) -> int:
    """Do one of the three."""
    return {"curves": _curves, "worst": _worst, "cost": _cost}[args.action](args)


def _curves(args: argparse.Namespace) -> int:
    from perception.engine.analyze import compare_runs, draw_runs, read_run

    names = [path.name for path in args.runs]
    labels = names if len(set(names)) == len(names) else [str(path) for path in args.runs]
    runs = {label: read_run(path) for label, path in zip(labels, args.runs)}
    args.out.mkdir(parents=True, exist_ok=True)
    rows = compare_runs(runs)
    (args.out / "curves.json").write_text(json.dumps(rows, indent=1))
    draw_runs(runs, args.out / "curves.png")
    for row in rows:
        values = "   ".join(f"{label} {row[f'{label}/last']:.4g}" for label in runs if f"{label}/last" in row)
        print(f"{row['curve']:<28} {values}")
    print(f"wrote {args.out}/curves.png and curves.json")
    return 0


def _worst(args: argparse.Namespace) -> int:
    from perception.engine.browse import worst_samples
    from perception.engine.config import load_config, parse_options
    from perception.sinks.storage import write_png

    config = load_config(args.config, parse_options(args.cfg_options))
    rows, sheet = worst_samples(config, args.results, args.metric, args.count)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "samples.json").write_text(json.dumps(rows, indent=1))
    write_png(args.out / "worst.png", sheet)
    for row in rows[: args.count]:
        scores = ", ".join(f"{name} {value:.3f}" for name, value in row.items() if isinstance(value, float))
        print(f"{row['name']}: {scores}")
    print(f"wrote {args.out}/worst.png and samples.json ({len(rows)} samples)")
    return 0


def _cost(args: argparse.Namespace) -> int:
    from perception.engine.analyze import Cost, cost_table, model_cost
    from perception.engine.config import load_config, packaged_configs
    from perception.errors import PerceptionError

    names = args.configs or [name for name in packaged_configs() if "model" in load_config(name)]
    costs: dict[str, Cost | str] = {}
    for name in names:
        try:
            costs[name] = model_cost(load_config(name), args.repeats)
        except PerceptionError as error:
            costs[name] = str(error)
    print("\n".join(cost_table(costs)))
    return 0
