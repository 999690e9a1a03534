"""What the executors ask of devices; tests put others in the place of real ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Devices", "TorchDevices"]


class Devices(ABC):
    """Moves modules and tensors, and counts it.

    Attributes:
        transfers: Tensors that were copied from one device to another.
        moved_bytes: Their size.
    """

    def __init__(self) -> None:
        self.transfers = 0
        self.moved_bytes = 0
        self._lock = Lock()

    @abstractmethod
    def place(self, module: nn.Module, device: str) -> Any:
        """The module on a device, ready to be called."""

    @abstractmethod
    def device_of(self, tensor: Any) -> str:
        """Where a tensor lives."""

    @abstractmethod
    def copy(self, tensor: Any, device: str) -> Any:
        """A copy on another device, which may still be under way."""

    def move(self, tensor: Any, device: str) -> Any:
        """The tensor itself where it lives there, else a copy, which is counted."""
        if self.device_of(tensor) == device:
            return tensor
        with self._lock:
            self.transfers += 1
            self.moved_bytes += tensor.numel() * tensor.element_size()
        return self.copy(tensor, device)

    def stream(self, device: str, branch: int) -> AbstractContextManager[Any]:
        """Where the work of a branch is queued, apart from that of others on the same device."""
        return nullcontext()

    def synchronize(self, devices: Sequence[str]) -> None:
        """Wait until the work on devices is done."""
        return


class TorchDevices(Devices):
    """Devices of torch: the CPU, and CUDA with one stream a branch."""

    def __init__(self) -> None:
        super().__init__()
        self._streams: dict[tuple[str, int], Any] = {}

    def place(self, module: nn.Module, device: str) -> nn.Module:
        """See :meth:`Devices.place`."""
        return module.to(device)

    def device_of(self, tensor: Tensor) -> str:
        """See :meth:`Devices.device_of`."""
        return str(tensor.device)

    def move(self, tensor: Tensor, device: str) -> Tensor:
        """See :meth:`Devices.move`; ``cuda`` is the current CUDA device."""
        if device == "cuda":
            device = f"cuda:{torch.cuda.current_device()}"
        return super().move(tensor, device)

    def copy(self, tensor: Tensor, device: str) -> Tensor:
        """See :meth:`Devices.copy`; from the CPU through pinned memory, so that it overlaps with work."""
        if device.startswith("cuda") and tensor.device.type == "cpu":
            tensor = tensor.pin_memory()
        return tensor.to(device, non_blocking=device.startswith("cuda"))

    def stream(self, device: str, branch: int) -> AbstractContextManager[Any]:
        """See :meth:`Devices.stream`; the stream first waits for what is queued on the current one."""
        if not device.startswith("cuda"):
            return nullcontext()
        key = device, branch
        if key not in self._streams:
            self._streams[key] = torch.cuda.Stream(device)
        self._streams[key].wait_stream(torch.cuda.current_stream(device))
        return torch.cuda.stream(self._streams[key])

    def synchronize(self, devices: Sequence[str]) -> None:
        """See :meth:`Devices.synchronize`."""
        for device in {device for device in devices if device.startswith("cuda")}:
            torch.cuda.synchronize(device)
