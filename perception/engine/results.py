"""Predictions of a test run on disk, so that they can be scored and looked at later without the model.

One JSON object a line; arrays are stored exactly (base64 of their bytes), so scores of read results equal the first to
the last digit. The first line says what made them.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import barrier, get_dist_info
from mmengine.hooks import Hook
from mmengine.structures import BaseDataElement

from perception.errors import InputError
from perception.registry import HOOKS

__all__ = ["FILE", "SaveResults", "read_results"]

FILE = "results.jsonl"
FORMAT = 1


@HOOKS.register_module()
class SaveResults(Hook):
    """Write what the model predicts during a test.

    Args:
        folder: Receives ``results.jsonl``.
        header: Stored in the first line.
    """

    priority = "VERY_LOW"

    def __init__(self, folder: str | Path, header: Mapping[str, Any] | None = None) -> None:
        self.path = Path(folder) / FILE
        self.header = {"format": FORMAT, **(header or {})}

    def before_test(self, runner: Any) -> None:
        """Begin a new file, one for each process."""
        self.rank, self.world_size = get_dist_info()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.header["dataset_meta"] = _pack(getattr(runner.test_loop.dataloader.dataset, "metainfo", {}))
        self._file = open(self._part(self.rank), "w")  # noqa: SIM115 - closed in after_test

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write the samples of one batch."""
        for sample in outputs or ():
            self._file.write(json.dumps(_pack(sample)) + "\n")

    def after_test(self, runner: Any) -> None:
        """Put the samples of all processes into one file, in the order of the dataset; until now it did not exist."""
        self._file.close()
        barrier()
        if self.rank:
            return
        parts = [self._part(rank) for rank in range(self.world_size)]
        whole = self.path.with_suffix(".whole")
        with contextlib.ExitStack() as stack:
            target = stack.enter_context(open(whole, "w"))
            target.write(json.dumps(self.header) + "\n")
            files = [stack.enter_context(open(part)) for part in parts]
            turns = (line for turn in itertools.zip_longest(*files) for line in turn if line is not None)
            target.writelines(itertools.islice(turns, len(runner.test_loop.dataloader.dataset)))
        whole.replace(self.path)
        for part in parts:
            part.unlink()

    def _part(self, rank: int) -> Path:
        return self.path.with_suffix(f".part{rank}")


def read_results(folder: str | Path) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """Read what :class:`SaveResults` wrote.

    Args:
        folder: Folder of the results, or the file itself.

    Returns:
        The header, and the samples as the metrics of the config take them.

    Raises:
        InputError: Missing, unfinished or broken; names the line.
    """
    path = Path(folder)
    path = path / FILE if path.is_dir() or path.suffix != ".jsonl" else path
    try:
        with open(path) as file:
            header = json.loads(file.readline())
    except (OSError, ValueError) as error:
        raise InputError(path, "line 1", "results of `perception test --save-results`", str(error)) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InputError(path, "line 1", f'"format": {FORMAT}', str(header)[:60])
    return {**header, "dataset_meta": _unpack(header.get("dataset_meta", {}))}, _samples(path)


def _samples(path: Path) -> Iterator[dict[str, Any]]:
    with open(path) as file:
        next(file)
        for number, line in enumerate(file, start=2):
            try:
                yield _unpack(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(path, f"line {number}", "a sample", f"{line[:40]!r} ({error})") from error


def _pack(value: Any) -> Any:
    if isinstance(value, BaseDataElement):
        value = value.to_dict()
    if isinstance(value, torch.Tensor):
        return {"__tensor__": _pack(value.detach().cpu().numpy())}
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
        return {"__array__": data, "dtype": array.dtype.str, "shape": list(array.shape)}
    if isinstance(value, Mapping):
        return {str(key): _pack(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return {"__tuple__": [_pack(item) for item in value]}
    if isinstance(value, list):
        return [_pack(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def _unpack(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "__array__" in value:
        data = np.frombuffer(base64.b64decode(value["__array__"]), np.dtype(value["dtype"]))
        return data.reshape(value["shape"]).copy()
    if "__tensor__" in value:
        return torch.from_numpy(_unpack(value["__tensor__"]))
    if "__tuple__" in value:
        return tuple(_unpack(item) for item in value["__tuple__"])
    return {key: _unpack(item) for key, item in value.items()}
