"""A network in a process of its own; tensors pass through shared memory, only their shapes through a pipe."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor, multiprocessing, nn

from perception.errors import PerceptionError
from perception.memory import keep_freed_memory

__all__ = ["BranchProcess"]


class BranchProcess:
    """Runs one module on what it is sent.

    Args:
        name: For messages.
        module: On the CPU; its weights move to shared memory.
        threads: Of torch in the process.
    """

    def __init__(self, name: str, module: nn.Module, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.name = name
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, module.share_memory(), threads), daemon=True)
        kept = {key: os.environ.get(key) for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        os.environ.update(dict.fromkeys(kept, str(threads)))
        try:
            self._process.start()
        finally:
            for key, value in kept.items():
                if value is None:
                    del os.environ[key]
                else:
                    os.environ[key] = value
        theirs.close()
        self._input: Tensor | None = None
        self._output: Tensor | None = None

    def send(self, batch: Tensor) -> None:
        """Copy an input to shared memory and have it computed."""
        if self._input is None or self._input.shape != batch.shape or self._input.dtype != batch.dtype:
            self._input = torch.empty_like(batch, device="cpu").share_memory_()
            self._connection.send(self._input)
        self._input.copy_(batch)
        self._connection.send("run")

    def receive(self) -> Tensor | Exception:
        """A copy of the result, or what went wrong."""
        try:
            answer: Any = self._connection.recv()
        except (EOFError, OSError):
            return PerceptionError(f"its process ended with code {self._process.exitcode}")
        if isinstance(answer, Exception):
            return answer
        if answer is not None:
            self._output = answer
        assert self._output is not None
        return self._output.clone()

    def close(self) -> None:
        """End the process."""
        if self._process.is_alive():
            try:
                self._connection.send(None)
            except OSError:
                self._process.terminate()
            self._process.join(10)
        self._connection.close()


def _serve(connection: Connection, module: nn.Module, threads: int) -> None:
    keep_freed_memory()
    torch.set_num_threads(threads)
    batch: Tensor | None = None
    output: Tensor | None = None
    while True:
        try:
            message = connection.recv()
        except EOFError:
            return
        if message is None:
            return
        if isinstance(message, Tensor):
            batch = message
            continue
        try:
            with torch.inference_mode():
                result = module(batch)
            if output is None or output.shape != result.shape or output.dtype != result.dtype:
                output = torch.empty_like(result).share_memory_()
                output.copy_(result)
                connection.send(output)
            else:
                output.copy_(result)
                connection.send(None)
        except Exception as error:
            connection.send(PerceptionError(f"{type(error).__name__}: {error}"))
