"""Buildings, trees and lamps along the roads of a town."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from perception.sim.city.buildings import garden_wall, house
from perception.sim.city.elements import Furniture
from perception.sim.city.layout import Plan
from perception.sim.city.model import Category, GroundMap
from perception.sim.city.network import offset_line
from perception.sim.city.terrain import sample_height
from perception.sim.world.furniture import street_lamp, tree_templates
from perception.sim.world.mesh import LEAVES, Mesh, blob, cylinder, merge, repeat


def furnish(rng: np.random.Generator, plan: Plan, ground: GroundMap, parts: Furniture, night: bool) -> np.ndarray:
    """Put up everything that does not rule traffic; returns (N, 3) positions of street lamps."""
    roads = [(road.line, max(road.reach)) for road in plan.roads]
    _buildings(rng, plan, roads, ground, parts)
    lamps = []
    for road in plan.roads:
        right, left = road.reach
        for side, reach in ((-1, right), (1, left)):
            edge = offset_line(road.line, side * (reach + 1.0))
            outward = side
            for index in range(int(rng.integers(4, 14)), len(edge) - 3, int(rng.integers(22, 34))):
                lamps.append(_lamp(edge, index, outward, ground, parts))
            if rng.random() < 0.6:
                _trees(rng, offset_line(road.line, side * (reach + rng.uniform(1.3, 2.2))), ground, parts)
    for x, y in rng.uniform(-plan.size, plan.size, (70, 2)):
        if _distance(roads, np.array([[x, y]])).min() > 16:
            _tree(rng, np.array([x, y]), rng.uniform(4, 11), ground, parts)
    return np.array(lamps).reshape(-1, 3)


def _distance(roads: list[tuple[np.ndarray, float]], points: np.ndarray) -> np.ndarray:
    """(N,) metres from points to the nearest kerb."""
    best = np.full(len(points), np.inf)
    for line, reach in roads:
        gap = np.linalg.norm(points[:, None] - line[None, ::3], axis=-1).min(1) - reach
        best = np.minimum(best, gap)
    return best


def _pose(spot: np.ndarray, yaw: float, ground: GroundMap) -> np.ndarray:
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[:3, 3] = (*spot, float(sample_height(ground, spot[None])[0]))
    return pose


def _buildings(
    rng: np.random.Generator, plan: Plan, roads: list[tuple[np.ndarray, float]], ground: GroundMap, parts: Furniture
) -> None:
    """Fronts along both sides of every road, where there is room; each is an instance of its own."""
    taken: list[tuple[np.ndarray, float]] = []
    for road in plan.roads:
        for side in (-1, 1):
            reach = road.reach[0 if side < 0 else 1]
            setback = rng.uniform(3.5, 7.0)
            line = offset_line(road.line, side * (reach + setback))
            position = rng.uniform(2, 8)
            while position < len(line) - 8:
                length, depth = rng.uniform(9, 22), rng.uniform(8, 13)
                index = int(min(position + length / 2, len(line) - 2))
                step = line[index + 1] - line[index - 1]
                yaw = float(np.arctan2(step[1], step[0])) + (0 if side > 0 else np.pi)
                along, inward = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
                corner = line[index] - along * length / 2
                grid = np.array([(a, b) for a in (0, 0.5, 1) for b in (0, 0.5, 1)]) * (length, depth)
                points = corner + grid @ np.stack([along, inward])
                middle, radius = points.mean(0), np.hypot(length, depth) / 2
                free = all(np.linalg.norm(middle - m) > 0.86 * (radius + r) for m, r in taken)
                near = np.linalg.norm(points[:, None] - plan.nodes[None], axis=-1) - plan.radii
                if free and _distance(roads, points).min() > 3.0 and near.min() > 1.0 and rng.random() < 0.9:
                    height = rng.uniform(5, 12) if rng.random() < 0.6 else rng.uniform(12, 30)
                    mesh = house(rng, length, depth, height).moved(_pose(corner, yaw, ground))
                    parts.add(mesh, Category.BUILDING, parts.new_instance())
                    taken.append((middle, radius))
                elif free and rng.random() < 0.5 and _distance(roads, line[index : index + 1]).min() > 3.0:
                    piece = line[max(index - int(length / 2), 0) : index + int(length / 2)]
                    _fence(rng, piece, ground, parts)
                position += length + (rng.uniform(0.5, 2) if rng.random() < 0.6 else rng.uniform(4, 14))


def _fence(rng: np.random.Generator, line: np.ndarray, ground: GroundMap, parts: Furniture) -> None:
    """A wall or a hedge along the front of a gap between houses."""
    if len(line) > 3:
        mesh, hedge = garden_wall(rng, line, sample_height(ground, line))
        parts.add(mesh, Category.VEGETATION if hedge else Category.WALL, parts.new_instance())


def _lamp(edge: np.ndarray, index: int, side: int, ground: GroundMap, parts: Furniture) -> np.ndarray:
    step = edge[index + 1] - edge[index - 1]
    pose = _pose(edge[index], float(np.arctan2(step[1], step[0])), ground)
    parts.add(street_lamp(7.5, -side * 1.8).moved(pose), Category.POLE)
    return (pose @ np.array([0, -side * 1.8, 7.3, 1]))[:3]


def _trees(rng: np.random.Generator, line: np.ndarray, ground: GroundMap, parts: Furniture) -> None:
    for index in range(int(rng.integers(3, 9)), len(line) - 2, int(rng.integers(9, 16))):
        if rng.random() < 0.8:
            _tree(rng, line[index] + rng.normal(0, 0.15, 2), rng.uniform(3.5, 7.5), ground, parts)


def _tree(rng: np.random.Generator, spot: np.ndarray, height: float, ground: GroundMap, parts: Furniture) -> None:
    templates = crowns() if rng.random() < 0.85 else tree_templates()[5:7]
    template = templates[int(rng.integers(len(templates)))]
    pose = _pose(spot, rng.uniform(0, 2 * np.pi), ground)
    pose[:3, :3] *= height
    mesh = repeat(template, pose[None])
    leaf = np.array([0.115, 0.185, 0.045]) * rng.uniform(0.7, 1.5) * rng.uniform(0.85, 1.2, 3)
    foliage = mesh.color.max(1, keepdims=True) > 0.3
    color = np.where(foliage, mesh.color * leaf, mesh.color).astype(np.float32)
    material = np.where(foliage[:, 0], LEAVES, mesh.material).astype(np.uint8)
    tinted = Mesh(mesh.vertices, mesh.triangles, color, material, mesh.texture)
    parts.add(tinted, Category.VEGETATION, parts.new_instance())


@lru_cache(maxsize=1)
def crowns() -> tuple[Mesh, ...]:
    """Broad-leaved trees 1 m tall with crowns of many lumps, made once per process from a fixed seed."""
    rng = np.random.default_rng(21)
    out = []
    for _ in range(8):
        parts = [cylinder(0.02, 0, 0.5, (0.09, 0.06, 0.04), 6, 0.7)]
        wide, tall = rng.uniform(0.16, 0.30), rng.uniform(0.20, 0.30)
        for _ in range(int(rng.integers(18, 28))):
            spot = rng.normal(0, 0.5, 3)
            spot /= max(float(np.linalg.norm(spot)), 1.0)
            shift = np.eye(4)
            shift[:3, 3] = spot * (wide, wide, tall) * 0.9 + (0, 0, 0.68)
            parts.append(blob(rng, rng.uniform(0.09, 0.15, 3), (1, 1, 1), 1).moved(shift))
        out.append(merge(parts))
    return tuple(out)
