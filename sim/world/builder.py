"""Composes a random scene: road, cross-section, pavement, daylight, roadside, traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from perception.errors import PerceptionError
from perception.sim.world import furniture as make
from perception.sim.world.layout import FAMILIES, random_section
from perception.sim.world.look import random_light, random_seams, random_surface
from perception.sim.world.mesh import Mesh, merge, repeat
from perception.sim.world.paint import road_paint
from perception.sim.world.road import Road, random_road
from perception.sim.world.scene import Ego, Scene, Vehicle
from perception.sim.world.section import Section
from perception.sim.world.vehicles import vehicle_pool


@dataclass(frozen=True)
class SceneConfig:
    """Odds of what a random scene contains; probabilities within [0, 1].

    Attributes:
        families: Road families to draw from, names of :data:`perception.sim.world.layout.FAMILIES`.
        weights: Their relative frequencies.
        night: Probability of night.
        wet: Probability of a wet road.
        fog: Probability of fog or haze.
        curved: Probability of a curved road.
        min_radius: Smallest radius of curves, metres.
        hilly: Probability of grades.
        traffic: Mean number of vehicles per 100 m of lane.
        straddle: Probability that the ego straddles a line.
    """

    families: tuple[str, ...] = FAMILIES
    weights: tuple[float, ...] = (0.24, 0.16, 0.12, 0.12, 0.15, 0.11, 0.10)
    night: float = 0.12
    wet: float = 0.15
    fog: float = 0.2
    curved: float = 0.65
    min_radius: float = 80.0
    hilly: float = 0.45
    traffic: float = 1.0
    straddle: float = 0.08

    def __post_init__(self) -> None:
        unknown = sorted(set(self.families) - set(FAMILIES))
        if unknown or len(self.weights) != len(self.families) or not self.families:
            raise PerceptionError(f"scene config: expected a weight for each of the known families, found {self}")
        for key in ("night", "wet", "fog", "curved", "hilly", "straddle"):
            if not 0 <= getattr(self, key) <= 1:
                raise PerceptionError(f"scene config: {key}: expected a probability, found {getattr(self, key)}")
        if not self.min_radius >= 20:
            raise PerceptionError(f"scene config: min_radius: expected at least 20 m, found {self.min_radius}")
        if not 0 <= self.traffic <= 20:
            raise PerceptionError(f"scene config: traffic: expected 0 to 20 vehicles per 100 m, found {self.traffic}")


def random_scene(rng: np.random.Generator, config: SceneConfig, length: float = 420.0, seconds: float = 0.0) -> Scene:
    """A random scene whose ego starts at station 0.

    Args:
        rng: Source of all randomness.
        config: Odds.
        length: Length of the road ahead, metres.
        seconds: How long the scene lasts; vehicles that would hit the ego within that time are left out.
    """
    weights = np.asarray(config.weights) / np.sum(config.weights)
    family = config.families[int(rng.choice(len(weights), p=weights))]
    section = random_section(rng, family)
    highway = family.startswith("highway")
    smallest = max(config.min_radius, 200.0 if highway else 80.0)
    bend = 0.0
    if rng.random() < config.curved:
        bend = 1 / float(np.exp(rng.uniform(np.log(smallest), np.log(1500))))
    hills = rng.uniform(0.01, 0.06) if rng.random() < config.hilly else 0.0
    road = random_road(rng, length, bend, hills)
    night = rng.random() < config.night
    wet = rng.uniform(0.2, 1.0) if rng.random() < config.wet else 0.0
    fog = float(np.exp(rng.uniform(np.log(0.0015), np.log(0.02)))) if rng.random() < config.fog else 0.0003
    light = random_light(rng, night, fog)
    surface = random_surface(rng, section, wet, daylight=max(light.sun) > 0.3)
    seams = random_seams(rng, section)
    decals = road_paint(rng, section, family, length)
    ego = _ego(rng, section, highway, config.straddle)
    props, lamps = _roadside(rng, road, section, family, length)
    vehicles = _traffic(rng, section, config.traffic, length, light.lights_on, ego, highway)
    vehicles = tuple(vehicle for vehicle in vehicles if not _collides(vehicle, ego, seconds))
    tags = {"family": family, "night": night, "wet": wet, "fog": fog, "bend": bend, "lanes": len(section.lanes)}
    return Scene(road, section, surface, light, ego, props, vehicles, decals, seams, lamps, tags)


def _ego(rng: np.random.Generator, section: Section, highway: bool, straddle: float) -> Ego:
    lane = section.lanes[section.ego_lane]
    room = max(lane.width / 2 - 1.0, 0.1)
    d = lane.center + float(np.clip(rng.normal(0, 0.35), -room, room))
    yaw = rng.normal(0, 0.012)
    if rng.random() < straddle:
        d = lane.center + lane.width * rng.uniform(-0.5, 0.5)
        yaw = rng.normal(0, 0.03)
    change = (1e6, 4.0, 0.0)
    mates = [other for other in section.lanes if other.direction > 0 and other is not lane]
    if mates and rng.random() < 0.3:
        target = min(mates, key=lambda other: abs(other.center - lane.center))
        change = (rng.uniform(0.5, 4), rng.uniform(3, 6), target.center - lane.center)
    speed = rng.uniform(18, 32) if highway else rng.uniform(7, 18)
    return Ego(0.0, d, yaw, speed, rng.uniform(0, 0.2), change)


def _collides(vehicle: Vehicle, ego: Ego, seconds: float) -> bool:
    """Whether the vehicle and the ego come closer than a gap that drivers keep."""
    for time in np.arange(0.0, seconds + 0.1, 0.2):
        s, d, _ = ego.state(float(time))
        ahead = vehicle.station(float(time)) - s
        if abs(d - vehicle.d) < 1.2 + vehicle.size[1] / 2 and abs(ahead - 1.0) < 4.0 + vehicle.size[0] / 2:
            return True
    return False


def _traffic(rng, section, density, length, lights, ego, highway) -> tuple[Vehicle, ...]:  # type: ignore[no-untyped-def]
    """Vehicles in the lanes, not where the ego is, and parked ones along wide city shoulders."""
    vehicles: list[Vehicle] = []
    odds = [0.5, 0.22, 0.12, 0.11, 0.05]
    span = 220.0 if length < 450 else 2 * length
    busy = density * rng.choice([0.2, 0.7, 1.0, 2.5], p=[0.25, 0.3, 0.3, 0.15])
    for lane in section.lanes:
        flow = (rng.uniform(16, 30) if highway else rng.uniform(5, 14)) * lane.direction
        if abs(lane.center - ego.d) < lane.width / 2:
            flow = ego.speed
        s = rng.uniform(-15, 25)
        while s < span and len(vehicles) < 40 + span / 20:
            s += 9 + rng.exponential(100 / max(busy, 0.02))
            kind = ("car", "suv", "van", "truck", "bus")[rng.choice(5, p=odds)]
            pool = vehicle_pool(lights > 0)[kind]
            mesh, size = pool[rng.integers(len(pool))]
            d = lane.center + rng.normal(0, 0.2)
            if abs(d - ego.d) < 2.6 and s < 5 + size[0]:
                continue
            vehicles.append(Vehicle(mesh, size, s, d, np.pi * (lane.direction < 0) + rng.normal(0, 0.01), flow))
            s += size[0]
    side = 1 if section.left_hand else -1
    if not section.tags.get("divided", 1.0) and section.tags.get("shoulder", 0) > 1.9 and rng.random() < 0.85:
        for border, out in ((section.tags["right"], side), (section.tags["outer"], -side)):
            s = rng.uniform(3, 15)
            while s < min(span, length * 0.3) and len(vehicles) < 60 + span / 8:
                pool = vehicle_pool(False)["car" if rng.random() < 0.7 else "suv"]
                mesh, size = pool[rng.integers(len(pool))]
                vehicles.append(Vehicle(mesh, size, s, border - out * 1.1, np.pi * (out != side), 0.0))
                s += size[0] + rng.choice([1.0, 1.5, 8.0, 20.0])
    return tuple(vehicles)


def _roadside(rng, road, section, family, length) -> tuple[Mesh, np.ndarray]:  # type: ignore[no-untyped-def]
    """Everything that stands beside and above the road, and the positions of lamps."""
    borders = sorted((section.tags["right"], section.tags["outer"]))
    parts: list[Mesh] = []
    lamps: list[np.ndarray] = []
    far = min(length, 300.0) if length < 500 else length
    city = family.startswith("city") or (family == "wild" and rng.random() < 0.4)
    for border, side in ((borders[0], -1), (borders[1], 1)):
        if not city:
            parts += _rails(rng, road, border, side, far)
        parts += _greenery(rng, road, border, side, city, far)
        if city or rng.random() < 0.08:
            parts += _buildings(rng, road, border, side, far)
        if city or rng.random() < 0.3:
            more, where = _posts(rng, road, border, side, far)
            parts += more
            lamps += where
    if "median0" in section.tags:
        parts += _median_rails(rng, road, section, far)
    parts += _overhead(rng, road, borders, city, far)
    return merge(parts), np.array(lamps).reshape(-1, 3)


def _rails(rng: np.random.Generator, road: Road, border: float, side: int, far: float) -> list[Mesh]:
    pick = rng.random()
    if pick < 0.3:
        return [make.guard_rail(road, -20, far, border + side * rng.uniform(0.2, 1.5), rng.uniform(0.25, 0.6))]
    if pick < 0.5:
        return [
            make.jersey(
                road, -20, far, border + side * rng.uniform(0.35, 1.0), rng.uniform(0.2, 0.6), rng.uniform(0.7, 1.2)
            )
        ]
    if pick < 0.62:
        color = rng.uniform(0.1, 0.45) * np.array([1.0, rng.uniform(0.8, 1.0), rng.uniform(0.6, 0.95)])
        return [make.wall(road, -20, far, border + side * rng.uniform(0.5, 4), rng.uniform(1.5, 5), color)]
    return []


def _median_rails(rng: np.random.Generator, road: Road, section: Section, far: float) -> list[Mesh]:
    a, b = sorted((section.tags["median0"], section.tags["median1"]))
    pick = rng.random() * (0.75 if section.tags["median_flat"] else 1.0)  # never plain road between the directions
    if pick < 0.4:
        return [make.jersey(road, -20, far, (a + b) / 2, rng.uniform(0.2, 0.6), rng.uniform(0.7, 1.1))]
    if pick < 0.75:
        ends = ((a + b) / 2,) if b - a < 3 else (a + 0.5, b - 0.5)
        return [make.guard_rail(road, -20, far, d) for d in ends]
    return []


def _greenery(rng, road, border, side, city, far) -> list[Mesh]:  # type: ignore[no-untyped-def]
    tone = rng.random()
    leaf = np.array([0.05 + 0.10 * tone, 0.10 + 0.05 * tone, 0.03 + 0.02 * tone])
    density = rng.choice([0.0, 0.2, 0.6, 1.3]) * (0.5 if city else 1.0)
    near = 1.6 if city else rng.uniform(4, 10)
    count = int(density * far / 7)
    s = 6 + far * rng.random(count) ** 1.3
    d = border + side * (near + rng.random(count) ** 2 * (1 if city else 30))
    height = np.where(rng.random(count) < 0.3, rng.uniform(0.5, 1.6, count), rng.uniform(3.5, 7 if city else 12, count))
    crown = border + side * 0.3 * height
    d = np.where((height > 2) & (np.abs(d - border) < 0.3 * height), crown, d)
    free = np.abs(d * road.at(s, "curvature")) < 0.8
    return [make.trees(rng, road, s[free], d[free], height[free], leaf)]


def _buildings(rng, road, border, side, far) -> list[Mesh]:  # type: ignore[no-untyped-def]
    setback = rng.uniform(3.5, 12)
    s, parts = -20.0, []
    tall = rng.uniform(5, 30)
    while s < far:
        length, height = rng.uniform(8, 35), tall * rng.uniform(0.5, 1.4)
        d = border + side * (setback + rng.uniform(0, 2))
        if abs(d) * np.abs(road.at(s, "curvature")) < 0.6 and rng.random() < 0.85:
            pose = make.upright(road, s, d)
            pose[:3, 1] *= side
            parts.append(make.building(rng, pose, length, rng.uniform(8, 20), height))
        s += length + rng.choice([0.2, 3, 12])
    return parts


def _posts(rng, road, border, side, far) -> tuple[list[Mesh], list[np.ndarray]]:  # type: ignore[no-untyped-def]
    """Street lamps, signs, poles and people along one side."""
    parts: list[Mesh] = []
    lamps: list[np.ndarray] = []
    if rng.random() < 0.7:
        gap, height, reach = rng.uniform(22, 45), rng.uniform(6, 11), -side * rng.uniform(0.8, 2.8)
        poses = make.upright_many(road, np.arange(rng.uniform(-10, 20), far, gap), np.array(border + side * 0.8))
        parts.append(repeat(make.street_lamp(height, reach), poses))
        lamps = list((poses @ [0, reach, height - 0.3, 1])[:, :3])
    for _ in range(rng.poisson(3)):
        pose = make.upright(road, rng.uniform(8, 120), border + side * rng.uniform(0.5, 2), 0.0, rng.normal(0, 0.1))
        parts.append(make.sign(rng, pose))
    for _ in range(rng.poisson(1.5)):
        s, d = rng.uniform(6, 60), border + side * rng.uniform(0.5, 4)
        parts.append(make.pedestrian(rng, make.upright(road, s, d, 0.12, rng.uniform(0, 6))))
    return parts, lamps


def _overhead(rng, road, borders, city, far) -> list[Mesh]:  # type: ignore[no-untyped-def]
    """Bridges, sign gantries and traffic lights."""
    parts = []
    span: dict[str, Any] = {"left": borders[1] + 1.5, "right": borders[0] - 1.5}
    if rng.random() < 0.1:
        parts.append(make.bridge(rng, make.upright(road, rng.uniform(15, 150), 0.0), **span))
    if not city and rng.random() < 0.2:
        color = ((0.02, 0.22, 0.08), (0.02, 0.08, 0.35))[rng.integers(2)]
        parts.append(make.gantry(make.upright(road, rng.uniform(30, 180), 0.0), span["left"], span["right"], color))
    if city and rng.random() < 0.35:
        pose = make.upright(road, rng.uniform(20, 80), borders[0] - 1.0)
        parts.append(make.traffic_light(pose, (borders[1] - borders[0]) * rng.uniform(0.3, 0.7)))
    return parts
