"""Files that are either complete or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

__all__ = ["AtomicBackend", "replacing", "write_text"]


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to, which takes its place at the end of the block.

    The data is on disk before the name changes, so that a crash at any moment leaves the old file or the new one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Replace a text file."""
    with replacing(path) as temporary:
        temporary.write_text(text)


class AtomicBackend(LocalBackend):
    """Local files for mmengine, written with `replacing`; ``backend_args=dict(backend="atomic")``."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Replace a binary file."""
        with replacing(filepath) as temporary:
            temporary.write_bytes(obj)


register_backend("atomic", AtomicBackend, force=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
