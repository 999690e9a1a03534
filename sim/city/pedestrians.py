"""People in a town: walkers on the pavements, and crowds that stand together. No loop over people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perception.errors import PerceptionError
from perception.sim.city.actors import PEDESTRIAN, Actors, join
from perception.sim.city.layout import TownConfig
from perception.sim.city.model import Category, GroundMap, Lane, LineType
from perception.sim.city.network import line_length, offset_line
from perception.sim.city.people import HEAD, SIZE, people_pool
from perception.sim.city.terrain import sample_height

SPACE = 0.55
"""Distance of neighbours in a dense crowd, metres."""

CROWD_LIMIT = 1500


def people_at(
    rng: np.random.Generator, spots: np.ndarray, yaws: np.ndarray, times: np.ndarray, ground: GroundMap, mesh: int
) -> Actors:
    """People of random looks and heights.

    Args:
        rng: Source of looks.
        spots: (N, T, 2) or (N, 2) world metres, over ``times`` or for ever.
        yaws: (N, T) or (N,) radians.
        times: (T,) seconds.
        ground: What they stand on.
        mesh: Where in the list of meshes :func:`perception.sim.city.people.people_pool` begins.

    Returns:
        Their rows, instances counted from 0.
    """
    spots, yaws = np.asarray(spots, np.float64), np.asarray(yaws, np.float64)
    if spots.ndim == 2:
        spots, yaws, times = spots[:, None], yaws[:, None], np.zeros(1)
    count = len(spots)
    scale = rng.uniform(0.86, 1.08, count)
    height = sample_height(ground, spots.reshape(-1, 2)).reshape(spots.shape[:2])
    return Actors(
        instance=np.arange(count, dtype=np.int32),
        kind=np.full(count, PEDESTRIAN),
        mesh=mesh + rng.integers(len(people_pool()), size=count),
        size=np.array(SIZE) * scale[:, None],
        scale=scale,
        head=HEAD * scale,
        times=times,
        positions=np.concatenate([spots, height[..., None]], -1),
        yaws=yaws,
    )


def make_walkers(
    rng: np.random.Generator, config: TownConfig, lanes: Sequence[Lane], ground: GroundMap, times: np.ndarray, mesh: int
) -> Actors:
    """Pedestrians who walk along the pavements, some of whom stand."""
    tables = []
    for lane in lanes:
        if lane.intersection >= 0 or lane.right_type != LineType.SOLID or lane.joins:
            continue
        length = line_length(lane.right)
        count = int(rng.poisson(config.people * length / 1000))
        if not count:
            continue
        speed = np.where(rng.random(count) < 0.8, rng.uniform(0.7, 1.7, count), 0.0)
        sense = np.where(rng.random(count) < 0.5, 1.0, -1.0)
        begin = rng.uniform(1, max(length - 1, 2), count)
        aside = rng.uniform(1.0, 2.4, count)
        along = np.clip(begin[:, None] + (sense * speed)[:, None] * times, 0.0, length)
        flat = lane.right[:, :2]
        distance = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(flat, axis=0), axis=1)))
        normal = offset_line(flat, -1.0) - flat
        x, y, nx, ny = (
            np.interp(along, distance, column) for column in (flat[:, 0], flat[:, 1], normal[:, 0], normal[:, 1])
        )
        spots = np.stack([x + nx * aside[:, None], y + ny * aside[:, None]], -1)
        yaws = np.arctan2(nx, -ny) + np.where(sense > 0, 0.0, np.pi)[:, None]
        yaws = np.unwrap(yaws, axis=1) + np.where(speed > 0, 0.0, rng.uniform(-3, 3, count))[:, None]
        tables.append(people_at(rng, spots, yaws, times, ground, mesh))
    return join(tables)


def make_crowd(
    rng: np.random.Generator, count: int, ground: GroundMap, path: np.ndarray, mesh: int, around: np.ndarray
) -> Actors:
    """People who stand together in groups on pavements and meadows, and on the road where the ego does not drive.

    Args:
        rng: Source of randomness.
        count: How many, up to 1,500.
        ground: The ground.
        path: (N, 2) way of the ego, kept free.
        mesh: As in :func:`people_at`.
        around: (2,) world point that they gather around.

    Raises:
        PerceptionError: More people than have room around the point.
    """
    if not 0 <= count <= CROWD_LIMIT:
        raise PerceptionError(f"town: crowd: expected 0 to {CROWD_LIMIT} people, found {count}")
    reach = 45.0
    line = np.arange(-reach, reach, SPACE)
    x, y = np.meshgrid(line, line * 0.87)
    x[::2] += SPACE / 2
    spots = around + np.stack([x.ravel(), y.ravel()], -1) + rng.uniform(-0.12, 0.12, (x.size, 2))
    cell = ((spots - ground.origin) / ground.resolution).astype(int)
    inside = ((cell >= 0) & (cell < np.array(ground.category.shape)[::-1])).all(1)
    spots, cell = spots[inside], cell[inside]
    kind = ground.category[cell[:, 1], cell[:, 0]]
    order = np.select([kind == Category.SIDEWALK, kind == Category.CROSSING, kind == Category.TERRAIN], [0, 5, 6], 12.0)
    near = path[np.abs(path - around).max(1) < 2 * reach][::2]
    gap = np.full(len(spots), np.inf)
    for point in near:  # a loop over metres of road, not over people
        gap = np.minimum(gap, ((spots - point) ** 2).sum(1))
    groups = around + rng.normal(0, 14, (max(count // 12, 3), 2))
    close = np.sqrt(((spots[:, None] - groups[None]) ** 2).sum(-1)).min(1)
    score = order + close + rng.uniform(0, 2, len(spots))
    score[gap < 2.6**2] = np.inf
    chosen = np.argsort(score, kind="stable")[:count]
    if len(chosen) < count or not np.isfinite(score[chosen]).all():
        raise PerceptionError(f"town: crowd: expected room for {count} people, found {int(np.isfinite(score).sum())}")
    spots = spots[chosen]
    facing = np.arctan2(*(around - spots).T[::-1]) + rng.normal(0, 1.0, count)
    return people_at(rng, spots, facing, np.zeros(1), ground, mesh)
