"""Field validators: each says which field, the expected shape with the actual count filled in, and what arrived."""

from __future__ import annotations

from typing import Any

import numpy as np

from perception.errors import PerceptionError

__all__ = ["array_field", "polylines_field"]


def array_field(owner: str, name: str, value: Any, shape: tuple[int | None, ...], dtype: Any) -> np.ndarray:
    """Convert to a read-only array of ``dtype`` whose shape matches ``shape`` (None = any length).

    Raises:
        PerceptionError: The shape does not match, or the value is not numeric.
    """
    try:
        array = np.asarray(value, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise PerceptionError(f"{owner}.{name}: expected numbers of type {np.dtype(dtype)}, found {error}") from error
    if array.size == 0 and array.ndim != len(shape):
        array = array.reshape([0 if size is None else size for size in shape])
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape))
    if not fits:
        expected = "(" + ", ".join("N" if size is None else str(size) for size in shape) + ")"
        raise PerceptionError(f"{owner}.{name}: expected shape {expected}, found {array.shape}")
    if array.flags.writeable:
        array = array.view()
        array.setflags(write=False)
    return array


def polylines_field(owner: str, name: str, value: Any, columns: int, minimum: int = 2) -> tuple[np.ndarray, ...]:
    """Convert to a tuple of (N, ``columns``) float32 polylines with at least ``minimum`` points each."""
    lines = tuple(array_field(owner, f"{name}[{i}]", line, (None, columns), np.float32) for i, line in enumerate(value))
    for i, line in enumerate(lines):
        if len(line) < minimum:
            raise PerceptionError(f"{owner}.{name}[{i}]: expected at least {minimum} points, found {len(line)}")
    return lines
