"""From the sweeps around a moment to what the networks see and what they should answer (spec ppn section 8)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perception.geometry.grid import GridSpec
from perception.ops.bev_rasterize import bev_occupancy, bev_statistics
from perception.ops.points_in_boxes import points_in_boxes
from perception.ops.ray_visibility import FREE, HIT, visible_cells
from perception.structures import Boxes3D

from .ground import level_from_ego
from .sweeps import GROUND, PERSON, STATIC, UNKNOWN, VEHICLE, Sweep, class_of, relative

EXTRAS = ("low", "high", "count", "ground", "seen")
"""Further maps of the newest sweep."""


@dataclass(frozen=True)
class WindowSettings:
    """What a window is.

    Attributes:
        grid: Where the cells are, around the car at time t.
        frames: Past sweeps and the newest one.
        horizons: Seconds ahead.
        extras: Names of `EXTRAS` that follow the maps.
        obstacle: Heights above the road that make a cell occupied, metres.
        level: Fit the road and measure heights from it.
        compensate: Bring past sweeps into the frame of t.
        max_gap_s: Longest gap between sweeps of a window.
        tolerance_s: How far a sweep may be from a horizon.
        min_speed: Objects at least this fast move, m/s.
    """

    grid: GridSpec
    frames: int = 16
    horizons: tuple[float, ...] = (0.1, 0.3, 0.5, 1.0)
    extras: tuple[str, ...] = EXTRAS
    obstacle: tuple[float, float] = (0.3, 4.0)
    level: bool = True
    compensate: bool = True
    max_gap_s: float = 0.25
    tolerance_s: float = 0.03
    min_speed: float = 0.5

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> WindowSettings:
        """From a config's dict, whose ``grid`` has the keywords of :class:`GridSpec`."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in dict(settings).items()
        }
        grid = values.pop("grid")
        return cls(grid=grid if isinstance(grid, GridSpec) else GridSpec(**grid), **values)

    @property
    def channels(self) -> int:
        """Channels of the input."""
        return self.frames + len(self.extras)


@dataclass(frozen=True, eq=False)
class Window:
    """One sample.

    Attributes:
        time_ns: Time t.
        inputs: (C, H, W) float32, see `input_maps`.
        classes: (H, W) int64 class of every cell at t, from `class_map`, and ground where rays pass without a point;
            `UNKNOWN` where nothing tells.
        seen: (H, W) uint8 of :mod:`~perception.ops.ray_visibility` at t.
        future: (K, H, W) uint8 occupied cells at t + horizon in the frame of t.
        mask: (K, H, W) uint8 cells that a ray reached then; all 0 without a sweep at that time.
        moving: (K, H, W) uint8 cells that an object in motion covers at t or then.
        stale: (K, H, W) uint8 the newest map as it would lie if the car took it along: persistence without
            compensation.
    """

    time_ns: int
    inputs: Tensor
    classes: Tensor
    seen: Tensor
    future: Tensor
    mask: Tensor
    moving: Tensor
    stale: Tensor = field(default_factory=lambda: torch.zeros(0))


def level_of(sweep: Sweep, settings: WindowSettings) -> np.ndarray:
    """(4, 4) that puts the road at z = 0, or the identity."""
    return level_from_ego(sweep.points) if settings.level else np.eye(4)


def input_maps(
    stack: Tensor, newest: Tensor, sensor: np.ndarray, level: np.ndarray, settings: WindowSettings
) -> Tensor:
    """What the networks see.

    Args:
        stack: (T, H, W) occupancy maps, oldest first.
        newest: (N, C) points of the newest sweep in the car's frame.
        sensor: (3,) place of its sensor there.
        level: (4, 4) road at z = 0.
        settings: Names the extras.

    Returns:
        (T + extras, H, W) float32: the maps; lowest and highest height in units of 4 m, the logarithm of the count,
        cells with points on the road, cells that rays crossed (0.5) or hit (1).
    """
    maps = [stack.float()]
    if settings.extras:
        turn = torch.from_numpy(level)
        statistics = bev_statistics(newest, settings.grid, (-3.0, settings.obstacle[1] * 2), transforms=turn[None])
        made = {
            "low": statistics.low / 4,
            "high": statistics.high / 4,
            "count": statistics.counts.float().log1p() / 4,
            "ground": bev_occupancy(newest, settings.grid, (-0.5, settings.obstacle[0]), transforms=turn[None]).float(),
            "seen": visible_cells(newest, settings.grid, sensor, turn)[None].float() / HIT,
        }
        maps += [made[name] for name in settings.extras]
    return torch.cat(maps)


def footprints(boxes: Boxes3D, pose: np.ndarray, grid: GridSpec, chosen: np.ndarray) -> np.ndarray:
    """(H, W) int64 index of the box that covers the middle of a cell, -1 for none.

    Args:
        boxes: In the car's frame.
        pose: (4, 4) ``grid_from_boxes``.
        grid: Where the cells are.
        chosen: (N,) bool which boxes count.
    """
    found: np.ndarray = np.full(grid.shape, -1, np.int64)
    index = np.flatnonzero(chosen)
    if len(index):
        flat = boxes.moved(pose, "ego").boxes[index].astype(np.float64)
        flat[:, 2], flat[:, 5] = 0.0, 1.0
        cells = np.concatenate([grid.centers(), np.zeros((*grid.shape, 1), np.float32)], axis=2).reshape(-1, 3)
        inside = points_in_boxes(torch.from_numpy(cells), torch.from_numpy(flat)).numpy().reshape(grid.shape)
        found = np.where(inside >= 0, index[inside], -1)
    return found


