"""``perception weights list``: where weights come from and what they must hold."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "List shipped weights, and for every config with published ones their origin page, licence and expected keys."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="all shipped and published weights")
    listing.add_argument("--json", action="store_true", help="machine-readable output")
    keys = actions.add_parser("keys", help="names and shapes that a checkpoint for a config must hold")
    keys.add_argument("config")
    keys.add_argument("--out", type=Path, help="write them to this JSON file")


def run(args: argparse.Namespace) -> int:
    """Print the list, or the keys."""
    return _keys(args) if args.action == "keys" else _list(args)


def _list(args: argparse.Namespace) -> int:
    from perception.engine.checkpoint import find_weights, weights_meta
    from perception.engine.config import load_config, packaged_configs
    from perception.engine.keys import expected_keys, keys_digest
    from perception.plugin import discover

    shipped, published = [], []
    for spec in discover().specs.values():
        for name in spec.weights:
            path = find_weights(name)
            meta = weights_meta(path)
            shipped.append(
                {"plugin": spec.name, "file": name, "megabytes": round(path.stat().st_size / 1e6, 1), **meta}
            )
    for name in packaged_configs():
        entry = load_config(name).get("published")
        if entry:
            keys = expected_keys(name)
            published.append({"config": name, **entry, "tensors": len(keys), "keys": keys_digest(keys)})
    if args.json:
        print(json.dumps({"shipped": shipped, "published": published}, indent=1))
        return 0
    print("shipped (trained on simulated data only):")
    for row in shipped:
        print(f"  {row['file']:<34} {row['megabytes']:>5} MB  {row['plugin']}, config {row.get('config', '?')}")
    print("published (download them yourself, then `perception convert FILE --config CONFIG`):")
    for row in published:
        print(f"  {row['config']}\n    {row['metric']} {row['value']}; origin: {row.get('page', row['source'])}")
        licence = row.get("licence", "see the origin")
        print(f"    licence: {licence}; expects {row['tensors']} tensors, digest {row['keys']}")
    return 0


def _keys(args: argparse.Namespace) -> int:
    from perception.engine.keys import expected_keys

    keys = expected_keys(args.config)
    if args.out:
        args.out.write_text(json.dumps(keys, indent=1))
        print(f"wrote {len(keys)} keys to {args.out}")
    else:
        print("\n".join(f"{name}  {tuple(shape)}" for name, shape in keys.items()))
    return 0
