"""A racing oval: two straights and two banked bends, lanes without intersections, walls and stands."""

from __future__ import annotations

import numpy as np

from perception.sim.city.elements import Furniture
from perception.sim.city.layout import Plan, RoadPlan, TownConfig
from perception.sim.city.model import Category, GroundMap, Lane, LineType
from perception.sim.city.network import offset_line
from perception.sim.city.terrain import sample_height
from perception.sim.world.furniture import building
from perception.sim.world.mesh import MATTE, METAL, Mesh, make, merge, quads_to_triangles

LANES = 3


def make_oval_plan(rng: np.random.Generator, config: TownConfig) -> Plan:
    """A stadium run through counter-clockwise; the line is the outer edge of its lanes' left border."""
    straight, radius = rng.uniform(110, 170), rng.uniform(75, 95)
    width = float(np.clip(config.lane_width[1] * rng.uniform(1.05, 1.25), 3.5, 5.0))
    line = stadium(straight, radius, 1.0)
    road = RoadPlan((-1, -1), line, (LANES, LANES), (0, 0), width, float(np.deg2rad(rng.uniform(8, 16))))
    return Plan(np.zeros((0, 2)), np.zeros(0), (road,), straight / 2 + radius + 30.0)


def stadium(straight: float, radius: float, step: float) -> np.ndarray:
    """(N, 2) closed line, first point repeated, counter-clockwise from the begin of the lower straight."""
    bend = np.pi * radius
    count = round(2 * (straight + bend) / step)
    s = np.linspace(0, 2 * (straight + bend), count + 1)
    half, sign = s % (straight + bend), np.where(s < straight + bend - 1e-9, 1.0, -1.0)
    sign[-1], half[-1] = 1.0, 0.0
    turn = np.clip((half - straight) / radius, 0, np.pi)
    x = np.minimum(half, straight) - straight / 2 + radius * np.sin(turn)
    y = -radius * np.cos(turn)
    return np.stack([x * sign, y * sign], -1)


def make_oval_lanes(plan: Plan) -> tuple[Lane, ...]:
    """The lanes of each quarter (a straight or a bend), z = 0, joined in a ring."""
    road = plan.roads[0]
    closed = np.concatenate([road.line[-3:-1], road.line, road.line[1:3]])  # normals run through the joint
    lines = {
        (slot, share): offset_line(closed, -(slot + share) * road.width)[2:-2]
        for slot in range(LANES)
        for share in (0.0, 0.5, 1.0)
    }
    cuts = np.linspace(0, len(road.line) - 1, 9).astype(int)
    lanes = []
    for part in range(8):
        piece = slice(cuts[part], cuts[part + 1] + 1)
        for slot in range(LANES):
            left, center, right = (np.c_[lines[slot, share][piece], np.zeros(cuts[part + 1] - cuts[part] + 1)]
                                   for share in (0.0, 0.5, 1.0))  # fmt: skip
            number = part * LANES + slot
            lanes.append(
                Lane(
                    id=number,
                    centerline=center,
                    left=left,
                    right=right,
                    left_type=LineType.SOLID if slot == 0 else LineType.DASHED,
                    right_type=LineType.SOLID if slot == LANES - 1 else LineType.DASHED,
                    successors=((number + LANES) % (8 * LANES),),
                    predecessors=((number - LANES) % (8 * LANES),),
                    speed=50.0,
                )
            )
    return tuple(lanes)


def furnish_oval(rng: np.random.Generator, plan: Plan, ground: GroundMap, parts: Furniture) -> np.ndarray:
    """Walls on both sides, a fence above the outer one, and stands; returns (0, 3) lamps."""
    road = plan.roads[0]
    right, _ = road.reach
    tone = rng.uniform(0.35, 0.6)
    outer = offset_line(road.line, -(right + 0.6))
    parts.add(_wall(outer, ground, 0.0, 1.1, (tone,) * 3), Category.WALL, parts.new_instance())
    parts.add(_wall(offset_line(road.line, 14.0), ground, 0.0, 0.8, (tone * 0.9,) * 3), Category.WALL)
    rails = [_wall(outer, ground, z, z + 0.06, (0.3, 0.3, 0.32), METAL) for z in (1.6, 2.1, 2.6, 3.1)]
    parts.add(merge(rails), Category.WALL)
    _stands(rng, offset_line(road.line, -(right + 9.0)), ground, parts)
    return np.zeros((0, 3))


def _wall(
    line: np.ndarray, ground: GroundMap, low: float, high: float, color: tuple[float, ...], material: int = MATTE
) -> Mesh:
    """A sheet along a line."""
    z = sample_height(ground, line)
    vertices = np.concatenate([np.c_[line, z + low - (0.3 if low == 0 else 0.0)], np.c_[line, z + high]])
    i = np.arange(len(line) - 1)
    quads = np.stack([i, i + 1, i + 1 + len(line), i + len(line)], -1)
    return make(vertices, quads_to_triangles(quads), color, material)


def _stands(rng: np.random.Generator, line: np.ndarray, ground: GroundMap, parts: Furniture) -> None:
    """Buildings outside of the wall, mostly at the lower straight."""
    position = 5.0
    while position < len(line) - 30:
        length, step = rng.uniform(14, 26), line[int(position) + 8] - line[int(position)]
        if rng.random() < (0.9 if position < len(line) * 0.2 else 0.35):
            yaw = float(np.arctan2(step[1], step[0])) + np.pi
            spot = line[int(position)]
            pose = np.eye(4)
            pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
            pose[:3, 3] = (*spot, float(sample_height(ground, spot[None])[0]))
            parts.add(building(rng, pose, length, rng.uniform(7, 12), rng.uniform(5, 14)), Category.BUILDING,
                      parts.new_instance())  # fmt: skip
        position += length + rng.uniform(2, 12)
