"""Point-cloud ops against what the notebook of PPN does and against plain torch, one thread each."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perception.bench.core import Pair, benchmark
from perception.geometry import GridSpec
from perception.ops import bev_rasterize as bev
from perception.ops import ray_visibility
from perception.ops.sweep_buffer import SweepBuffer

GRID = GridSpec.centered(1000, 0.2)
DEPTH, RESOLUTION, SWEEPS = 50, 0.2, 16
POINTS = 100_000


@cache
def cloud(seed: int = 0, count: int = POINTS) -> Tensor:
    """(count, 5) float32 a spinning LiDAR's points: 64 rings on a road and walls, in the order they are measured."""
    rng = np.random.default_rng(seed)
    steps = count // 64
    azimuth, down = np.meshgrid(np.linspace(0, 2 * np.pi, steps), np.deg2rad(np.linspace(25, -3, 64)), indexing="ij")
    wall = 20 + 30 * np.abs(np.sin(3 * azimuth)) + rng.normal(0, 0.05, azimuth.shape)
    reach = np.minimum(1.8 / np.maximum(np.sin(down), 1e-3), wall)
    x, y, z = reach * np.cos(azimuth), reach * np.sin(azimuth), 1.7 - reach * np.sin(down)
    points = np.zeros((count, 5), np.float32)
    points[: x.size, :3] = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    points[x.size :, :3] = rng.uniform(-50, 50, (count - x.size, 3))
    return torch.from_numpy(points)


def notebook_map(points: np.ndarray) -> np.ndarray:
    """The notebook's way: every voxel of a dense grid, of which the last point to be written stays (spec ppn 2)."""
    index = np.floor(points[:, :3] / RESOLUTION + np.array([500, 500, DEPTH / 2])).astype(np.int64)
    inside = ((index >= 0) & (index < np.array([1000, 1000, DEPTH]))).all(1)
    x, y, z = index[inside].T
    grid = np.zeros((1000, 1000, DEPTH), np.float32)
    grid[x, y, z] = np.maximum(grid[x, y, z], points[inside, 2])
    return (grid.max(2) > 0).astype(np.float32)


def one_thread(call: Callable[[], Any]) -> Callable[[], Any]:
    """The call with one thread of torch."""

    def limited() -> Any:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return call()
        finally:
            torch.set_num_threads(before)

    return limited


@benchmark("ops", "bev_occupancy", naive="dense voxel grid (the notebook)", unit="sweep of 100,000 points")
def occupancy() -> Pair:
    """100,000 points on 1000 x 1000 cells of 0.2 m; the output array is reused."""
    points, out = cloud(), torch.empty(1, 1000, 1000, dtype=torch.uint8)
    return Pair(
        one_thread(lambda: bev.bev_occupancy(points, GRID, (0.0, 5.0), out=out)),
        one_thread(lambda: notebook_map(points.numpy())),
        check=lambda a, b: bool((a[0].numpy() != b).mean() < 1e-5),
    )


@benchmark("ops", "bev_occupancy_torch", naive="index_put of ones (torch)", unit="sweep of 100,000 points")
def occupancy_torch() -> Pair:
    """The same against plain torch."""
    points, out = cloud(), torch.empty(1, 1000, 1000, dtype=torch.uint8)
    splits, rows = torch.tensor([0, len(points)]), torch.eye(4)[None, :3]
    numbers = [RESOLUTION, 500.0, 500.0, 0.0, 5.0]
    return Pair(
        one_thread(lambda: bev.bev_occupancy(points, GRID, (0.0, 5.0), out=out)),
        one_thread(lambda: bev.reference.occupancy(points, splits, rows, numbers, (1000, 1000))),
        check=lambda a, b: bool((a != b).float().mean() < 1e-5),
    )


