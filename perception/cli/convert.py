"""``perception convert CHECKPOINT --config CONFIG``: a published checkpoint, checked against a model and rewritten."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from perception.errors import PerceptionError

__all__ = ["HELP", "ConversionReport", "add_arguments", "convert_checkpoint", "run"]

HELP = "Turn a published checkpoint into ours (safetensors); reports unused and missing keys."


@dataclass(frozen=True)
class ConversionReport:
    """What happened to the keys of a checkpoint.

    Attributes:
        written: Number of tensors written.
        unused: Keys of the file that the model does not have.
        missing: Keys of the model that the file does not have; only harmless ones, written as the model begins.
    """

    written: int
    unused: tuple[str, ...]
    missing: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("checkpoint", type=Path)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--config", help="the config whose model the weights are for")
    target.add_argument("--plugin", help="find that config among those of this plugin, by the names of the tensors")
    parser.add_argument("--out", type=Path, help="default: beside the checkpoint")
    parser.add_argument("--trust", action="store_true", help="allow full unpickling; it can execute code from the file")


def run(args: argparse.Namespace) -> int:
    """Convert."""
    out = args.out or args.checkpoint.with_suffix(".safetensors")
    if out.exists() and out.samefile(args.checkpoint):
        raise PerceptionError(f"{out}: expected another file to write to than the checkpoint; name one with --out")
    config = args.config or _config_of(args.plugin, args.checkpoint, args.trust)
    report = convert_checkpoint(args.checkpoint, config, out, args.trust)
    for label, keys in (("unused", report.unused), ("missing", report.missing)):
        print(f"{label}: {len(keys)}" + "".join(f"\n  {key}" for key in keys))
    print(f"wrote {report.written} tensors to {out}\nnext:\n  perception test {config} {out}")
    if command := _run_command(config, out):
        print(f"  {command}")
    return 0


def _config_of(plugin: str, checkpoint: Path, trust: bool) -> str:
    """The first config of a plugin that a checkpoint fits, published ones first."""
    from perception.engine.config import load_config
    from perception.engine.keys import matching_config
    from perception.plugin import load

    contents = {name: load_config(name) for name in load(plugin).configs}
    names = sorted(
        (name for name, content in contents.items() if "model" in content),
        key=lambda name: "published" not in contents[name],
    )
    config = matching_config(checkpoint, names, trust)
    print(f"config: {config}")
    return config


def _run_command(config: str, weights: Path) -> str:
    """How to run the weights on a drive: the first shipped pipeline with a stage of the config's plugin."""
    from perception.engine.config import find_config, load_config, packaged_configs

    plugin = find_config(config).parent.name
    for name in packaged_configs():
        stages = load_config(name).pipeline.stages if name.startswith("pipelines/") else []
        for index, stage in enumerate(stages):
            if stage.get("plugin") == plugin:
                key = f"pipeline.stages.{index}"
                options = f"{key}.config={config} {key}.weights={weights}"
                return f"perception run DRIVE --pipeline {name} --out out --cfg-options {options}"
    return ""


def convert_checkpoint(
    source: str | Path, config: str | Path, out: str | Path, trust: bool = False
) -> ConversionReport:
    """Convert one checkpoint; its layout may be any that :func:`perception.engine.checkpoint.load_state` reads.

    A model may rename keys of the published layout by a method ``published_keys(state)``.
    Keys that a model names in its attribute ``optional_keys`` (prefixes) and counters of batch normalisation may be
    missing from the file.

    Args:
        source: Published file.
        config: Config of the same architecture, a shipped name or a path.
        out: Safetensors file to write.
        trust: Allow unpickling, which can execute code from the file.

    Raises:
        PerceptionError: The file lacks tensors that the model needs, or they have another shape; nothing is written.
    """
    from mmengine.registry import init_default_scope

    from perception.engine.checkpoint import load_state, save_weights
    from perception.engine.config import load_config
    from perception.registry import MODELS

    init_default_scope("perception")
    model = MODELS.build(load_config(config).model)
    own, state = model.state_dict(), load_state(source, trust)
    if hasattr(model, "published_keys"):
        state = model.published_keys(state)
    optional = tuple(getattr(model, "optional_keys", ()))
    missing = [key for key in own if key not in state]
    needed = [key for key in missing if not key.startswith(optional) and not key.endswith("num_batches_tracked")]
    shapes = [
        f"{key} {tuple(value.shape)} in place of {tuple(own[key].shape)}"
        for key, value in state.items()
        if key in own and own[key].shape != value.shape
    ]
    if shapes or needed:
        wrong = [f"{len(needed)} missing ({', '.join(needed[:3])})"] * bool(needed)
        wrong += [f"{len(shapes)} of another shape ({', '.join(shapes[:3])})"] * bool(shapes)
        raise PerceptionError(f"{source}: not a checkpoint for {config}: {', '.join(wrong)}")
    meta = {"config": str(config), "converted_from": Path(source).name, "trained_on": "published checkpoint"}
    save_weights(out, {key: state.get(key, own[key]) for key in own}, meta)
    return ConversionReport(len(own), tuple(key for key in state if key not in own), tuple(missing))
