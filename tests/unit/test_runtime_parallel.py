"""Branches side by side: equal outputs, placement with fake devices, the plan; stages side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from perception.errors import PerceptionError, UnknownNameError
from perception.runtime.config import StageConfig, parse_pipeline
from perception.runtime.executor import SequentialExecutor
from perception.runtime.graph import Graph, Node
from perception.runtime.parallel import Branches, Cost, Devices, ParallelExecutor, Room, plan
from perception.runtime.parallel.spread import spread_stages
from perception.runtime.parallel.stages import levels
from perception.runtime.stage import Stage, StageNeeds
from perception.structures import BevGrid, Frame, Result


class Scale(nn.Module):
    """Multiplies; in a module of its own so that processes can import it."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(float(factor)))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] == 13:
            raise ValueError("unlucky width")
        return x * self.factor


def modules(*factors: float) -> dict[str, nn.Module]:
    return {f"x{factor:g}": Scale(factor) for factor in factors}


# --- branches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["sequential", "threads", "auto"])
def test_outputs_do_not_depend_on_the_executor(executor: str):
    x = torch.arange(6.0).reshape(2, 3)
    with Branches(modules(2, 3, 4), "cpu", executor) as branches:
        for _ in range(2):
            found = branches(x)
            assert list(found) == ["x2", "x3", "x4"]
            assert all(torch.equal(found[name], int(name[1:]) * x) for name in found)
        with pytest.raises(ValueError, match="unlucky"):
            branches(torch.zeros(1, 13))


def test_processes_share_memory_and_report_errors():
    x = torch.arange(6.0).reshape(2, 3)
    with Branches(modules(2, 3), "cpu", "processes", threads=2) as branches:
        first = branches(x)
        second = branches(x + 1)
        assert torch.equal(first["x3"], 3 * x), "a later call must not change an earlier result"
        assert torch.equal(second["x2"], 2 * (x + 1))
        assert torch.equal(branches(x[:1])["x2"], 2 * x[:1])
        with pytest.raises(PerceptionError, match="branch x2: ValueError: unlucky width"):
            branches(torch.zeros(1, 13))
        assert torch.equal(branches(x)["x2"], 2 * x), "and a failed one must not spoil the next"
    branches.close()


