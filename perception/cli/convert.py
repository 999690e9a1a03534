"""``perception convert CHECKPOINT --config CONFIG``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "Turn a published checkpoint into ours (safetensors); reports unused and missing keys."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--config", required=True, help="the config whose model the weights are for")
    parser.add_argument("--out", type=Path, help="default: beside the checkpoint")
    parser.add_argument("--trust", action="store_true", help="allow full unpickling; it can execute code from the file")


def run(args: argparse.Namespace) -> int:
    """Convert."""
    from mmengine.registry import init_default_scope

    from perception.engine.checkpoint import load_state, save_weights
    from perception.engine.config import load_config
    from perception.registry import MODELS

    config = load_config(args.config)
    init_default_scope("perception")
    model = MODELS.build(config.model)
    own, state = model.state_dict(), load_state(args.checkpoint, args.trust)
    fits = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    report = {
        "missing": [key for key in own if key not in state],
        "unused": [key for key in state if key not in own],
        "wrong shape": [key for key in state if key in own and own[key].shape != state[key].shape],
    }
    for label, keys in report.items():
        print(f"{label}: {len(keys)}" + "".join(f"\n  {key}" for key in keys))
    if not fits:
        print(f"none of the {len(state)} keys fit {args.config}; nothing written")
        return 1
    out = args.out or args.checkpoint.with_suffix(".safetensors")
    meta = {"config": args.config, "converted_from": args.checkpoint.name, "trained_on": "published checkpoint"}
    save_weights(out, fits, meta)
    print(f"wrote {out}\nnext: perception test {args.config} {out}")
    return 0
