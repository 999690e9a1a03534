"""Random towns from seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from perception.errors import PerceptionError
from perception.sim import presets
from perception.sim.city.actors import Actors, join
from perception.sim.city.areas import make_areas, road_boundaries
from perception.sim.city.elements import Furniture, put_up_elements
from perception.sim.city.furnish import furnish
from perception.sim.city.ground import lifted, paint_ground
from perception.sim.city.layout import TownConfig, make_plan
from perception.sim.city.model import GroundMap, Lane, Town, Track
from perception.sim.city.network import make_lanes
from perception.sim.city.oval import furnish_oval, make_oval_lanes, make_oval_plan
from perception.sim.city.pedestrians import make_crowd, make_walkers
from perception.sim.city.people import people_pool
from perception.sim.city.traffic import CALM, RACING, make_ego, make_vehicles
from perception.sim.world.builder import SceneConfig
from perception.sim.world.look import random_light
from perception.sim.world.mesh import Mesh, merge


def make_town(seed: int, preset: str = "random", *, seconds: float = 20.0, config: TownConfig | None = None) -> Town:
    """A town with an ego that drives through it.

    Args:
        seed: Same seed and settings: same town. Seeds from 900,000 on are held out from training.
        preset: Weather and daylight, a name of :data:`perception.sim.presets.PRESETS`.
        seconds: How long things move.
        config: Sizes and odds.

    Raises:
        PerceptionError: Unknown preset, or numbers out of range.
    """
    if seed < 0 or not 0 < seconds <= 600:
        raise PerceptionError(f"town: expected seed >= 0 and up to 600 seconds, found {seed}, {seconds}")
    config = config or TownConfig()
    weather = presets.get(preset)
    rngs = [np.random.default_rng(child) for child in np.random.SeedSequence([seed, 7]).spawn(8)]
    oval = config.layout == "oval"
    plan = (make_oval_plan if oval else make_plan)(rngs[0], config)
    lanes = (make_oval_lanes if oval else make_lanes)(plan)
    style = RACING if oval else CALM
    areas = make_areas(rngs[1], config, plan, lanes)
    ground = paint_ground(rngs[2], plan, lanes, areas, config.relief)
    lanes = tuple(
        replace(lane, **{name: lifted(ground, getattr(lane, name)) for name in ("centerline", "left", "right")})
        for lane in lanes
    )
    areas = tuple(replace(area, polygon=lifted(ground, area.polygon)) for area in areas)
    night, wet, fog = _weather(rngs[3], weather)
    light = random_light(rngs[3], night, fog)
    parts = Furniture()
    if oval:
        lamps = furnish_oval(rngs[5], plan, ground, parts)
    else:
        lanes = put_up_elements(rngs[4], config, plan, lanes, ground, parts)
        lamps = furnish(rngs[5], plan, ground, parts, night)
    ego, ego_lanes = make_ego(rngs[6], lanes, seconds, ground, style)
    meshes: list[Mesh] = []
    vehicles = make_vehicles(rngs[7], config, lanes, ground, ego, seconds, light.lights_on > 0, meshes, style)
    actors = _populate(rngs[7], config, lanes, ground, ego, vehicles, meshes, parts.count + 1)
    return Town(
        seed=seed,
        ground=ground,
        static=merge(parts.meshes),
        static_category=np.concatenate(parts.categories),
        static_instance=np.concatenate(parts.instances),
        textures=parts.textures,
        lanes=lanes,
        areas=areas,
        boundaries=road_boundaries(ground),
        elements=tuple(parts.elements),
        meshes=tuple(meshes),
        actors=actors,
        ego=ego,
        ego_lanes=ego_lanes,
        light=light,
        wet=wet,
        lamps=lamps,
        tags={"night": night, "wet": wet, "preset": preset, "lanes": len(lanes), "actors": len(actors)},
    )


def _populate(
    rng: np.random.Generator, config: TownConfig, lanes: tuple[Lane, ...], ground: GroundMap, ego: Track,
    vehicles: Actors, meshes: list[Mesh], first: int,
) -> Actors:  # fmt: skip
    """Vehicles and people in one table, with instances from ``first`` on; their meshes are added to ``meshes``."""
    base = len(meshes)
    meshes.extend(people_pool())
    tables = [vehicles]
    if config.layout != "oval":
        tables.append(make_walkers(rng, config, lanes, ground, ego.times, base))
    if config.crowd:
        middle = len(ego.times) // 2
        ahead = ego.positions[middle, :2] + 18 * np.array([np.cos(ego.yaws[middle]), np.sin(ego.yaws[middle])])
        tables.append(make_crowd(rng, config.crowd, ground, ego.positions[:, :2], base, ahead))
    actors = join(tables)
    return replace(actors, instance=np.arange(first, first + len(actors), dtype=np.int32))


def _weather(rng: np.random.Generator, odds: SceneConfig) -> tuple[bool, float, float]:
    """Whether it is night, how wet the ground is, and the extinction of the air in 1/m."""
    night = bool(rng.random() < odds.night)
    wet = float(rng.uniform(0.4, 1.0)) if rng.random() < odds.wet else 0.0
    fog = float(np.exp(rng.uniform(np.log(0.0003), np.log(0.006)))) if rng.random() < odds.fog else 0.0002
    return night, wet, fog
