"""Networks that share their input and nothing else, run side by side (spec ppn section 9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import torch
from torch import Tensor, nn

from perception.errors import PerceptionError, UnknownNameError
from perception.memory import keep_freed_memory
from perception.runtime.parallel.devices import Devices, TorchDevices
from perception.runtime.parallel.placement import Plan, available, measure, plan
from perception.runtime.parallel.processes import BranchProcess

__all__ = ["EXECUTORS", "Branches"]

EXECUTORS = ("sequential", "threads", "processes", "auto")
Executor = Literal["sequential", "threads", "processes", "auto"]


class Branches:
    """Named modules, each on a device, that take the same input.

    With a branch on the CPU the process keeps freed memory (`perception.memory.keep_freed_memory`).

    Args:
        modules: By name, in evaluation mode; they are moved to their devices.
        devices: Name -> device, one device for all, or ``auto``: measured on ``example``, spread over the CUDA devices
            (or kept on the CPU), and printed.
        executor: ``sequential``: one after another. ``threads``: a thread a branch; branches on the CPU divide its
            threads, branches on one CUDA device have a stream each. ``processes``: a process a branch with tensors in
            shared memory, for the CPU. ``auto``: threads where there is more than one device or CUDA, else
            sequential.
        example: Input of the usual shape, for ``auto`` and to prepare processes.
        threads: Threads of torch to divide; None takes as many as it has now.
        transport: What moves tensors and modules; tests count with one of their own.
        output: Device of the results.
        report: Gets the text of the plan of ``auto``.

    Attributes:
        placement: Name -> device.
        plan: The plan, when it was made here.

    Raises:
        UnknownNameError: An executor that does not exist.
        PerceptionError: A branch without a device, or processes for something else than the CPU.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        devices: Mapping[str, str] | str = "cpu",
        executor: str = "auto",
        example: Tensor | None = None,
        threads: int | None = None,
        transport: Devices | None = None,
        output: str = "cpu",
        report: Callable[[str], None] = print,
    ) -> None:
        if executor not in EXECUTORS:
            raise UnknownNameError("executor of branches", executor, EXECUTORS)
        self.transport, self.output = transport or TorchDevices(), output
        self.plan: Plan | None = None
        self.placement = self._places(modules, devices, example, report)
        self.threads = threads or torch.get_num_threads()
        apart = len(set(self.placement.values())) > 1 or any(d.startswith("cuda") for d in self.placement.values())
        self.executor = ("threads" if apart else "sequential") if executor == "auto" else executor
        if "cpu" in self.placement.values():
            keep_freed_memory()
        self._modules = {name: self.transport.place(module, self.placement[name]) for name, module in modules.items()}
        self._pool: ThreadPoolExecutor | None = None
        self._workers: dict[str, BranchProcess] = {}
        if self.executor == "threads" and len(modules) > 1:
            self._pool = ThreadPoolExecutor(len(modules), "branch", self._divide_threads)
        elif self.executor == "processes":
            if set(self.placement.values()) != {"cpu"}:
                raise PerceptionError(f"processes: expected all branches on the CPU, found {self.placement}")
            share = max(self.threads // max(len(modules), 1), 1)
            self._workers = {name: BranchProcess(name, module, share) for name, module in modules.items()}

    def _places(
        self, modules: Mapping[str, nn.Module], devices: Mapping[str, str] | str, example: Tensor | None,
        report: Callable[[str], None],
    ) -> dict[str, str]:  # fmt: skip
        if devices == "auto":
            if example is None:
                raise PerceptionError("Branches: expected an example input to measure for device 'auto', found none")
            self.plan = plan(measure(modules, example), available())
            report(self.plan.table())
            return dict(self.plan.devices)
        if isinstance(devices, str):
            return dict.fromkeys(modules, devices)
        missing = [name for name in modules if name not in devices]
        if missing:
            raise PerceptionError(f"Branches: expected a device for {missing[0]!r}, found only {', '.join(devices)}")
        return {name: devices[name] for name in modules}

    def __call__(self, batch: Tensor) -> dict[str, Any]:
        """Run all branches on one input; the results are on the output device and ready.

        Raises:
            Exception: What a branch raised.
        """
        if self._workers:
            return self._run_processes(batch)
        inputs = {device: self.transport.move(batch, device) for device in dict.fromkeys(self.placement.values())}
        if self._pool is None:
            outputs = {name: self._run(i, name, inputs) for i, name in enumerate(self._modules)}
        else:
            futures = {name: self._pool.submit(self._run, i, name, inputs) for i, name in enumerate(self._modules)}
            outputs = {name: future.result() for name, future in futures.items()}
        self.transport.synchronize(list(self.placement.values()))
        moved = {name: self.transport.move(output, self.output) for name, output in outputs.items()}
        self.transport.synchronize([self.output])
        return moved

    @torch.inference_mode()
    def _run(self, number: int, name: str, inputs: Mapping[str, Any]) -> Any:
        device = self.placement[name]
        with self.transport.stream(device, number):
            return self._modules[name](inputs[device])

    def _run_processes(self, batch: Tensor) -> dict[str, Tensor]:
        for worker in self._workers.values():
            worker.send(batch)
        results = {name: worker.receive() for name, worker in self._workers.items()}
        for name, result in results.items():
            if isinstance(result, Exception):
                raise PerceptionError(f"branch {name}: {result}") from result
        return {name: result for name, result in results.items() if isinstance(result, Tensor)}

    def _divide_threads(self) -> None:
        """Give a worker thread its share; OpenMP keeps the number a thread."""
        on_cpu = sum(device == "cpu" for device in self.placement.values())
        torch.set_num_threads(max(self.threads // max(on_cpu, 1), 1))

    def close(self) -> None:
        """Stop threads and processes; closing twice is allowed."""
        if self._pool is not None:
            self._pool.shutdown()
        for worker in self._workers.values():
            worker.close()
        self._pool, self._workers = None, {}

    def __enter__(self) -> Branches:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
