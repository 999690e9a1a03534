"""Every shipped config builds and its shrunken copy trains and predicts; a new config is tested by existing.

A config declares ``tiny_overrides`` (dotted key -> value) and ``tiny_data`` (``module:function``, called with the
folder of the dataset and the config, which writes a few samples there).
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch import Tensor

from perception.engine.config import apply_options, load_config, packaged_configs
from perception.engine.defaults import data_path
from perception.engine.keys import expected_keys, keys_digest
from perception.engine.run_info import datasets_of
from perception.engine.train import TrainOptions, prepare
from perception.errors import PerceptionError
from perception.registry import MODELS

CONFIGS = [name for name in packaged_configs() if not name.startswith(("pipelines/", "robustness/"))]
PUBLISHED = {"value", "metric", "version", "source"}


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("perception")
    MessageHub.get_instance("all_configs")


def shrunken(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The tiny copy of a config with data below `folder`, as the engine would run it."""
    monkeypatch.setenv("PERCEPTION_DATA", str(folder))
    config = load_config(name)
    missing = [key for key in ("tiny_overrides", "tiny_data") if key not in config]
    assert not missing, f"{name}: declares no {missing}, which this test needs (docs/training.md, last section)"
    apply_options(config, config.tiny_overrides)
    module, function = config.tiny_data.split(":")
    roots = {dataset["data_root"] for dataset in datasets_of(config.train_dataloader.dataset) if "data_root" in dataset}
    for root in roots:
        getattr(importlib.import_module(module), function)(data_path(root), config)
    return prepare(config, TrainOptions(work_dir=folder / "run", trackers=()))


def trainable(config: Config) -> tuple[Any, Any, dict]:
    """Model, optimiser wrapper and first batch."""
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    loader = Runner.build_dataloader(config.train_dataloader, seed=0)
    return model.train(), wrapper, next(iter(loader))


def emptied(value: Tensor) -> Tensor:
    """Nothing to see: no points in a table of points (N, C), darkness in anything else."""
    return value[:0] if value.ndim == 2 else torch.zeros_like(value)


def map_tensors(batch: Any, change: Any) -> Any:
    """Apply `change` to the float tensors under ``inputs``."""
    if isinstance(batch, Tensor):
        return change(batch) if batch.is_floating_point() else batch
    if isinstance(batch, dict):
        return {key: map_tensors(value, change) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        return type(batch)(map_tensors(value, change) for value in batch)
    return batch


def test_every_registered_model_has_a_config():
    used = {load_config(name).model.type for name in CONFIGS}
    models = {name for name, kind in MODELS.module_dict.items() if issubclass(kind, BaseModel)}
    ours = {name for name in models if MODELS.module_dict[name].__module__.startswith("perception.plugins.")}
    assert ours and ours <= used, f"no config tries {sorted(ours - used)}"


@pytest.mark.parametrize("name", CONFIGS)
def test_full_size_model_builds_without_memory(name: str):
    config = load_config(name)
    with torch.device("meta"):
        model = MODELS.build(config.model)
    assert all(parameter.is_meta for parameter in model.parameters())
    assert sum(parameter.numel() for parameter in model.parameters()) > 0
    assert isinstance(config.base_batch_size, int) and config.base_batch_size > 0
    if "published" in config:
        assert set(config.published) >= PUBLISHED
        assert config.published.get("keys") in (None, keys_digest(expected_keys(name))), "not the published tensors"


@pytest.mark.parametrize("name", CONFIGS)
def test_shrunken_copy_trains_and_predicts(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = shrunken(name, tmp_path, monkeypatch)
    model, wrapper, batch = trainable(config)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    losses = model.train_step(batch, wrapper)
    assert all(torch.isfinite(value) for value in losses.values()), losses
    trained = [key for key, parameter in model.named_parameters() if not torch.equal(before[key], parameter)]
    assert trained, "the step changed no parameter"

    dark = {**batch, "inputs": map_tensors(batch["inputs"], emptied)}
    assert all(torch.isfinite(value) for value in model.train_step(dark, wrapper).values()) and wrapper.skipped == 0
    good = {key: value.clone() for key, value in model.state_dict().items()}
    model.train_step({**batch, "inputs": map_tensors(batch["inputs"], lambda x: x * float("nan"))}, wrapper)
    assert wrapper.skipped == 1
    for key, value in model.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, good[key], rtol=0, atol=0, msg=f"{key} was changed by a batch of NaN")

    copy = MODELS.build(config.model)
    copy.load_state_dict(model.state_dict(), strict=True)
    loader = Runner.build_dataloader(config.val_dataloader, seed=0)
    seen = next(iter(loader))
    with torch.no_grad():
        ours, theirs = model.eval().val_step(seen), copy.eval().val_step(seen)
        assert len(ours) == len(theirs) == min(config.val_dataloader.batch_size, len(loader.dataset))
        assert repr(ours) == repr(theirs)
        assert len(model.val_step({**seen, "inputs": map_tensors(seen["inputs"], emptied)})) == len(ours)
        try:
            spoilt = model.val_step({**seen, "inputs": map_tensors(seen["inputs"], lambda x: x * float("nan"))})
        except PerceptionError as error:
            assert "finite" in str(error)
        else:
            assert len(spoilt) == len(ours)
