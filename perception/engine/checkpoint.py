"""Reading and writing weights: safetensors are ours, foreign ``.pth`` are read as weights only (DESIGN section 10)."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from perception.engine.packaged import find_file, folders
from perception.errors import InputError, PerceptionError, UnknownNameError

__all__ = ["file_sha256", "find_weights", "load_state", "load_weights", "save_weights", "state_of", "weights_meta"]

PACKAGE = "perception.weights"


def find_weights(name: str | Path) -> Path:
    """A path to weights: a file of one's own or the name of shipped weights.

    Raises:
        UnknownNameError: Neither exists; suggests close matches.
    """
    path = find_file(PACKAGE, name)
    if path is None:
        shipped = [file.name for root in folders(PACKAGE) for file in root.glob("*.safetensors")]
        raise UnknownNameError("weights file", str(name), shipped)
    return path


def load_state(path: str | Path, trust: bool = False) -> dict[str, Tensor]:
    """Read a flat ``state_dict`` from safetensors or from any usual layout of a ``.pth`` file.

    Half-precision tensors come back as float32. Nothing is unpickled beyond tensors unless ``trust`` is set.

    Args:
        path: ``.safetensors``, or a torch file with a bare state_dict, ``{"state_dict": ...}`` or ``{"model": ...}``.
        trust: Allow full unpickling, which can execute code from the file.

    Raises:
        InputError: The file is unreadable, or holds more than weights and ``trust`` is off.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            state = load_file(path)
        except (OSError, SafetensorError) as error:
            raise InputError(path, "", "a safetensors file", str(error)) from error
    else:
        state = state_of(_torch_load(path, trust), path)
    half = (torch.float16, torch.bfloat16)
    return {key: value.float() if value.dtype in half else value for key, value in state.items()}


def state_of(content: Any, path: str | Path = "checkpoint") -> dict[str, Tensor]:
    """The flat state_dict inside a loaded checkpoint; strips ``module.`` prefixes."""
    for key in ("state_dict", "model", "model_state", "model_state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise InputError(path, "", "a state_dict of tensors", type(content).__name__)
    wrong = [key for key, value in content.items() if not isinstance(value, Tensor)]
    if wrong:
        raise InputError(path, str(wrong[0]), "a tensor", type(content[wrong[0]]).__name__)
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def load_weights(model: nn.Module, path: str | Path, trust: bool = False) -> None:
    """Load weights into a model strictly, but for keys that begin with one of its ``optional_keys``, if it has any.

    Args:
        model: Target; its mode is left as it is.
        path: File, or name of shipped weights.
        trust: See :func:`load_state`.

    Raises:
        PerceptionError: Keys are missing, unexpected or of another shape (weights of another architecture).
    """
    path = find_weights(path)
    state, own = load_state(path, trust), model.state_dict()
    optional: tuple[str, ...] = tuple(getattr(model, "optional_keys", ()))  # type: ignore[arg-type]
    shapes = [key for key in state if key in own and state[key].shape != own[key].shape]
    counters = "num_batches_tracked"  # older checkpoints lack them, and they do not matter for results
    missing = [key for key in own if key not in state and not key.startswith(optional) and not key.endswith(counters)]
    surplus = [key for key in state if key not in own and not key.startswith(optional)]
    if shapes or missing or surplus:
        lines = [f"{path}: these weights do not fit {type(model).__name__}"]
        lines += [f"  {key}: expected {tuple(own[key].shape)}, found {tuple(state[key].shape)}" for key in shapes[:5]]
        for label, keys in (("missing", missing), ("unexpected", surplus)):
            if keys:
                lines.append(f"  {len(keys)} {label} key(s): {', '.join(keys[:5])}{', ...' if len(keys) > 5 else ''}")
        raise PerceptionError("\n".join(lines))
    model.load_state_dict(state, strict=False)


def save_weights(
    path: str | Path, state: Mapping[str, Tensor], meta: Mapping[str, Any] | None = None, half: bool = False
) -> None:
    """Write safetensors atomically; ``meta`` (json-able) is stored in the header and read by :func:`weights_meta`.

    Raises:
        PerceptionError: The disk is full or not writable.
    """
    from safetensors.torch import save

    from perception.sinks.storage import write_file

    def pack(value: Tensor) -> Tensor:
        value = value.detach().cpu().contiguous()
        return value.half() if half and value.dtype == torch.float32 else value

    tensors = {key: pack(value) for key, value in state.items()}
    write_file(Path(path), save(tensors, {"meta": json.dumps(dict(meta or {}))}))


def weights_meta(path: str | Path) -> dict[str, Any]:
    """The ``meta`` of :func:`save_weights`; empty for files that have none."""
    if Path(path).suffix != ".safetensors":
        return {}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return json.loads((file.metadata() or {}).get("meta", "{}"))
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise InputError(path, "header", "a safetensors file", str(error)) from error


def describe_model(name: str, model: nn.Module, weights: Path | None) -> dict[str, Any]:
    """Name and size of a stage's model, and name, hash and origin of its weights, for the report of a run."""
    described = {"model": name, "parameters": sum(parameter.numel() for parameter in model.parameters())}
    if weights is not None:
        origin = weights_meta(weights).get("trained_on", "published checkpoint")
        described |= {"weights": weights.name, "weights_sha256": file_sha256(weights), "trained_on": origin}
    return described


def file_sha256(path: str | Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _torch_load(path: Path, trust: bool) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        hint = "only tensors (use --trust to unpickle a file whose origin you trust; it can execute code)"
        raise InputError(path, "", hint, str(error).splitlines()[0]) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise InputError(path, "", "a torch checkpoint", f"{type(error).__name__}: {error}") from error
