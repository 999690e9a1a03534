"""Drives on web servers and in object stores: fetched once into a cache folder, through fsspec."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from perception.errors import InputError, PerceptionError

__all__ = ["cache_folder", "fetch"]

_CHUNK = 1 << 20
_EXTRA = "pip install 'perception-stack[drives]' (for s3:// 'perception-stack[drives,s3]')"


def cache_folder() -> Path:
    """Where fetched drives are kept: ``PERCEPTION_CACHE``, else ``~/.cache/perception``, below it ``drives``."""
    return Path(os.environ.get("PERCEPTION_CACHE") or Path.home() / ".cache" / "perception") / "drives"


def fetch(uri: str) -> Path:
    """Copy a remote file or folder into the cache, unless it is there in the same size and version.

    Files are complete or absent: a download that stops leaves nothing that would be taken for the drive.

    Args:
        uri: ``https://``, ``http://``, ``s3://`` or any other scheme that fsspec knows; a folder where the store lists.

    Returns:
        The local copy.

    Raises:
        PerceptionError: ``fsspec`` or the driver of the scheme is not installed; the text names the extra.
        InputError: It cannot be read, or there is no room for it.
    """
    scheme = uri.partition("://")[0]
    try:
        import fsspec
    except ImportError as error:
        raise PerceptionError(f"{uri}: remote drives need fsspec: {_EXTRA}") from error
    try:
        store, path = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        raise PerceptionError(f"{uri}: {error}: {_EXTRA}") from error
    except ValueError as error:
        raise InputError(
            uri, "", "a file, a folder, https:// or s3://", f"the unsupported scheme {scheme}://"
        ) from error
    try:
        return _copy(store, path, uri)
    except PerceptionError:
        raise
    except Exception as error:  # every store has errors of its own
        reason = str(error) or type(error).__name__
        raise InputError(uri, "", "a file or folder that can be fetched", reason) from error


def _copy(store: Any, path: str, uri: str) -> Path:
    about = store.info(path)
    target = (
        cache_folder()
        / hashlib.sha256(uri.encode()).hexdigest()[:16]
        / (PurePosixPath(path.rstrip("/")).name or "drive")
    )
    if about["type"] != "directory":
        _fetch_file(store, path, about, target, uri)
        return target
    files = store.find(path, detail=True)
    if not files:
        raise InputError(uri, "", "a folder with files", "an empty one")
    root = path.rstrip("/") + "/"
    for name, entry in files.items():
        inside = PurePosixPath(str(name).removeprefix(root))
        if inside.is_absolute() or ".." in inside.parts:
            raise InputError(uri, "", "files inside the folder", repr(str(name)))
        _fetch_file(store, name, entry, target / inside, uri)
    return target


def _fetch_file(store: Any, path: str, about: dict[str, Any], target: Path, uri: str) -> None:
    size = about.get("size")
    version = str(about.get("ETag") or about.get("LastModified") or about.get("mtime") or "")
    mark = target.with_name(f".{target.name}.version")
    if target.is_file() and mark.is_file() and mark.read_text() == f"{size} {version}":
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if size is not None and size > free:
        raise InputError(uri, "", f"{size} bytes of room in {target.parent}", f"{free} free")
    handle, scratch = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as out, store.open(path, "rb") as stream:
            shutil.copyfileobj(stream, out, _CHUNK)
        written = os.path.getsize(scratch)
        if size is not None and written != size:
            raise InputError(uri, "", f"{size} bytes", f"{written}: the transfer stopped")
        os.replace(scratch, target)
        mark.write_text(f"{size} {version}")
    finally:
        Path(scratch).unlink(missing_ok=True)
