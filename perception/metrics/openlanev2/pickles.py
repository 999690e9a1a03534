"""Pickled collections and result files of OpenLane-V2, which are opened only when their origin is trusted.

Even then only numpy arrays and plain Python values are built: a file that names anything else is refused.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import InputError

__all__ = ["plain", "read_pickle"]

_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
_NAMES = {"ndarray", "dtype", "_reconstruct", "scalar", "_frombuffer", "int64", "float64", "bool_", "str_"}
_BUILTINS = {"complex", "set", "frozenset", "bytearray", "slice", "range"}
_COLLECTIONS = {"OrderedDict", "defaultdict"}


class _Plain(pickle.Unpickler):
    """Builds arrays and plain values only."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a harmless constructor.

        Raises:
            pickle.UnpicklingError: The file asks for another one.
        """
        known = (module in _MODULES and name in _NAMES) or (module == "collections" and name in _COLLECTIONS)
        if known or (module == "builtins" and name in _BUILTINS):
            return super().find_class(module, name)
        if module == "_codecs" and name == "encode":  # how pickles of Python 2 spell bytes
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name}, which is neither an array nor a plain value")


def read_pickle(path: Path, trust: bool) -> Mapping[Any, Any]:
    """The object in a pickle.

    Args:
        path: Collection (``data_dict_*.pkl``) or result file.
        trust: What the user said about the file's origin; without it nothing is opened.

    Raises:
        InputError: Not trusted, not readable, or it holds something else than arrays and plain values.
    """
    if not trust:
        raise InputError(path, "", "json, or --trust to open a pickle whose origin you trust", "a pickle")
    try:
        content = _Plain(io.BytesIO(path.read_bytes())).load()
    except Exception as error:  # a broken pickle may raise anything
        raise InputError(path, "", "a pickle of arrays and plain values", str(error)[:120]) from error
    if not isinstance(content, Mapping):
        raise InputError(path, "", "a dictionary", type(content).__name__)
    return content


def plain(value: Any) -> Any:
    """Numpy scalars as Python numbers, at any depth; arrays stay as they are."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