def _statistics(minimum: bool) -> Pair:
    """The maps of one sweep into arrays that are reused; without the minimum three maps are written."""
    points = cloud()
    out = bev.bev_statistics(points, GRID)
    out = out if minimum else out._replace(low=torch.empty(0))
    splits, rows = torch.tensor([0, len(points)]), torch.eye(4)[None, :3]
    numbers = [RESOLUTION, 500.0, 500.0, -4096.0, 4096.0]

    def same(ours: bev.BevStatistics, naive: tuple[Tensor, ...]) -> bool:
        return all(torch.equal(a, b) for a, b in zip(ours, naive) if len(a))

    return Pair(
        one_thread(lambda: bev.bev_statistics(points, GRID, out=out)),
        one_thread(lambda: bev.reference.statistics(points, splits, rows, numbers, (1000, 1000))),
        check=same,
    )


@benchmark("ops", "bev_statistics", naive="scatter_reduce (torch)", unit="sweep of 100,000 points")
def statistics() -> Pair:
    """Count, maximum and mean."""
    return _statistics(minimum=False)


@benchmark("ops", "bev_statistics_minimum", naive="scatter_reduce (torch)", unit="sweep of 100,000 points")
def statistics_minimum() -> Pair:
    """Count, maximum, minimum and mean."""
    return _statistics(minimum=True)


@benchmark("ops", "ray_visibility", naive="a step of all rays at a time (torch)", unit="sweep of 100,000 points")
def visibility() -> Pair:
    """Cells that the rays of 100,000 points cross, 1000 x 1000 of 0.2 m."""
    points = cloud()
    ends = torch.from_numpy(GRID.cells(points.numpy())).long()
    start = torch.tensor([500, 500])
    return Pair(
        one_thread(lambda: ray_visibility.visible_cells(points, GRID)),
        one_thread(lambda: ray_visibility.reference.visible_cells(ends, start, (1000, 1000))),
        check=torch.equal,
    )


def _assembly(compensate: bool) -> Pair:
    folder = Path(tempfile.mkdtemp(prefix="perception-bench-"))
    files = [folder / f"{i:02d}.bin" for i in range(SWEEPS)]
    clouds = [cloud(i) for i in range(SWEEPS)]
    for file, points in zip(files, clouds):
        points.numpy().tofile(file)
    poses = [torch.eye(4, dtype=torch.float64) for _ in range(SWEEPS)]
    for i, pose in enumerate(poses):
        pose[0, 3] = 0.5 * i if compensate else 0.0
    buffer = SweepBuffer(SWEEPS, GRID, (0.0, 5.0), compensate)
    for i in range(SWEEPS):
        buffer.push(clouds[i], i * 50_000_000, poses[i])
    stack = torch.empty(SWEEPS, 1000, 1000, dtype=torch.uint8)
    state = {"time": SWEEPS * 50_000_000}

    def ours() -> Tensor:
        buffer.push(clouds[-1], state["time"], poses[-1])
        state["time"] += 50_000_000
        return buffer.stack(out=stack)

    def notebook() -> np.ndarray:
        read = [np.fromfile(file, np.float32).reshape(-1, 5) for file in files]
        for _network in range(2):  # the notebook makes the same input once for each of its devices
            maps = np.stack([notebook_map(points) for points in read])
        return maps

    return Pair(one_thread(ours), one_thread(notebook), check=lambda a, b: tuple(a.shape) == b.shape)


@benchmark(
    "ops",
    "input_16_sweeps",
    naive="16 files read, rasterised for each of the two networks (the notebook)",
    unit="window",
)
def assembly() -> Pair:
    """A new sweep and the stack of 16, without ego-motion compensation."""
    return _assembly(compensate=False)


@benchmark(
    "ops",
    "input_16_compensated",
    naive="16 files read, rasterised for each of the two networks (the notebook)",
    unit="window",
)
def assembly_compensated() -> Pair:
    """A new sweep and the stack of 16 in its frame."""
    return _assembly(compensate=True)
