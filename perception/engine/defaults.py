"""From a config as it is written to one that a Runner takes: our parts for mmengine's, checked keys, found data."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from mmengine import registry as mm_registry
from mmengine.config import Config

from perception.engine import collate, hooks, loop, optim, results  # noqa: F401 - registers them
from perception.engine.run_info import datasets_of
from perception.errors import PerceptionError, UnknownNameError
from perception.held_out import HELD_OUT_SEED, held_out_seeds
from perception.registry import DATASETS

__all__ = ["apply_engine", "check_keys", "data_path", "explain_build_errors", "refuse_held_out", "resolve_data"]

RUNNER_KEYS = {
    *("model", "work_dir", "train_dataloader", "val_dataloader", "test_dataloader", "train_cfg", "val_cfg", "test_cfg"),
    *("optim_wrapper", "param_scheduler", "val_evaluator", "test_evaluator", "default_hooks", "custom_hooks"),
    *("custom_imports", "load_from", "env_cfg", "log_processor", "log_level", "visualizer", "default_scope"),
    *("randomness", "base_batch_size", "early_stop", "find_unused_parameters"),
}
"""Top-level keys with a meaning; a config may define other names of its own."""
TRACKERS = {"tensorboard": "TensorboardVisBackend", "wandb": "WandbVisBackend", "mlflow": "MLflowVisBackend"}
_UNREGISTERED = re.compile(r"(\S+) is not in the (\S+)::(.+?) registry")
_WRONG_CALL = re.compile(r"(\w+)\.__init__\(\) (got an unexpected keyword argument .*|missing \d+ required .*)")


def check_keys(config: Config, needed: tuple[str, ...]) -> None:
    """Refuse a config that lacks a key, or that has one which looks like a misspelt key.

    Raises:
        PerceptionError: Names the key and the likely intention.
    """
    for name in config:
        close = difflib.get_close_matches(str(name), RUNNER_KEYS, n=1, cutoff=0.85)
        if close and name not in RUNNER_KEYS and close[0] not in config:
            raise PerceptionError(f"{config.filename}: unknown key {name!r}: did you mean {close[0]!r}?")
    missing = [key for key in needed if key not in config]
    if missing:
        raise PerceptionError(f"{config.filename}: not a training config: missing {', '.join(missing)}")


def apply_engine(config: Config, amp: str | None = None, trackers: tuple[str, ...] = ("tensorboard",)) -> None:
    """Replace mmengine's parts by ours, in place (docs/training.md lists them).

    Args:
        config: Training config.
        amp: ``bf16`` on any device, ``fp16`` on CUDA, None for full precision.
        trackers: Names of `TRACKERS` that receive the curves.

    Raises:
        PerceptionError: The device cannot do `amp`.
    """
    loader, cycle = config.train_dataloader, config.train_cfg
    if loader.get("sampler", {}).get("type") == "DefaultSampler":
        loader.sampler.type = "EpochSampler"
    if loader.dataset["type"] != "SeededDataset":
        loader.dataset = {"type": "SeededDataset", "dataset": loader.dataset}
    if "by_epoch" in cycle:
        cycle.type = "EpochLoop" if cycle.pop("by_epoch") else "IterationLoop"
    _choose_optim_wrapper(config.optim_wrapper, amp)
    own = dict(config.get("default_hooks") or {})
    checkpoint = {"type": "CheckpointHook", **(own.get("checkpoint") or {})}
    if checkpoint["type"] == "CheckpointHook":
        checkpoint["type"] = "Checkpoints"
    config.default_hooks = {**own, "checkpoint": checkpoint}
    added: list[dict[str, Any]] = [{"type": "DataWait"}, {"type": "RunFolder"}, {"type": "ProgressBar"}]
    added.append({"type": "FrozenGuard", "loaded": bool(config.get("load_from"))})
    if config.get("load_from"):
        added.append({"type": "InitialWeights", "weights": config.load_from})
        config.load_from = None
    if config.get("early_stop"):
        added.append({"type": "EarlyStop", **config.early_stop})
    present = list(config.get("custom_hooks") or [])
    types = {hook["type"] for hook in present}
    config.custom_hooks = [*present, *(hook for hook in added if hook["type"] not in types)]
    backends = [{"type": "LocalVisBackend"}, *({"type": _tracker(name)} for name in trackers)]
    config.setdefault("visualizer", {"type": "Visualizer", "vis_backends": backends})


def data_path(root: str | Path) -> Path:
    """A data root as configs give it: a relative one is taken below ``PERCEPTION_DATA`` when that is set.

    A leading ``data/`` stands for ``PERCEPTION_DATA`` itself: ``data/culane`` is ``$PERCEPTION_DATA/culane``.
    """
    root, base = Path(root), os.environ.get("PERCEPTION_DATA")
    if root.is_absolute() or not base:
        return root
    return Path(base, *(root.parts[1:] if root.parts[:1] == ("data",) else root.parts))


def resolve_data(config: Config, parts: tuple[str, ...]) -> None:
    """Put full paths into the datasets of the dataloaders `parts` (``train``, ...), in place.

    Raises:
        PerceptionError: A folder does not exist; shows the tree that the dataset expects there.
    """
    for part in parts:
        for dataset in datasets_of((config.get(f"{part}_dataloader") or {}).get("dataset")):
            if "data_root" not in dataset:
                continue
            written = dataset["data_root"]
            path = data_path(written)
            if not path.is_dir():
                raise PerceptionError(_missing_data(config, part, dataset["type"], str(written), path))
            dataset["data_root"] = str(path)


def refuse_held_out(config: Config) -> None:
    """Keep held-out worlds of the simulator out of training, unless the config says ``allow_held_out = True``.

    Args:
        config: Whose training data has full paths.

    Raises:
        PerceptionError: Training data was made of held-out seeds.
    """
    if config.get("allow_held_out"):
        return
    for dataset in datasets_of(config.train_dataloader.get("dataset")):
        for first, last in held_out_seeds(dataset["data_root"]) if "data_root" in dataset else ():
            raise PerceptionError(
                f"{dataset['data_root']}: made of the seeds {first} to {last}, which are held out from training; "
                f"simulate with seeds below {HELD_OUT_SEED}, or pass --cfg-options allow_held_out=True"
            )


@contextmanager
def explain_build_errors(config: Config) -> Iterator[None]:
    """Turn mmengine's errors about unknown types, wrong arguments and absent files into ones that name the fix."""
    try:
        yield
    except KeyError as error:
        found = _UNREGISTERED.search(str(error.args[0]) if error.args else "")
        if found is None:
            raise
        name, _, kind = found.groups()
        raise UnknownNameError(f"{kind} type in {config.filename}", name, _names(kind)) from error
    except TypeError as error:
        found = _WRONG_CALL.search(str(error))
        if found is None:
            raise
        raise PerceptionError(f"{config.filename}: {found.group(1)}: {found.group(2)}") from error
    except (URLError, FileNotFoundError) as error:
        if isinstance(error, FileNotFoundError) and "can not be found" not in str(error):  # mmengine's loader says that
            raise
        cache = Path(torch.hub.get_dir()) / "checkpoints"
        advice = f"pretrained weights that must be downloaded belong into {cache}; others are given by their path"
        raise PerceptionError(f"{config.filename}: {error}; {advice}") from error


