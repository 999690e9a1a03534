"""Stages of a pipeline that do not need each other's results, at work on a frame at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from perception.runtime.executor import Outcome, SequentialExecutor
from perception.runtime.graph import Graph, Node
from perception.structures import Fault, Frame, Result

__all__ = ["ParallelExecutor", "levels"]


def levels(graph: Graph) -> list[list[Node]]:
    """Stages in groups: those of a group need only results of earlier groups."""
    depth: dict[str, int] = {}
    for node in graph.nodes:
        depth[node.name] = 1 + max((depth[name] for name in node.inputs), default=-1)
    return [[node for node in graph.nodes if depth[node.name] == d] for d in range(max(depth.values(), default=-1) + 1)]


class ParallelExecutor(SequentialExecutor):
    """One frame at a time; stages of a level run in a thread each and divide the threads of torch.

    Results and faults are those of :class:`~perception.runtime.executor.SequentialExecutor`, in the same order.

    Args:
        graph: Built stages.
        cameras: Stage -> slot -> camera of the drive.
        workers: Threads; None takes as many as the widest level has stages.
    """

    def __init__(self, graph: Graph, cameras: Mapping[str, Mapping[str, str]], workers: int | None = None) -> None:
        super().__init__(graph, cameras)
        self._levels = levels(graph)
        count = workers or max(map(len, self._levels), default=1)
        share = max(torch.get_num_threads() // count, 1)
        self._pool = ThreadPoolExecutor(count, "stage", torch.set_num_threads, (share,))

    @property
    def groups(self) -> Sequence[Sequence[Node]]:
        """Levels of the graph."""
        return self._levels

    def _outcomes(
        self, nodes: Sequence[Node], frame: Frame, results: Mapping[str, Result], faults: list[Fault]
    ) -> Iterable[Outcome]:
        return self._pool.map(lambda node: self._attempt(node, frame, results, faults), nodes)

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()
