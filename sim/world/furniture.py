"""Static objects beside and above a road: trees, poles, signs, buildings, rails, bridges, pedestrians."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from perception.sim.world.mesh import FACADE, MATTE, METAL, PAINT, Mesh, blob, box, cylinder, make, merge, repeat
from perception.sim.world.road import Road

_BARK, _STEEL = (0.09, 0.06, 0.04), (0.30, 0.31, 0.32)


@lru_cache(maxsize=1)
def tree_templates() -> tuple[Mesh, ...]:
    """Crowned trees, conifers and bushes of about 1 m height, to be scaled; made once per process from a fixed seed."""
    rng = np.random.default_rng(11)
    out = []
    for _ in range(5):
        parts = [cylinder(0.022, 0, 0.5, _BARK, 5)]
        for _ in range(int(rng.integers(4, 8))):
            shift = np.eye(4)
            shift[:3, 3] = rng.normal(0, 0.11, 2).tolist() + [rng.uniform(0.45, 0.85)]
            parts.append(blob(rng, rng.uniform(0.12, 0.22, 3), (1, 1, 1), 1).moved(shift))
        out.append(merge(parts))
    for _ in range(2):
        cones = [cylinder(0.2 - 0.04 * i, 0.12 + 0.2 * i, 0.45 + 0.2 * i, (0.7, 0.9, 0.75), 7, 0.15) for i in range(3)]
        out.append(merge([cylinder(0.02, 0, 0.2, _BARK, 5), *cones]))
    for _ in range(2):
        lift = np.eye(4)
        lift[2, 3] = 0.35
        out.append(blob(rng, (0.7, 0.6, 0.5), (1.1, 1.0, 0.9), 1).moved(lift))
    return tuple(out)


def upright(road: Road, s: float, d: float, up: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    """(4, 4) world pose of an upright object, x along the road plus ``yaw``."""
    heading = float(road.at(s, "heading")) + yaw
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(heading), -np.sin(heading)], [np.sin(heading), np.cos(heading)]]
    pose[:3, 3] = road.points(s, d, up)
    return pose


def upright_many(
    road: Road, s: np.ndarray, d: np.ndarray, yaw: np.ndarray | float = 0.0, scale: np.ndarray | float = 1.0
) -> np.ndarray:
    """(N, 4, 4) world poses of upright objects, x along the road plus ``yaw``, scaled by ``scale``."""
    heading = road.at(s, "heading") + yaw
    poses = np.tile(np.eye(4), (len(s), 1, 1))
    poses[:, 0, 0] = poses[:, 1, 1] = np.cos(heading)
    poses[:, 1, 0], poses[:, 0, 1] = np.sin(heading), -np.sin(heading)
    poses[:, :3, :3] *= np.reshape(scale, (-1, 1, 1))
    poses[:, :3, 3] = road.points(s, d)
    return poses


def trees(
    rng: np.random.Generator, road: Road, s: np.ndarray, d: np.ndarray, height: np.ndarray, leaf: np.ndarray
) -> Mesh:
    """Trees (bushes below 2 m) at stations ``s`` and offsets ``d``, (N,) each, with leaf colour (3,) ``leaf``."""
    templates = tree_templates()
    kind = np.where(
        height > 2, rng.integers(len(templates) - 2, size=len(s)), len(templates) - 1 - rng.integers(2, size=len(s))
    )
    poses = upright_many(road, s, d, rng.uniform(0, 2 * np.pi, len(s)), height)
    poses[:, 2, 3] -= 0.3
    tint = leaf * rng.uniform(0.7, 1.3, (len(s), 1))
    parts = []
    for index, template in enumerate(templates):
        pick = np.flatnonzero(kind == index)
        if len(pick):
            mesh = repeat(template, poses[pick])
            foliage = mesh.color.max(1, keepdims=True) > 0.3
            color = np.where(foliage, mesh.color * np.repeat(tint[pick], len(template.color), axis=0), mesh.color)
            parts.append(Mesh(mesh.vertices, mesh.triangles, color.astype(np.float32), mesh.material, mesh.texture))
    return merge(parts)


def street_lamp(height: float, reach: float) -> Mesh:
    """A lamp post at the origin whose arm reaches ``reach`` metres to its left (negative: right)."""
    parts = [
        cylinder(0.09, 0, height, _STEEL, 6),
        box((-0.06, min(0, reach), height - 0.1), (0.06, max(0, reach), height), _STEEL, METAL),
        box((-0.15, reach - 0.4, height - 0.15), (0.15, reach + 0.4, height - 0.05), (0.6, 0.6, 0.6)),
    ]
    return merge(parts)


def sign(rng: np.random.Generator, pose: np.ndarray) -> Mesh:
    """A traffic sign or a board on posts, facing traffic that comes along x."""
    colors = [(0.02, 0.25, 0.10), (0.02, 0.10, 0.40), (0.75, 0.75, 0.75), (0.65, 0.45, 0.02), (0.5, 0.02, 0.02)]
    color = colors[rng.integers(len(colors))]
    big = rng.random() < 0.3
    w, h, z = (
        (rng.uniform(1, 2.5), rng.uniform(0.8, 1.6), 2.2)
        if big
        else (rng.uniform(0.3, 0.45), rng.uniform(0.6, 0.9), 1.9)
    )
    parts = [cylinder(0.05, 0, z + h, _STEEL, 5), box((-0.06, -w, z), (-0.02, w, z + h), color)]
    parts.append(box((-0.065, -w * 0.7, z + 0.3 * h), (-0.06, w * 0.7, z + 0.6 * h), (0.75, 0.75, 0.75)))
    return merge(parts).moved(pose)


def gantry(pose: np.ndarray, left: float, right: float, color: tuple[float, float, float]) -> Mesh:
    """A sign bridge over the road between offsets ``right`` and ``left``."""
    parts = [
        box((-0.15, left, 0), (0.15, left + 0.3, 7), _STEEL, METAL),
        box((-0.15, right - 0.3, 0), (0.15, right, 7), _STEEL, METAL),
        box((-0.15, right, 6.3), (0.15, left, 6.9), _STEEL, METAL),
    ]
    for y in np.arange(right + 2, left - 3, 5.5):
        parts.append(box((-0.3, y, 5.4), (-0.2, y + 3.6, 7.6), color))
        parts.append(box((-0.32, y + 0.4, 6.2), (-0.3, y + 3.0, 6.6), (0.75, 0.75, 0.75)))
    return merge(parts).moved(pose)


def bridge(rng: np.random.Generator, pose: np.ndarray, left: float, right: float) -> Mesh:
    """An overpass: a deck across the road with parapets on two walls."""
    tone = np.full(3, rng.uniform(0.2, 0.45))
    depth, z = rng.uniform(6, 14), rng.uniform(5.0, 6.5)
    parts = [
        box((-depth / 2, right - 40, z), (depth / 2, left + 40, z + 1.2), tone),
        box((-depth / 2, right - 40, z + 1.2), (-depth / 2 + 0.3, left + 40, z + 2.1), tone * 0.9),
        box((-depth / 2 + 0.5, left + 1, -1), (depth / 2 - 0.5, left + 2.2, z), tone * 0.8),
        box((-depth / 2 + 0.5, right - 2.2, -1), (depth / 2 - 0.5, right - 1, z), tone * 0.8),
    ]
    return merge(parts).moved(pose)


def building(rng: np.random.Generator, pose: np.ndarray, length: float, depth: float, height: float) -> Mesh:
    """A block with windows whose long side lies along x and whose depth goes to +y."""
    tones = [
        (0.24, 0.10, 0.07),
        (0.35, 0.30, 0.25),
        (0.5, 0.48, 0.44),
        (0.12, 0.12, 0.13),
        (0.30, 0.22, 0.15),
        (0.6, 0.58, 0.55),
    ]
    color = np.array(tones[rng.integers(len(tones))]) * rng.uniform(0.7, 1.2)
    body = box((0, 0, -2), (length, depth, height), color, FACADE)
    base = box((-0.05, -0.05, -2), (length + 0.05, depth + 0.05, rng.uniform(0.4, 3.5)), color * 0.6)
    roof = box((-0.2, -0.2, height), (length + 0.2, depth + 0.2, height + 0.4), color * 0.8)
    return merge([body, base, roof]).moved(pose)


def pedestrian(rng: np.random.Generator, pose: np.ndarray) -> Mesh:
    """A standing person of three boxes and a head."""
    coat, legs = rng.uniform(0.02, 0.5, 3), rng.uniform(0.02, 0.2, 3)
    h = rng.uniform(0.92, 1.08)
    parts = [
        box((-0.12, -0.17, 0), (0.12, -0.02, 0.85 * h), legs),
        box((-0.12, 0.02, 0), (0.12, 0.17, 0.85 * h), legs),
        box((-0.15, -0.24, 0.8 * h), (0.15, 0.24, 1.45 * h), coat),
        cylinder(0.11, 1.47 * h, 1.72 * h, (0.35, 0.22, 0.16), 6),
    ]
    return merge(parts).moved(pose)


def traffic_light(pose: np.ndarray, reach: float) -> Mesh:
    """Signal heads on a mast arm that reaches ``reach`` metres to the left (negative: right)."""
    parts = [cylinder(0.1, 0, 6, _STEEL, 6), box((-0.06, min(0, reach), 5.7), (0.06, max(0, reach), 5.85), _STEEL)]
    for y in (0.45 * reach, 0.95 * reach):
        parts.append(box((-0.2, y - 0.18, 4.9), (0, y + 0.18, 5.9), (0.03, 0.03, 0.02)))
        parts.append(box((-0.22, y - 0.1, 5.6), (-0.2, y + 0.1, 5.8), (0.6, 0.03, 0.02), PAINT))
    return merge(parts).moved(pose)


def ribbon(
    road: Road, s0: float, s1: float, d: float, profile: np.ndarray, color: np.ndarray | tuple[float, float, float],
    material: int = MATTE, step: float = 3.0,
) -> Mesh:  # fmt: skip
    """A profile swept along the road.

    Args:
        road: Reference line.
        s0: First station.
        s1: Last station.
        d: Offset of the profile's origin.
        profile: (K, 2) offsets (left, up) in metres, in order.
        color: Linear reflectance.
        material: Mesh material.
        step: Distance of sections, metres.
    """
    stations = np.linspace(s0, s1, max(2, int((s1 - s0) / step) + 1))
    points = road.points(stations[:, None], d + profile[None, :, 0], profile[None, :, 1])
    k = len(profile)
    i = np.arange(len(stations) * k).reshape(-1, k)
    quads = np.stack([i[:-1, :-1], i[1:, :-1], i[1:, 1:], i[:-1, 1:]], -1).reshape(-1, 4)
    mesh = make(points.reshape(-1, 3), np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]), color, material)
    mesh.texture[:, 0] = np.repeat(stations, k)
    mesh.texture[:, 1] = np.tile(profile[:, 1], len(stations))
    return mesh


def guard_rail(road: Road, s0: float, s1: float, d: float, tone: float = 0.45) -> Mesh:
    """A steel guard rail with posts."""
    profile = np.array([(0, 0.45), (0.05, 0.52), (0, 0.6), (0.05, 0.68), (0, 0.75)])
    parts = [ribbon(road, s0, s1, d, profile, (tone, tone, tone * 1.02), METAL)]
    post = box((-0.06, -0.05, 0), (0.06, 0.05, 0.75), (0.25, 0.25, 0.26))
    parts.append(repeat(post, upright_many(road, np.arange(s0, s1, 4.0), np.array(d - 0.05))))
    return merge(parts)


def jersey(road: Road, s0: float, s1: float, d: float, tone: float, height: float = 0.85) -> Mesh:
    """A concrete barrier of New Jersey shape."""
    profile = np.array(
        [(-0.3, 0), (-0.28, 0.08), (-0.14, 0.33), (-0.08, height), (0.08, height), (0.14, 0.33), (0.28, 0.08), (0.3, 0)]
    )
    return ribbon(road, s0, s1, d, profile, (tone, tone, tone * 0.96))


def wall(road: Road, s0: float, s1: float, d: float, height: float, color: np.ndarray, facade: bool = False) -> Mesh:
    """A wall, noise barrier or fence with a cap."""
    profile = np.array([(-0.15, -1.0), (-0.15, height), (0.15, height), (0.15, -1.0)])
    return ribbon(road, s0, s1, d, profile, color, FACADE if facade else MATTE)
