"""Weights by rule: golden cases store no weights, every tensor follows from its ``state_dict`` key and shape.

A tensor is drawn in float64 by ``numpy.random.default_rng(zlib.crc32(key))`` and cast to its dtype. Which
distribution it gets is decided by the first matching row of its family's table (``FAMILIES``); the rows restate the
``rules`` entries of the manifests. A case on a sub-module hashes the key relative to that module, a whole-model case
the full key.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from perception.errors import InputError, UnknownNameError

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def _variance(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 0.5 + rng.random(shape)


def _zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape)


def _he_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else (shape[0] if shape else 1)
    return rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)


def _normal(scale: float) -> Draw:
    return lambda rng, shape: scale * rng.standard_normal(shape)


def _around_one(scale: float = 1.0) -> Draw:
    return lambda rng, shape: scale * (1 + 0.1 * rng.standard_normal(shape))


class Rule(NamedTuple):
    """One row: which keys it covers and what they get.

    Attributes:
        draw: Fills a shape from a generator; None leaves the tensor as it was constructed.
        suffixes: The key ends with one of these; empty matches every key.
        max_ndim: Only tensors with at most this many dimensions.
        integers: Only tensors of an integer or bool dtype.
    """

    draw: Draw | None
    suffixes: tuple[str, ...] = ()
    max_ndim: int | None = None
    integers: bool = False

    def covers(self, key: str, shape: tuple[int, ...], dtype: np.dtype) -> bool:
        """Tell whether this row applies to a tensor."""
        if self.suffixes and not key.endswith(self.suffixes):
            return False
        if self.integers and dtype.kind not in "iub":
            return False
        return self.max_ndim is None or len(shape) <= self.max_ndim


_STATISTICS = (Rule(_variance, ("running_var",)), Rule(_normal(0.1), ("running_mean",)))
_TRACKED = Rule(_zeros, ("num_batches_tracked",))
_KEEP_CODE_WEIGHTS = Rule(None, ("code_weights",))
_KEEP_INTEGERS = Rule(None, integers=True)
_COMMON = (Rule(_around_one(), (".weight",), max_ndim=1), Rule(_normal(0.02), ("bias",)))
_OTHER = Rule(_he_normal)

FAMILIES: dict[str, tuple[Rule, ...]] = {
    "ganet": (*_STATISTICS, _TRACKED, *_COMMON, _OTHER),
    "ppn_crowd": (*_STATISTICS, _TRACKED, *_COMMON, _OTHER),
    "lanesegnet": (*_STATISTICS, _TRACKED, _KEEP_INTEGERS, _KEEP_CODE_WEIGHTS, *_COMMON, _OTHER),
    "toponet": (
        *_STATISTICS,
        _TRACKED,
        _KEEP_CODE_WEIGHTS,
        Rule(_normal(1.0), ("query_embedding.weight",)),
        Rule(_around_one(0.2), ("bn3.weight",)),
        Rule(_normal(0.01), ("weight_forward", "weight_backward")),
        Rule(_normal(0.02), ("lcte_gnn_layer.weight",)),
        *_COMMON,
        _KEEP_INTEGERS,
        _OTHER,
    ),
}
"""First matching row wins. ``reap`` stores its few weights and needs no table."""


def fill_state(
    keys: Iterable[Mapping[str, Any]],
    scale: Sequence[Sequence[Any]] = (),
    family: str = "ganet",
    current: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Return the tensors that a golden case's weights consist of.

    Args:
        keys: Rows ``{"key": str, "shape": [int, ...], "dtype": str}`` as in the manifests; a missing dtype means
            float32.
        scale: Rows ``[regex, factor, kind]``: tensors whose key contains the pattern are multiplied by the factor. Kind
            ``"basic"`` is skipped when any key contains ``.bn3.`` (a model of bottleneck blocks); others always apply.
        family: Name of a rule table in ``FAMILIES``.
        current: Tensors as constructed, for rows that keep them (LaneSegNet's and TopoNet's ``code_weights``,
            integers).

    Returns:
        Key -> array of the stated shape and dtype, in the order of ``keys``. Tensors that a rule keeps are taken from
        ``current`` and left out where it does not have them.

    Raises:
        UnknownNameError: No table for the family.
        InputError: A row without key or shape.
    """
    if family not in FAMILIES:
        raise UnknownNameError("weight rule family", family, FAMILIES)
    rows = [_parse_row(index, row) for index, row in enumerate(keys)]
    bottleneck = any(".bn3." in key for key, _, _ in rows)
    factors = [
        (re.compile(entry[0]), float(entry[1]))
        for entry in scale
        if not (bottleneck and len(entry) > 2 and entry[2] == "basic")
    ]
    state: dict[str, np.ndarray] = {}
    for key, shape, dtype in rows:
        rule = next(rule for rule in FAMILIES[family] if rule.covers(key, shape, dtype))
        if rule.draw is None:
            if current is not None and key in current:
                state[key] = np.asarray(current[key])
            continue
        values = rule.draw(np.random.default_rng(zlib.crc32(key.encode())), shape)
        for pattern, factor in factors:
            if pattern.search(key):
                values = values * factor
        state[key] = np.asarray(values).astype(dtype).reshape(shape)
    return state


def _parse_row(index: int, row: Mapping[str, Any]) -> tuple[str, tuple[int, ...], np.dtype]:
    try:
        return str(row["key"]), tuple(int(n) for n in row["shape"]), np.dtype(row.get("dtype", "float32"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError("state_dict keys", f"row {index}", "{key, shape, dtype}", f"{row!r} ({error})") from error
