"""What a run was made with: versions, machine, state of the code, data."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from perception.engine.checkpoint import file_sha256
from perception.version import __version__

__all__ = ["data_hashes", "environment", "git_state"]


def environment() -> dict[str, Any]:
    """Versions of python and of all installed packages, processor, devices and thread settings."""
    installed = {dist.name: dist.version for dist in importlib.metadata.distributions() if dist.name}
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "perception": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "devices": devices,
        "command": sys.argv,
        "packages": dict(sorted(installed.items())),
    }


def git_state(folder: Path | None = None) -> dict[str, Any]:
    """Commit of the code and what differs from it; empty when the code is not in a git checkout.

    Returns:
        ``commit``, ``changed`` (list of paths) and ``diff_sha256`` (of the text of ``git diff HEAD``).
    """
    folder = folder or Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout

    try:
        changed = [line[3:] for line in git("status", "--porcelain").splitlines()]
        diff = hashlib.sha256(git("diff", "HEAD").encode()).hexdigest() if changed else None
        return {"commit": git("rev-parse", "HEAD").strip(), "changed": changed, "diff_sha256": diff}
    except (OSError, subprocess.SubprocessError):
        return {}


def data_hashes(config: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of the list files that the config's dataloaders name, by path; of missing ones ``"missing"``."""
    hashes = {}
    for part in ("train", "val", "test"):
        loader = config.get(f"{part}_dataloader") or {}
        for dataset in datasets_of(loader.get("dataset")):
            root = Path(str(dataset.get("data_root", "")))
            for key in ("list_file", "ann_file"):
                names = dataset.get(key) or ()
                for name in [names] if isinstance(names, str) else names:
                    path = root / str(name)
                    hashes[str(path)] = file_sha256(path) if path.is_file() else "missing"
    return hashes


def datasets_of(node: Any) -> Iterator[dict]:
    """All dataset configs below a dataset config, wrappers first."""
    if isinstance(node, Mapping):
        yield node  # type: ignore[misc]
        for key in ("dataset", "datasets"):
            if key in node:
                yield from datasets_of(node[key])
    elif isinstance(node, (list, tuple)):
        for item in node:
            yield from datasets_of(item)
