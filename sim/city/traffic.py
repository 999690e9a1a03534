"""Motion along lanes: the ego, other vehicles that never meet, and parked cars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from perception.errors import PerceptionError
from perception.sim.city.actors import KINDS, Actors, no_actors
from perception.sim.city.ground import lifted
from perception.sim.city.layout import TownConfig
from perception.sim.city.model import GroundMap, Lane, Track
from perception.sim.city.network import line_length
from perception.sim.world.mesh import Mesh
from perception.sim.world.vehicles import racer_pool, vehicle_pool


class Style(NamedTuple):
    """How people drive: cruising speeds in m/s, and the most they accept sideways and along the road in m/s2."""

    ego: tuple[float, float] = (8.0, 12.5)
    others: tuple[float, float] = (5.0, 12.0)
    sideways: float = 2.0
    along: float = 2.5


CALM = Style()
RACING = Style((30.0, 42.0), (26.0, 42.0), 16.0, 8.0)

STEP = 0.1
"""Seconds between the poses of a track."""


def chain(rng: np.random.Generator, lanes: Sequence[Lane], start: int, length: float) -> list[int]:
    """Ids of lanes to follow from ``start``, at random, until ``length`` metres or a dead end."""
    ids, total = [start], line_length(lanes[start].centerline)
    while total < length and lanes[ids[-1]].successors:
        options = lanes[ids[-1]].successors
        ids.append(int(options[int(rng.integers(len(options)))]))
        total += line_length(lanes[ids[-1]].centerline)
    return ids


def path_of(lanes: Sequence[Lane], ids: Sequence[int]) -> np.ndarray:
    """(N, 3) centre line of lanes that follow each other."""
    parts = [lanes[ids[0]].centerline] + [lanes[k].centerline[1:] for k in ids[1:]]
    return np.concatenate(parts)


def follow(
    path: np.ndarray, begin: float, speed: float, seconds: float, ground: GroundMap, style: Style = CALM
) -> Track:
    """Drive along a path at up to ``speed`` within the limits of a style, stopping at its end."""
    distance = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(path[:, :2], axis=0), axis=1)))
    at = np.arange(0.0, distance[-1], 0.5)
    x, y = (np.interp(at, distance, path[:, axis]) for axis in range(2))
    heading = np.unwrap(np.arctan2(np.gradient(y), np.gradient(x)))
    kernel = np.ones(9) / 9
    bend = np.abs(np.convolve(np.gradient(heading, 0.5), kernel, "same"))
    limit = np.minimum(speed, np.sqrt(style.sideways / np.maximum(bend, 1e-4)))
    limit[-1] = 0.0
    for i in range(len(limit) - 2, -1, -1):
        limit[i] = min(limit[i], np.sqrt(limit[i + 1] ** 2 + 2 * style.along * 0.5))
    times = np.arange(0.0, seconds + STEP, STEP)
    where, pace = np.empty(len(times)), np.empty(len(times))
    s, v = min(begin, float(at[-1])), float(np.interp(begin, at, limit))
    for i in range(len(times)):
        where[i], pace[i] = s, v
        v = min(v + style.along * STEP, float(np.interp(s + v * STEP, at, limit)))
        s = min(s + v * STEP, float(at[-1]))
    flat = np.stack([np.interp(where, at, x), np.interp(where, at, y)], -1)
    return Track(times, lifted(ground, flat), np.interp(where, at, heading))


def make_ego(
    rng: np.random.Generator, lanes: Sequence[Lane], seconds: float, ground: GroundMap, style: Style = CALM
) -> tuple[Track, tuple[int, ...]]:
    """A drive of ``seconds`` through at least one intersection where the network allows it."""
    starts = [lane.id for lane in lanes if lane.intersection < 0 and not lane.predecessors] or [lanes[0].id]
    starts += [lane.id for lane in lanes if lane.intersection < 0 and lane.predecessors]
    best: list[int] = []
    need = (style.ego[1] + 0.5) * seconds + 40.0
    crossing = any(lane.intersection >= 0 for lane in lanes)
    for start in rng.permutation(starts)[:40]:
        ids = chain(rng, lanes, int(start), need)
        length = sum(line_length(lanes[k].centerline) for k in ids)
        if length > sum(line_length(lanes[k].centerline) for k in best):
            best = ids
        if length >= need and (not crossing or any(lanes[k].intersection >= 0 for k in ids)):
            best = ids
            break
    if not best:
        raise PerceptionError("town: no lane to drive on")
    first = lanes[best[0]].centerline
    begin = max(0.0, line_length(first) - rng.uniform(25, 60))
    return follow(path_of(lanes, best), begin, rng.uniform(*style.ego), seconds, ground, style), tuple(best)


def make_vehicles(
    rng: np.random.Generator, config: TownConfig, lanes: Sequence[Lane], ground: GroundMap, ego: Track, seconds: float,
    night: bool, meshes: list[Mesh], style: Style = CALM,
) -> Actors:  # fmt: skip
    """Moving and parked vehicles that never overlap each other or the ego; instances count from 0."""
    pool = vehicle_pool(night) if style is CALM else {"car": racer_pool()}
    taken = [_swept(ego, 5.0, 2.2)]
    found: list[tuple[int, int, tuple[float, float, float], Track]] = []
    driving = [lane for lane in lanes if lane.intersection < 0 and len(lane.centerline) > 16]
    moving = rng.poisson(config.traffic * sum(line_length(lane.centerline) for lane in driving) / 1000)
    jobs = [("moving", int(rng.integers(len(driving)))) for _ in range(moving)] if driving else []
    jobs += [("parked", index) for index in range(len(driving)) for _ in range(len(driving[index].centerline) // 7)]
    for what, index in jobs:
        lane = driving[index]
        if what == "parked" and (style is not CALM or lane.right_type != 1 or rng.random() > config.parked):
            continue
        if style is not CALM:
            kind = "car"
        else:
            kind = str(rng.choice(["car", "suv", "van", "truck", "bus"], p=[0.55, 0.22, 0.12, 0.08, 0.03]))
            kind = "car" if what == "parked" and kind in ("truck", "bus") else kind
        mesh, size = pool[kind][int(rng.integers(len(pool[kind])))]
        if what == "moving":
            ids = chain(rng, lanes, lane.id, (style.others[1] + 2) * seconds)
            begin = rng.uniform(0, max(line_length(lane.centerline) - 4, 0.1))
            track = follow(path_of(lanes, ids), begin, rng.uniform(*style.others), seconds, ground, style)
        else:
            track = _park(rng, lane, ground, size[1])
        swept = _swept(track, size[0], size[1], len(taken[0]))
        if any(_overlap(swept, other) for other in taken):
            continue
        taken.append(swept)
        name = {"suv": "car"}.get(kind, kind)
        found.append((KINDS.index(name), len(meshes), size, track))
        meshes.append(mesh)
    return _table(found, ego.times)


def _table(found: list[tuple[int, int, tuple[float, float, float], Track]], times: np.ndarray) -> Actors:
    if not found:
        return no_actors()
    count = len(found)
    return Actors(
        instance=np.arange(count, dtype=np.int32),
        kind=np.array([kind for kind, _, _, _ in found]),
        mesh=np.array([mesh for _, mesh, _, _ in found]),
        size=np.array([size for _, _, size, _ in found], np.float64),
        scale=np.ones(count),
        head=np.zeros(count),
        times=times,
        positions=np.stack([np.broadcast_to(track.positions, (len(times), 3)) for *_, track in found]),
        yaws=np.stack([np.broadcast_to(track.yaws, len(times)) for *_, track in found]),
    )


def _park(rng: np.random.Generator, lane: Lane, ground: GroundMap, width: float) -> Track:
    """Half on the pavement beside the right border."""
    index = int(rng.integers(3, len(lane.right) - 3))
    step = lane.right[index + 1] - lane.right[index - 1]
    yaw = float(np.arctan2(step[1], step[0]))
    spot = lane.right[index, :2] + np.array([np.sin(yaw), -np.cos(yaw)]) * (width / 2 + 0.55)
    return Track(np.zeros(1), lifted(ground, spot[None]), np.array([yaw + (np.pi if rng.random() < 0.1 else 0)]))


def _swept(track: Track, length: float, width: float, count: int | None = None) -> np.ndarray:
    """(T, 3 circles, 3) x, y and radius of circles that cover a vehicle over time."""
    times = len(track.times) if count is None else count
    pick = np.minimum(np.arange(times), len(track.times) - 1)
    position, yaw = track.positions[pick, :2], track.yaws[pick]
    along = np.stack([np.cos(yaw), np.sin(yaw)], -1)
    out = np.empty((times, 3, 3))
    for k, shift in enumerate((-length / 3, 0.0, length / 3)):
        out[:, k, :2] = position + along * shift
        out[:, k, 2] = np.hypot(length / 6, width / 2) + 0.25
    return out


def _overlap(one: np.ndarray, two: np.ndarray) -> bool:
    gap = one[:, :, None, :2] - two[:, None, :, :2]
    reach = one[:, :, None, 2] + two[:, None, :, 2]
    return bool(((gap**2).sum(-1) < reach**2).any())
