"""Which computation goes to which device: longest first, to the device that is done soonest and has room."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from perception.errors import PerceptionError

__all__ = ["Cost", "Plan", "Room", "available", "measure", "plan"]


class Cost(NamedTuple):
    """What a computation takes.

    Attributes:
        ms: Milliseconds a call, on whatever it was measured on; only ratios matter.
        mb: Megabytes while it runs: parameters, inputs, outputs and what lies between.
    """

    ms: float
    mb: float


class Room(NamedTuple):
    """A device.

    Attributes:
        name: ``cpu``, ``cuda:0``, ...
        mb: Free memory.
        speed: Relative to the others.
    """

    name: str
    mb: float
    speed: float = 1.0


@dataclass(frozen=True)
class Plan:
    """Where everything runs.

    Attributes:
        devices: Name -> device.
        costs: Name -> cost.
        loads: Device -> milliseconds of work.
    """

    devices: Mapping[str, str]
    costs: Mapping[str, Cost]
    loads: Mapping[str, float]

    @property
    def bound(self) -> float:
        """The most that running side by side can gain over one after another on one of the devices."""
        longest = max(self.loads.values(), default=0.0)
        return sum(self.loads.values()) / longest if longest else 1.0

    def table(self) -> str:
        """The plan as text."""
        width = max(map(len, self.devices), default=4)
        lines = [f"{'name':<{width}}  {'device':<8} {'ms':>9} {'MB':>8}"]
        lines += [
            f"{name:<{width}}  {device:<8} {self.costs[name].ms:>9.1f} {self.costs[name].mb:>8.1f}"
            for name, device in self.devices.items()
        ]
        loads = ", ".join(f"{device} {load:.1f} ms" for device, load in self.loads.items())
        return "\n".join([*lines, f"work: {loads}; side by side at most {self.bound:.2f} times as fast"])


def plan(costs: Mapping[str, Cost], rooms: Sequence[Room]) -> Plan:
    """Spread computations over devices; the order of ``costs`` decides between equals.

    Raises:
        PerceptionError: No device has room for one of them; says what it needs and what there is.
    """
    if not rooms:
        raise PerceptionError("plan: expected at least one device, found none")
    free = {room.name: room.mb for room in rooms}
    done = {room.name: 0.0 for room in rooms}
    chosen: dict[str, str] = {}
    for name in sorted(costs, key=lambda name: -costs[name].ms):
        fitting = [room for room in rooms if free[room.name] >= costs[name].mb]
        if not fitting:
            found = ", ".join(f"{device} {mb:.0f} MB" for device, mb in free.items())
            raise PerceptionError(f"plan: {name}: expected a device with {costs[name].mb:.0f} MB free, found {found}")
        best = min(fitting, key=lambda room: done[room.name] + costs[name].ms / room.speed)
        chosen[name] = best.name
        done[best.name] += costs[name].ms / best.speed
        free[best.name] -= costs[name].mb
    return Plan({name: chosen[name] for name in costs}, dict(costs), done)


def available() -> list[Room]:
    """CUDA devices with their free memory, or the CPU where there are none."""
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        return [Room(f"cuda:{i}", torch.cuda.mem_get_info(i)[0] / 2**20) for i in range(count)]
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4 << 30
    return [Room("cpu", pages / 2**20)]


@torch.inference_mode()
def measure(modules: Mapping[str, nn.Module], example: Tensor, repeats: int = 3) -> dict[str, Cost]:
    """Time every module on the CPU on an example, and estimate its memory from what its layers give out.

    Args:
        modules: By name; each takes the example.
        example: Input of the usual shape.
        repeats: Timed calls; the fastest counts.
    """
    costs = {}
    for name, module in modules.items():
        between = _bytes_between(module, example)
        seconds = []
        for _ in range(repeats):
            began = time.perf_counter()
            module(example)
            seconds.append(time.perf_counter() - began)
        held = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
        costs[name] = Cost(1e3 * min(seconds), (held + between) / 2**20)
    return costs


def _bytes_between(module: nn.Module, example: Tensor) -> int:
    """Bytes of the input and of what every layer gives out."""
    sizes = [_bytes(example)]

    def note(_module: nn.Module, _inputs: object, output: object) -> None:
        sizes.append(_bytes(output))

    hooks = [child.register_forward_hook(note) for child in module.modules()]
    module(example)
    for hook in hooks:
        hook.remove()
    return sum(sizes)


def _bytes(value: object) -> int:
    return value.numel() * value.element_size() if isinstance(value, Tensor) else 0
