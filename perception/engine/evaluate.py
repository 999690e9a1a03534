"""Scoring weights, or predictions that were saved, on a config's test data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.model import is_model_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from perception.engine.checkpoint import file_sha256, find_weights, load_weights
from perception.engine.defaults import check_keys, explain_build_errors, resolve_data
from perception.engine.distributed import join_group
from perception.engine.loop import explain_step_errors
from perception.engine.results import read_results
from perception.engine.train import TrainOptions, common
from perception.errors import PerceptionError
from perception.version import __version__

__all__ = ["evaluate", "score_results", "score_samples", "with_test_parts"]


def evaluate(
    config: Config,
    weights: str | Path,
    options: TrainOptions | None = None,
    save_results: Path | None = None,
    trust: bool = False,
) -> dict[str, float]:
    """Score weights on the config's test data (its validation data when it has no test data).

    Args:
        config: Of the model and its data.
        weights: File, or name of shipped weights.
        options: What the command line adds.
        save_results: Folder that receives the predictions, see :mod:`perception.engine.results`.
        trust: Unpickle checkpoints that hold more than tensors.

    Raises:
        PerceptionError: The config, the data or the weights are at fault.
    """
    config = with_test_parts(common(config, options or TrainOptions()))
    resolve_data(config, ("test",))
    for key in ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "load_from"):
        config[key] = None
    for key in ("val_dataloader", "val_cfg", "val_evaluator"):
        config[key] = None
    config.custom_hooks = [hook for hook in config.get("custom_hooks") or [] if hook["type"] != "EMAHook"]
    if save_results is not None:
        file = find_weights(weights)
        header = {"config": str(config.filename or ""), "weights": file.name, "sha256": file_sha256(file)}
        header["version"] = __version__
        config.custom_hooks.append({"type": "SaveResults", "folder": str(save_results), "header": header})
    join_group(config)
    with explain_build_errors(config):
        runner = Runner.from_cfg(config)
    load_weights(runner.model.module if is_model_wrapper(runner.model) else runner.model, weights, trust)
    with explain_step_errors(config, "test"):
        return {key: float(value) for key, value in runner.test().items()}


def score_results(config: Config, folder: Path) -> dict[str, float]:
    """Score saved predictions with the config's metrics; neither the model nor the data is needed."""
    header, samples = read_results(folder)
    evaluator, count = _evaluator(config, header), 0
    for sample in samples:
        evaluator.process([sample])
        count += 1
    if not count:
        raise PerceptionError(f"{folder}: no samples")
    return {key: float(value) for key, value in evaluator.evaluate(count).items()}


def score_samples(config: Config, folder: Path) -> Iterator[tuple[dict[str, Any], dict[str, float]]]:
    """Every saved prediction with the scores it gets alone."""
    header, samples = read_results(folder)
    evaluator = _evaluator(config, header)
    for sample in samples:
        evaluator.process([sample])
        scores: Mapping[str, Any] = evaluator.evaluate(1)
        yield sample, {key: float(value) for key, value in scores.items()}


def with_test_parts(config: Config) -> Config:
    """Let validation data and metrics stand in for missing test ones, in place.

    Raises:
        PerceptionError: There are neither.
    """
    check_keys(config, ("model",))
    for part in ("dataloader", "evaluator", "cfg"):
        if config.get(f"test_{part}") is None:
            if config.get(f"val_{part}") is None:
                raise PerceptionError(f"{config.filename}: neither test_{part} nor val_{part} is set")
            config[f"test_{part}"] = config[f"val_{part}"] if part != "cfg" else {}
    return config


def _evaluator(config: Config, header: Mapping[str, Any]) -> Evaluator:
    config = with_test_parts(common(config, TrainOptions()))
    init_default_scope(config.default_scope)
    with explain_build_errors(config):
        evaluator = Evaluator(config.test_evaluator)
    evaluator.dataset_meta = header["dataset_meta"]
    return evaluator
