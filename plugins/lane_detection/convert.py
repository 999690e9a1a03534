"""Published GANet checkpoints become ours: checked against the config's model, written as safetensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from perception.engine.checkpoint import load_state, save_weights
from perception.engine.config import load_config
from perception.errors import PerceptionError
from perception.registry import MODELS

from . import components
from .model import OPTIONAL_KEYS

__all__ = ["ConversionReport", "components", "convert_checkpoint"]


@dataclass(frozen=True)
class ConversionReport:
    """What happened to the keys of a checkpoint.

    Attributes:
        written: Number of tensors written.
        unused: Keys of the file that the model does not have.
        missing: Keys of the model that the file does not have; only harmless ones (`OPTIONAL_KEYS`).
    """

    written: int
    unused: tuple[str, ...]
    missing: tuple[str, ...]


def convert_checkpoint(
    source: str | Path, config: str | Path, out: str | Path, trust: bool = False
) -> ConversionReport:
    """Convert one checkpoint (bare state_dict, ``state_dict`` member, ``module.`` prefix; spec ganet section 1.5).

    Args:
        source: Published file.
        config: Config of the same architecture.
        out: Safetensors file to write.
        trust: Allow unpickling, which can execute code from the file.

    Raises:
        PerceptionError: The file lacks tensors that the model needs, or they have another shape.
    """
    model = MODELS.build(load_config(config).model)
    own, state = model.state_dict(), load_state(source, trust)
    shapes = [
        f"{k} {tuple(own[k].shape)} != {tuple(v.shape)}"
        for k, v in state.items()
        if k in own and own[k].shape != v.shape
    ]
    missing = [key for key in own if key not in state]
    needed = [key for key in missing if not key.startswith(OPTIONAL_KEYS) and not key.endswith("num_batches_tracked")]
    if shapes or needed:
        found = (
            f"{len(needed)} missing ({', '.join(needed[:3])}), {len(shapes)} of another shape ({', '.join(shapes[:3])})"
        )
        raise PerceptionError(f"{source}: not a checkpoint for {config}: {found}")
    written = {key: value for key, value in state.items() if key in own}
    written |= {key: own[key] for key in missing}
    save_weights(out, written, {"config": Path(config).name, "trained_on": "published checkpoint"})
    return ConversionReport(len(written), tuple(key for key in state if key not in own), tuple(missing))
