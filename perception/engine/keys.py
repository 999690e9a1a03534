"""What a checkpoint for a config must hold: names and shapes of all tensors, and a digest of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from mmengine.registry import init_default_scope

from perception.engine.checkpoint import load_state
from perception.engine.config import load_config
from perception.errors import PerceptionError
from perception.registry import MODELS

__all__ = ["expected_keys", "keys_digest", "matching_config"]


def expected_keys(config: str | Path) -> dict[str, list[int]]:
    """Name and shape of every tensor of a config's model; built on the ``meta`` device, without memory."""
    content = load_config(config)
    init_default_scope(content.get("default_scope", "perception"))
    with torch.device("meta"):
        model = MODELS.build(content.model)
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items()}


def keys_digest(keys: Mapping[str, Sequence[int]]) -> str:
    """16 hex digits that change with any name or shape: SHA-256 of sorted lines ``name 64x3x7x7``."""
    lines = sorted(f"{name} {'x'.join(map(str, shape))}\n" for name, shape in keys.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def matching_config(checkpoint: str | Path, configs: Iterable[str], trust: bool = False) -> str:
    """The config of `configs` whose model a checkpoint fills, leaving the fewest of its tensors unused.

    Counters of batch normalisation, which old files lack, do not count. Configs that differ in other things than the
    network (the data set, say) have the same tensors; the first of them is as good as any for converting.

    Raises:
        PerceptionError: None fits; says which comes closest and what differs.
    """
    found = {name: list(value.shape) for name, value in load_state(checkpoint, trust).items()}
    fits: dict[str, int] = {}
    wrong: dict[str, list[str]] = {}
    for config in configs:
        wanted = expected_keys(config)
        needed = [name for name in wanted if not name.endswith("num_batches_tracked")]
        wrong[config] = [name for name in needed if found.get(name) != wanted[name]]
        if not wrong[config]:
            fits[config] = sum(name not in wanted for name in found)
    if fits:
        return min(fits, key=lambda config: fits[config])
    if not wrong:
        raise PerceptionError(f"{checkpoint}: no config to compare it with; name one with --config")
    closest = min(wrong, key=lambda config: len(wrong[config]))
    raise PerceptionError(
        f"{checkpoint}: fills none of {len(wrong)} configs; {closest} comes closest, {len(wrong[closest])} tensors are "
        f"missing or of another shape ({', '.join(wrong[closest][:3])}); name a config with --config to see all"
    )
