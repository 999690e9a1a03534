"""Files that ship with the package, in a wheel as in a checkout."""

from __future__ import annotations

import importlib
from pathlib import Path

__all__ = ["find_file", "folders"]


def folders(package: str) -> list[Path]:
    """Folders of a package, also of one without ``__init__`` such as ``perception.configs``; empty when it has none."""
    try:
        return [Path(folder) for folder in importlib.import_module(package).__path__]
    except ModuleNotFoundError:
        return []


def find_file(package: str, *names: str | Path) -> Path | None:
    """The first of ``names`` that is a file of the user's own, else the first that ships in ``package``."""
    own = (Path(name) for name in names)
    shipped = (folder / name for folder in folders(package) for name in names)
    return next((path for path in (*own, *shipped) if path.is_file()), None)