def test_threads_are_divided():
    seen: dict[str, int] = {}

    class Look(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen[threading.current_thread().name] = torch.get_num_threads()
            barrier.wait(10)
            return x

    barrier, before = threading.Barrier(2), torch.get_num_threads()
    with Branches({"a": Look(), "b": Look()}, "cpu", "threads", threads=4) as branches:
        branches(torch.zeros(1))
    assert sorted(seen.values()) == [2, 2] and len(seen) == 2
    assert torch.get_num_threads() == before


# --- placement with fake devices --------------------------------------------------------------------------------------


class Placed:
    """A tensor that claims to live somewhere."""

    def __init__(self, value: Tensor, device: str) -> None:
        self.value, self.device = value, device

    def numel(self) -> int:
        return self.value.numel()

    def element_size(self) -> int:
        return self.value.element_size()


class FakeDevices(Devices):
    """Devices that exist in name only and refuse tensors of another one."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[tuple[str, str]] = []
        self.synchronized: list[list[str]] = []

    def place(self, module: nn.Module, device: str) -> Any:
        def call(x: Placed) -> Placed:
            self.received.append((device, x.device))
            assert x.device == device, f"a module on {device} received a tensor on {x.device}"
            return Placed(module(x.value), device)

        return call

    def device_of(self, tensor: Placed) -> str:
        return tensor.device

    def copy(self, tensor: Placed, device: str) -> Placed:
        return Placed(tensor.value, device)

    def synchronize(self, devices: Any) -> None:
        self.synchronized.append(sorted(set(devices)))


@pytest.mark.parametrize("executor", ["sequential", "threads"])
@pytest.mark.parametrize(("count", "transfers"), [(1, 1 + 3), (2, 2 + 3), (3, 3 + 3)])
def test_every_tensor_lives_on_the_device_of_its_branch_and_transfers_are_counted(
    executor: str, count: int, transfers: int
):
    fake, x = FakeDevices(), torch.arange(4.0)
    places = {name: f"fake:{i % count}" for i, name in enumerate(modules(1, 2, 3))}
    with Branches(modules(1, 2, 3), places, executor, transport=fake) as branches:
        found = branches(Placed(x, "cpu"))  # type: ignore[arg-type]
    assert {name: placed.device for name, placed in found.items()} == dict.fromkeys(places, "cpu")
    assert all(torch.equal(placed.value, int(name[1:]) * x) for name, placed in found.items())
    assert sorted(fake.received) == sorted((place, place) for place in places.values())
    assert (fake.transfers, fake.moved_bytes) == (transfers, transfers * 16), (
        "an input once a device, every result once"
    )
    assert len(fake.synchronized) == 2, "once for the work, once for the results"


def test_nothing_is_copied_where_everything_is_in_place():
    fake = FakeDevices()
    with Branches(modules(1, 2), "fake:0", "sequential", transport=fake, output="fake:0") as branches:
        branches(Placed(torch.zeros(2), "fake:0"))  # type: ignore[arg-type]
    assert fake.transfers == fake.moved_bytes == 0


def test_one_set_of_costs_serves_one_two_and_eight_devices():
    costs = {"a": Cost(8, 10), "b": Cost(5, 10), "c": Cost(4, 10)}
    on = {count: plan(costs, [Room(f"cuda:{i}", 100) for i in range(count)]) for count in (1, 2, 8)}
    assert dict(on[1].devices) == dict.fromkeys(costs, "cuda:0") and on[1].bound == 1
    assert dict(on[2].devices) == {"a": "cuda:0", "b": "cuda:1", "c": "cuda:1"}
    assert on[2].bound == pytest.approx(17 / 9)
    assert len(set(on[8].devices.values())) == 3 and on[8].bound == pytest.approx(17 / 8)
    assert "cuda:1" in on[2].table() and "1.89 times" in on[2].table()


def test_memory_and_speed_decide_too():
    rooms = [Room("small", 15), Room("large", 100, speed=0.5)]
    assert plan({"a": Cost(8, 10), "b": Cost(8, 10)}, rooms).devices == {"a": "small", "b": "large"}
    assert plan({"a": Cost(8, 20)}, rooms).devices == {"a": "large"}
    with pytest.raises(PerceptionError, match="200 MB free, found small 15 MB, large 100 MB"):
        plan({"a": Cost(1, 200)}, rooms)
    with pytest.raises(PerceptionError, match="at least one device"):
        plan({}, [])


def test_auto_measures_and_prints_its_plan():
    lines: list[str] = []
    branches = Branches(modules(2, 3), "auto", "auto", torch.zeros(1, 2), report=lines.append)
    assert branches.plan is not None and set(branches.placement) == {"x2", "x3"}
    assert "at most" in lines[0] and "x3" in lines[0]


def test_what_does_not_fit_is_named():
    with pytest.raises(UnknownNameError, match="threads"):
        Branches(modules(1), "cpu", "thread")
    with pytest.raises(PerceptionError, match="a device for 'x2'"):
        Branches(modules(1, 2), {"x1": "cpu"})
    with pytest.raises(PerceptionError, match="all branches on the CPU"):
        Branches(modules(1), "fake:0", "processes", transport=FakeDevices())
    with pytest.raises(PerceptionError, match="example"):
        Branches(modules(1), "auto")


# --- stages -----------------------------------------------------------------------------------------------------------


class Counter(Stage):
    """Adds what it was given; a barrier shows that others run at the same time."""

    kind = BevGrid.KIND
    needs = StageNeeds(slots=())

    def __init__(self, value: float, barrier: threading.Barrier | None = None, fails: bool = False) -> None:
        self.value, self.barrier, self.fails = value, barrier, fails

    def __call__(self, frame: Frame, inputs: Mapping[str, Result]) -> BevGrid:
        if self.barrier is not None:
            self.barrier.wait(20)
        if self.fails:
            raise PerceptionError("as asked")
        total = self.value + sum(float(result.layers["n"][0, 0]) for result in inputs.values())  # type: ignore[attr-defined]
        return BevGrid("ego", (0, 1), (0, 1), 1.0, {"n": np.full((1, 1), total, np.float32)})


def graph(barrier: threading.Barrier | None) -> Graph:
    return Graph.of(
        [
            Node("late", Counter(100), inputs=("a", "b")),
            Node("a", Counter(1, barrier)),
            Node("b", Counter(10, barrier)),
            Node("odd", Counter(5, fails=True)),
            Node("lost", Counter(5), inputs=("odd",)),
            Node("rare", Counter(7), every=2),
        ]
    )


def outcome(output: Any) -> tuple:
    values = {name: float(result.layers["n"][0, 0]) for name, result in output.results.items()}
    return values, [fault.to_dict() for fault in output.faults], set(output.latency_ms)


def test_independent_stages_run_at_the_same_time_with_equal_results():
    frames = [Frame(i * 10**8, i) for i in range(3)]
    expected = [outcome(output) for output in SequentialExecutor(graph(None), {}).run(frames)]
    executor = ParallelExecutor(graph(threading.Barrier(2)), {}, workers=4)
    assert [outcome(output) for output in executor.run(frames)] == expected
    assert expected[0][0]["late"] == 111 and "rare" not in expected[1][0]
    executor.close()
    assert [[node.name for node in level] for level in levels(graph(None))] == [
        ["a", "b", "odd", "rare"],
        ["late", "lost"],
    ]


def test_stages_are_spread_by_what_they_take():
    config = parse_pipeline(
        {
            "pipeline": {
                "executor": "threads",
                "stages": [
                    {"name": "slow", "type": "A"},
                    {"name": "quick", "type": "B"},
                    {"name": "fixed", "type": "C", "device": "cpu"},
                    {"name": "middle", "type": "D"},
                ],
            }
        }
    )
    assert config.executor == "threads"
    seconds, memory, lines = {"slow": 0.06, "quick": 0.01, "middle": 0.03}, {"fake:0": 0.0}, []

    def build(stage: StageConfig, device: str) -> Stage:
        assert device == "fake:0"
        memory[device] += 10

        class Timed(Counter):
            def warmup(self) -> None:
                time.sleep(seconds[stage.name])

        return Timed(1)

    for count, expected in ((2, {"slow": "fake:0", "middle": "fake:1", "quick": "fake:1"}), (8, None)):
        rooms = [Room(f"fake:{i}", 100) for i in range(count)]
        found = spread_stages(config, rooms, build, memory.__getitem__, lines.append)
        devices = {stage.name: stage.device for stage in found.stages}
        assert devices.pop("fixed") == "cpu"
        assert devices == expected or (expected is None and len(set(devices.values())) == 3)
    assert "10.0" in lines[0] and "side by side" in lines[0]
    with pytest.raises(UnknownNameError, match="executor of the pipeline"):
        parse_pipeline({"pipeline": {"executor": "magic", "stages": [{"type": "A"}]}})
