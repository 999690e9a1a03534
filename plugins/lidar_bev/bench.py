"""The two branches of PPN on two CPU workers against one after the other."""

from __future__ import annotations

import torch

from perception.bench.core import Pair, benchmark
from perception.runtime.parallel import Branches

from .networks import AutoencoderNet, PyramidNet

SIZE, FRAMES, WIDTHS = (256, 256), 16, (16, 32, 64, 128, 256)


def networks() -> dict[str, torch.nn.Module]:
    """Both networks at half width, with random weights."""
    torch.manual_seed(0)
    return {
        "segmentation": PyramidNet(FRAMES, WIDTHS, 4, head="logits").eval(),
        "evolution": AutoencoderNet(FRAMES, WIDTHS, 4, head="logits", skip=True).eval(),
    }


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two results are equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _pair(executor: str, threads: int, naive_threads: int) -> Pair:
    modules, batch = networks(), torch.rand(1, FRAMES, *SIZE, generator=torch.Generator().manual_seed(1))
    side_by_side = Branches(modules, "cpu", executor, threads=threads)
    sequential = Branches(modules, "cpu", "sequential")

    def naive() -> dict[str, torch.Tensor]:
        before = torch.get_num_threads()
        torch.set_num_threads(naive_threads)
        try:
            return sequential(batch)
        finally:
            torch.set_num_threads(before)

    return Pair(lambda: side_by_side(batch), naive, check=same if naive_threads == 1 else None)


@benchmark("runtime", "branches_threads", naive="sequential on one worker", unit="window")
def threads() -> Pair:
    """Two threads with one intra-op thread each."""
    return _pair("threads", 2, 1)


@benchmark("runtime", "branches_processes", naive="sequential on one worker", unit="window")
def processes() -> Pair:
    """Two processes with shared memory, one thread each."""
    return _pair("processes", 2, 1)


@benchmark("runtime", "branches_threads_vs_both", naive="sequential with both threads", unit="window")
def threads_both() -> Pair:
    """Two threads with one intra-op thread each, against both threads for one network after the other."""
    return _pair("threads", 2, 2)


@benchmark("runtime", "branch_bound", naive="both branches, one worker", unit="window")
def bound() -> Pair:
    """The slower branch alone: the ratio is the most that running side by side can reach."""
    modules, batch = networks(), torch.rand(1, FRAMES, *SIZE)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    costs = Branches(modules, "auto", "sequential", batch, report=lambda _: None).plan
    torch.set_num_threads(before)
    assert costs is not None
    slow = max(costs.costs, key=lambda name: costs.costs[name].ms)

    def run(names: tuple[str, ...]) -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        with torch.inference_mode():
            for name in names:
                modules[name](batch)
        torch.set_num_threads(threads)

    return Pair(lambda: run((slow,)), lambda: run(tuple(modules)))