def class_map(sweep: Sweep, level: np.ndarray, settings: WindowSettings) -> Tensor:
    """(H, W) int64 class of every cell, from labelled points and the footprints of boxes.

    Without point labels the height above the road tells ground from the rest, and boxes the objects among it. Where
    several classes meet in a cell the later one in `CLASSES` wins; boxes without a point cover nothing.
    """
    grid, turn = settings.grid, torch.from_numpy(level)
    classes = torch.full(grid.shape, UNKNOWN, dtype=torch.int64)
    inside = torch.full((len(sweep.points),), -1, dtype=torch.int64)
    kinds = np.zeros(0, np.int64)
    if sweep.boxes is not None and len(sweep.boxes):
        kinds = np.array([class_of(name) for name in sweep.boxes.class_names])[sweep.boxes.labels]
        inside = points_in_boxes(sweep.points, torch.from_numpy(sweep.boxes.boxes.astype(np.float64)))
    if sweep.labels is not None:
        labels = sweep.labels
    else:
        heights = sweep.points @ turn[2, :3].float() + turn[2, 3].float()
        labels = torch.where(heights < settings.obstacle[0], GROUND, STATIC)
        labels[heights > settings.obstacle[1]] = UNKNOWN
        if len(kinds):
            labels = torch.where(inside >= 0, torch.from_numpy(kinds)[inside.clamp(min=0)], labels)
    for kind in (GROUND, STATIC, VEHICLE, PERSON):
        high = settings.obstacle[1] if kind == STATIC else float("inf")  # crowns of trees do not stand on the road
        held = bev_occupancy(sweep.points[labels == kind], grid, (-5.0, high), transforms=turn[None])[0].bool()
        classes[held] = kind
    if sweep.boxes is not None and len(kinds):
        hit = np.bincount(inside[inside >= 0].numpy(), minlength=len(kinds)) > 0
        for kind in (VEHICLE, PERSON):
            covered = footprints(sweep.boxes, level, grid, hit & (kinds == kind)) >= 0
            classes[torch.from_numpy(covered)] = kind
    return classes


def make_window(past: Sequence[Sweep], ahead: Sequence[Sweep | None], settings: WindowSettings) -> Window:
    """Build a sample.

    Args:
        past: ``settings.frames`` sweeps, oldest first, the last at time t.
        ahead: A sweep for each horizon, or None.
        settings: What a window is.

    Raises:
        PerceptionError: A pose is missing that is needed.
    """
    newest, grid = past[-1], settings.grid
    level = level_of(newest, settings)
    turns = [level @ relative(newest, sweep) if settings.compensate else level for sweep in past]
    stack = torch.cat([_occupied(sweep.points, turn, settings) for sweep, turn in zip(past, turns)])
    maps = {name: torch.zeros((len(ahead), *grid.shape), dtype=torch.uint8) for name in ("future", "mask", "moving")}
    stale = torch.zeros_like(maps["future"])
    now = _moving(newest, level, settings)
    for k, sweep in enumerate(ahead):
        if sweep is None:
            continue
        turn = level @ relative(newest, sweep)
        maps["future"][k] = _occupied(sweep.points, turn, settings)[0]
        maps["mask"][k] = visible_cells(sweep.points, grid, sweep.sensor, torch.from_numpy(turn)) > 0
        maps["moving"][k] = now | _moving(sweep, turn, settings)
        stale[k] = _occupied(newest.points, turn, settings)[0]
    seen = visible_cells(newest.points, grid, newest.sensor, torch.from_numpy(level))
    inputs = input_maps(stack, newest.points, newest.sensor, level, settings)
    classes = class_map(newest, level, settings)
    classes[(classes == UNKNOWN) & (seen == FREE)] = GROUND  # nothing stands where rays pass
    return Window(newest.time_ns, inputs, classes, seen, **maps, stale=stale)


def _occupied(points: Tensor, turn: np.ndarray, settings: WindowSettings) -> Tensor:
    return bev_occupancy(points, settings.grid, settings.obstacle, transforms=torch.from_numpy(turn)[None])


def _moving(sweep: Sweep, turn: np.ndarray, settings: WindowSettings) -> Tensor:
    if sweep.boxes is None:
        return torch.zeros(settings.grid.shape, dtype=torch.bool)
    fast = np.hypot(*sweep.boxes.velocities.T) > settings.min_speed
    return torch.from_numpy(footprints(sweep.boxes, turn, settings.grid, fast) >= 0)


def choose_windows(
    times_ns: Sequence[int], settings: WindowSettings, stride: int = 1, need_future: bool = True
) -> Iterator[tuple[list[int], list[int | None]]]:
    """Indices of the sweeps of every window of a drive: the past ones, and the one at each horizon or None.

    Windows with a gap are left out, and without any future sweep when ``need_future``.
    """
    times = np.asarray(times_ns, np.int64)
    for last in range(settings.frames - 1, len(times), stride):
        past = list(range(last - settings.frames + 1, last + 1))
        if len(past) > 1 and np.diff(times[past]).max() > settings.max_gap_s * 1e9:
            continue
        ahead: list[int | None] = []
        for horizon in settings.horizons:
            wanted = times[last] + round(horizon * 1e9)
            nearest = int(np.abs(times - wanted).argmin())
            close = abs(int(times[nearest]) - wanted) <= settings.tolerance_s * 1e9
            ahead.append(nearest if close else None)
        if not need_future or any(index is not None for index in ahead):
            yield past, ahead