def _choose_optim_wrapper(wrapper: Any, amp: str | None) -> None:
    if amp == "fp16":
        if not torch.cuda.is_available():
            raise PerceptionError("--amp fp16 needs a CUDA device; use --amp bf16, which also runs on the CPU")
        wrapper.type = "AmpOptimWrapper"  # its loss scale skips steps that are not finite
        return
    if wrapper.get("type", "OptimWrapper") == "OptimWrapper":
        wrapper.type = "GuardedOptimWrapper"
    if amp == "bf16":
        if wrapper.type != "GuardedOptimWrapper":
            raise PerceptionError(f"--amp bf16 works with OptimWrapper, the config has {wrapper.type}")
        wrapper.autocast = "bfloat16"


def _tracker(name: str) -> str:
    if name not in TRACKERS:
        raise UnknownNameError("tracker", name, TRACKERS)
    return TRACKERS[name]


def _missing_data(config: Config, part: str, kind: str, written: str, path: Path) -> str:
    tree = getattr(DATASETS.get(kind), "expected_tree", "")
    base = os.environ.get("PERCEPTION_DATA")
    lines = [f"{config.filename}: dataset not found: {path} is not a folder"]
    lines += [f"expected there:\n{tree.rstrip()}"] if tree else []
    state = f"PERCEPTION_DATA is {base}" if base else "PERCEPTION_DATA is not set"
    option = f"--cfg-options {part}_dataloader.dataset.data_root=FOLDER"
    lines.append(f"{written!r} is looked for below PERCEPTION_DATA ({state}); or give {option}")
    return "\n".join(lines)


def _names(kind: str) -> list[str]:
    """Everything registered under a kind of registry, in all scopes."""
    label = kind.replace(" ", "_")
    for registry in vars(mm_registry).values():
        if isinstance(registry, mm_registry.Registry) and registry.name in (kind, label):
            names = set(registry.module_dict)
            for child in registry.children.values():
                names |= set(child.module_dict)
            return sorted(names)
    return []
