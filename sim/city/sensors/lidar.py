"""A spinning LiDAR in a town: points of a sweep with intensity, ring, time, category and instance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perception.errors import PerceptionError
from perception.sim.city.model import Category, Town, Track, pose_at
from perception.sim.city.sensors.rigs import LIDAR_MOUNT
from perception.sim.city.sensors.world import RayTown
from perception.sim.sensors.raycast import NOTHING
from perception.structures import PointCloud

_REFLECTIVITY = {
    Category.ROAD: 0.12, Category.LANE_MARK: 0.55, Category.CROSSING: 0.4, Category.SIDEWALK: 0.25,
    Category.TERRAIN: 0.3, Category.BUILDING: 0.35, Category.WALL: 0.35, Category.POLE: 0.4, Category.VEGETATION: 0.3,
    Category.VEHICLE: 0.45, Category.PERSON: 0.3, Category.TRAFFIC_LIGHT: 0.3, Category.TRAFFIC_SIGN: 0.95,
    Category.BILLBOARD: 0.6,
}  # fmt: skip


@dataclass(frozen=True)
class LidarConfig:
    """How a sensor scans.

    Attributes:
        beams: Number of rings.
        steps: Shots of a ring a turn.
        up: Elevation of the highest ring, degrees.
        down: Elevation of the lowest, degrees.
        reach: Largest range, metres.
        noise: Standard deviation of the range, metres.
        dropout: Share of returns that are lost by chance.
        period: Seconds a turn takes; 0 freezes the sensor.
    """

    beams: int = 64
    steps: int = 1800
    up: float = 10.0
    down: float = -25.0
    reach: float = 120.0
    noise: float = 0.02
    dropout: float = 0.03
    period: float = 0.1

    def __post_init__(self) -> None:
        if not (0 < self.beams <= 256 and 0 < self.steps <= 7200 and self.down < self.up and self.reach > 0):
            raise PerceptionError(
                f"lidar: expected 1 to 256 beams, 1 to 7200 steps, down < up, reach > 0, found {self}"
            )
        if min(self.noise, self.period) < 0 or not 0 <= self.dropout < 1:
            raise PerceptionError(f"lidar: expected noise, period >= 0 and dropout within [0, 1), found {self}")

    @classmethod
    def of(cls, beams: int) -> LidarConfig:
        """A typical sensor of 32, 64 or 128 beams."""
        if beams not in _MODELS:
            raise PerceptionError(f"lidar: expected one of {sorted(_MODELS)} beams, found {beams}")
        steps, up, down, reach = _MODELS[beams]
        return cls(beams, steps, up, down, reach)


_MODELS = {32: (1080, 10.7, -30.7, 100.0), 64: (1800, 10.0, -25.0, 120.0), 128: (1800, 15.0, -25.0, 200.0)}
"""Beams -> steps, highest and lowest ring in degrees, reach."""


def lidar_pose() -> np.ndarray:
    """(4, 4) ``ego_from_lidar``: axes of the ego frame, at the mount."""
    pose = np.eye(4)
    pose[:3, 3] = LIDAR_MOUNT
    return pose


def sweep(
    town: Town,
    world: RayTown,
    time: float,
    timestamp_ns: int,
    rng: np.random.Generator,
    config: LidarConfig | None = None,
) -> PointCloud:
    """The sweep that ends at ``time``.

    Rays leave from where the moving sensor is at their instant; points are given in the sensor frame of the end of the
    sweep, so static things lie still. Actors stand as they do at ``time``.

    Args:
        town: The town.
        world: Its geometry, moved to ``time``.
        time: Seconds since the world began.
        timestamp_ns: Of the cloud.
        rng: Source of noise.
        config: The sensor.

    Returns:
        Points of the sensor ``lidar`` with fields ``intensity`` (0 to 1), ``ring``, ``time`` (seconds, 0 or less),
        ``category`` (uint8, :class:`Category`) and ``instance`` (int32).
    """
    config = config or LidarConfig()
    start, directions, when = shots(town, time, config)
    hits = world.cast(start, directions)
    facing = np.abs((directions * hits.normal).sum(1))
    table = np.array([_REFLECTIVITY.get(Category(value), 0.2) for value in range(len(Category))])
    intensity = np.clip(table[hits.category] * (0.3 + 0.7 * facing), 0, 1)
    weak = np.exp(-hits.depth / (0.9 * config.reach)) * (0.35 + 0.65 * intensity / 0.4)
    seen = (hits.kind != NOTHING) & (hits.depth < config.reach) & (hits.depth > 0.8)
    chance = rng.random(len(hits.depth))
    kept = np.flatnonzero(
        seen & (chance > config.dropout) & (chance < np.clip(weak * 3, 0.2, 1) * (1 - 0.4 * town.wet))
    )
    distance = hits.depth[kept] + rng.normal(0, config.noise, len(kept)).astype(np.float32)
    points = start[kept] + directions[kept] * distance[:, None]
    sensor = pose_at(town.ego, time, town.ground) @ lidar_pose()
    points = (points - sensor[:3, 3]) @ sensor[:3, :3]
    fields = {
        "intensity": (intensity[kept] * rng.normal(1, 0.05, len(kept))).clip(0, 1).astype(np.float32),
        "ring": (kept % config.beams).astype(np.uint8),
        "time": when[kept // config.beams].astype(np.float32),
        "category": hits.category[kept],
        "instance": hits.instance[kept],
    }
    return PointCloud(points.astype(np.float32), fields, timestamp_ns, "lidar")


def shots(town: Town, time: float, config: LidarConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Origins (N, 3) and directions (N, 3) in the world of the shots of a sweep, and (S,) seconds of its steps.

    Step by step, all beams of a step together.
    """
    azimuth = -np.arange(config.steps) * (2 * np.pi / config.steps)
    elevation = np.deg2rad(np.linspace(config.down, config.up, config.beams))
    when = (np.arange(config.steps) / config.steps - 1.0) * config.period
    origin, turn = _motion(town.ego, town, time + when)
    local = np.stack(
        [np.outer(np.cos(azimuth), np.cos(elevation)), np.outer(np.sin(azimuth), np.cos(elevation)),
         np.broadcast_to(np.sin(elevation), (config.steps, config.beams))], -1,
    )  # fmt: skip
    directions = np.einsum("sij,sbj->sbi", turn, local).reshape(-1, 3).astype(np.float32)
    return np.repeat(origin, config.beams, axis=0).astype(np.float32), directions, when


def _motion(ego: Track, town: Town, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions (S, 3) and rotations (S, 3, 3) of the sensor; interpolated between the first and the last instant."""
    first, last = (pose_at(ego, float(t), town.ground) @ lidar_pose() for t in (times[0], times[-1]))
    share = np.linspace(0, 1, len(times))[:, None]
    origin = first[:3, 3] * (1 - share) + last[:3, 3] * share
    turn = first[None, :3, :3] * (1 - share[..., None]) + last[None, :3, :3] * share[..., None]
    return origin, turn
