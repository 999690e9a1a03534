"""Numpy files of unknown origin: read without pickles, damage refused with the name of the file."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from perception.errors import InputError

__all__ = ["load_npy", "load_npz"]

_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    AttributeError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy and zipfile raise for damaged files; MemoryError is a header that states a size nobody has."""


def load_npy(path: Path) -> np.ndarray:
    """Read a ``.npy`` file.

    Raises:
        InputError: It cannot be read, is damaged or holds objects.
    """
    try:
        array = np.load(path, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("an archive")
        return array
    except _DAMAGE as error:
        raise InputError(path, "", "a .npy file of plain numbers", str(error) or type(error).__name__) from error


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of an ``.npz`` file.

    Raises:
        InputError: It cannot be read, is damaged or holds objects.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except _DAMAGE as error:
        raise InputError(path, "", "an .npz of plain arrays", str(error) or type(error).__name__) from error
