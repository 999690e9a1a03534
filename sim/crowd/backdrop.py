"""What stands around a crowd and must not be counted: facades, trees, signs, stalls, cars, round things."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from perception.sim.crowd.layout import Site
from perception.sim.crowd.people import cloth
from perception.sim.world.furniture import building, tree_templates
from perception.sim.world.mesh import MATTE, METAL, Mesh, blob, box, cylinder, frustum, make, merge, repeat
from perception.sim.world.vehicles import vehicle_pool


def random_backdrop(rng: np.random.Generator, site: Site) -> tuple[Mesh, np.ndarray]:
    """Objects around and among the people.

    Returns:
        Their mesh, and (K, 3) discs x, y, radius that they occupy.
    """
    parts: list[Mesh] = []
    blocked: list[tuple[float, float, float]] = []
    if rng.random() < 0.75:
        parts += _facades(rng, site)
    makers = (_trees, _stalls, _cars, _posts, _balls, _boards, _fences, _planters)
    for maker in makers:
        if rng.random() < 0.33:
            meshes, discs = maker(rng, site)
            parts += meshes
            blocked += discs
    if rng.random() < 0.2:
        parts += _strings(rng, site)
    if site.rise:
        parts += _stand(rng, site)
    return merge(parts), np.array(blocked, float).reshape(-1, 3)


def _spots(rng: np.random.Generator, site: Site, count: int, beyond: float = 1.1) -> np.ndarray:
    """(count, 2) places in view, near the camera as likely as far from it."""
    half = site.camera.width / 2 / site.camera.intrinsics[0, 0]
    low = max(site.near * 1.6, 5.0)
    high = max(site.far * beyond, 9.0, low)
    x = np.exp(rng.uniform(np.log(low), np.log(high), count))
    return np.stack([x, x * half * rng.uniform(-1.05, 1.05, count)], -1)


def _pose(x: float, y: float, yaw: float = 0.0, z: float = 0.0) -> np.ndarray:
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[:3, 3] = x, y, z
    return pose


def _color(rng: np.random.Generator) -> np.ndarray:
    return cloth(rng, 1, 0.3, 0.6)[0]


def _facades(rng: np.random.Generator, site: Site) -> list[Mesh]:
    """Houses behind the crowd, at times on its sides, some with shop fronts."""
    half = site.camera.width / 2 / site.camera.intrinsics[0, 0]
    back = site.far * rng.uniform(1.0, 1.5) + 1.5
    parts, y = [], -back * half * 1.4 - 10
    while y < back * half * 1.4 + 10:
        length = rng.uniform(6, 25)
        pose = _pose(back + rng.normal(0, 0.8), y + length, -np.pi / 2)
        parts.append(building(rng, pose, length, 8.0, rng.uniform(4, 25)))
        parts += _shopfront(rng, back - 0.9, y, length)
        y += length + (rng.uniform(1, 8) if rng.random() < 0.3 else 0.0)
    for side in (-1, 1):
        if rng.random() < 0.3:
            edge = side * max(site.far * half * rng.uniform(0.35, 0.9), 4.0)
            pose = _pose(-5.0, edge, 0.0) if side > 0 else _pose(back, edge, np.pi)
            parts.append(building(rng, pose, back + 5.0, 8.0, rng.uniform(5, 20)))
    return parts


def _shopfront(rng: np.random.Generator, x: float, y: float, length: float) -> list[Mesh]:
    """A sign with strokes like letters, and a dark or lit window, in front of a facade."""
    if rng.random() < 0.4:
        return []
    low, high = rng.uniform(2.4, 3.0), rng.uniform(3.2, 4.0)
    back, ink = _color(rng), _color(rng)
    parts = [box((x, y + 0.3, low), (x + 0.4, y + length - 0.3, high), back)]
    parts.append(box((x + 0.3, y + 0.5, 0.2), (x + 0.5, y + length - 0.5, low - 0.1), _color(rng) * 0.3))
    return parts + _letters(rng, x - 0.02, y + 0.5, y + length - 0.5, low + 0.12, high - 0.12, ink)


def _letters(
    rng: np.random.Generator, x: float, y0: float, y1: float, z0: float, z1: float, ink: np.ndarray
) -> list[Mesh]:
    """Strokes on a wall that faces the camera."""
    size = (z1 - z0) * rng.uniform(0.6, 1.0)
    parts: list[Mesh] = []
    y = y0
    while y + size < y1 and len(parts) < 60:
        for _ in range(int(rng.integers(2, 5))):
            a, b = rng.random(2) * size * 0.8, rng.random(2) * size * 0.8
            thick = 0.12 * size
            if rng.random() < 0.5:
                parts.append(box((x, y + a[0], z0), (x + 0.02, y + a[0] + thick, z0 + size), ink))
            else:
                parts.append(
                    box((x, y + min(a[1], b[1]), z0 + b[0]), (x + 0.02, y + size * 0.9, z0 + b[0] + thick), ink)
                )
        y += size * 1.15
    return parts


@lru_cache(maxsize=1)
def _leafy() -> tuple[Mesh, ...]:
    """Trees of 1 m height whose crowns are many small clumps of leaves; made once per process from a fixed seed."""
    rng = np.random.default_rng(12)
    out = []
    for _ in range(4):
        clumps = []
        for _ in range(90):
            way = rng.normal(size=3)
            at = way / np.linalg.norm(way) * rng.uniform(0.5, 1.0) ** 0.5 * np.array([0.27, 0.27, 0.24])
            tone = rng.uniform(0.5, 1.4)
            clump = blob(rng, rng.uniform(0.03, 0.085, 3), (tone, tone, tone * rng.uniform(0.7, 1.1)), 1)
            clumps.append(clump.moved(_pose(at[0], at[1], 0.0, 0.72 + at[2])))
        out.append(merge([cylinder(0.02, 0, 0.7, (0.09, 0.06, 0.04), 6), *clumps]))
    return tuple(out)


def _trees(rng: np.random.Generator, site: Site) -> tuple[list[Mesh], list]:
    templates = (*_leafy(), *_leafy(), *tree_templates()[5:7])
    spots = _spots(rng, site, int(rng.integers(1, 14)), 1.4)
    leaf = np.array([0.07, 0.12, 0.035]) * rng.uniform(0.5, 1.4) * rng.uniform(0.7, 1.4, 3)
    up = site.camera.ego_from_camera[2, 3]
    parts, discs = [], []
    for x, y in spots:
        template = templates[rng.integers(len(templates))]
        height = rng.uniform(3.5, 11)
        if x < 0.6 * height + 0.4 * up and rng.random() < 0.8:  # a crown would fill the picture
            continue
        mesh = repeat(template, _pose(x, y, rng.uniform(0, 6))[None] * np.array([height] * 3 + [1.0]))
        foliage = mesh.color.max(1, keepdims=True) > 0.3
        color = np.where(foliage, mesh.color * leaf * rng.uniform(0.7, 1.3), mesh.color).astype(np.float32)
        parts.append(Mesh(mesh.vertices, mesh.triangles, color, mesh.material, mesh.texture))
        discs.append((x, y, 0.5))
    return parts, discs


def _stalls(rng: np.random.Generator, site: Site) -> tuple[list[Mesh], list]:
    """Market stalls, parasols and tents, which hide people from above."""
    parts, discs = [], []
    for x, y in _spots(rng, site, int(rng.integers(1, 5))):
        color, yaw = _color(rng), rng.uniform(0, 6)
        wide, roof = rng.uniform(0.9, 2.0), rng.uniform(2.0, 2.7)
        if rng.random() < 0.5:
            mesh = merge([cylinder(0.03, 0, roof + 0.4, (0.3, 0.3, 0.3)), _cone(wide, roof, roof + 0.5, color)])
        else:
            corners = [(a * wide, b * wide) for a in (-1, 1) for b in (-1, 1)]
            legs = [box((a - 0.03, b - 0.03, 0), (a + 0.03, b + 0.03, roof), (0.4,) * 3, METAL) for a, b in corners]
            square = (-wide, wide, -wide, wide)
            top = frustum(square, tuple(0.2 * v for v in square), (roof, roof + 0.7), color)
            table = box((-0.7 * wide, -0.8 * wide, 0.1), (0.7 * wide, 0.8 * wide, 0.9), _color(rng))
            goods = [_ball(rng, rng.uniform(0.04, 0.15), _color(rng), rng.uniform(-0.6, 0.6, 2) * wide, 0.95)
                     for _ in range(int(rng.integers(0, 14)))]  # fmt: skip
            mesh = merge([*legs, top, table, *goods])
        parts.append(mesh.moved(_pose(x, y, yaw)))
        discs.append((x, y, wide * 0.8))
    return parts, discs


def _cone(radius: float, low: float, high: float, color: np.ndarray, sides: int = 10) -> Mesh:
    angle = np.arange(sides) * (2 * np.pi / sides)
    rim = np.stack([np.cos(angle) * radius, np.sin(angle) * radius, np.full(sides, low)], -1)
    i = np.arange(sides)
    mesh = make(np.concatenate([rim, [[0, 0, high]]]), np.stack([i, (i + 1) % sides, np.full(sides, sides)], -1), color)
    two = mesh.color * np.where(i % 2, _second_tone(color), 1.0)[:, None]
    return Mesh(mesh.vertices, mesh.triangles, two.astype(np.float32), mesh.material, mesh.texture)


def _second_tone(color: np.ndarray) -> float:
    """Brightness of every second gore of a parasol, from its colour: plain, or darker."""
    return 1.0 if color[0] > color[2] else 0.6


def _ball(rng: np.random.Generator, radius: float, color: np.ndarray, at: np.ndarray, z: float) -> Mesh:
    mesh = blob(np.random.default_rng(0), (radius, radius, radius * rng.uniform(0.8, 1.3)), color, 1)
    plain = Mesh(mesh.vertices, mesh.triangles, mesh.color, np.full_like(mesh.material, MATTE), mesh.texture)
    return plain.moved(_pose(at[0], at[1], 0.0, z))


def _cars(rng: np.random.Generator, site: Site) -> tuple[list[Mesh], list]:
    pool = vehicle_pool(False)
    parts: list[Mesh] = []
    discs: list[tuple[float, float, float]] = []
    way = rng.uniform(0, 2 * np.pi)
    for x, y in _spots(rng, site, int(rng.integers(1, 8)), 1.3):
        kind = rng.choice(["car", "car", "suv", "van", "bus"])
        mesh, size = pool[kind][rng.integers(len(pool[kind]))]
        if x < 4 or any(np.hypot(x - a, y - b) < r + size[0] / 2 for a, b, r in discs):
            continue
        parts.append(mesh.moved(_pose(x, y, way + rng.normal(0, 0.1))))
        discs.append((x, y, size[0] / 2 + 0.2))
    return parts, discs


def _posts(rng: np.random.Generator, site: Site) -> tuple[list[Mesh], list]:
    """Bollards with round tops, lamps with globes, poles, bins: about as tall as people, and some with a head."""
    parts, discs = [], []
    kind, color = rng.random(), _color(rng)
    height = rng.uniform(0.6, 1.2) if kind < 0.5 else rng.uniform(2.5, 6)
    radius = rng.uniform(0.04, 0.14)
    globe = rng.uniform(0.09, 0.25)
    for x, y in _spots(rng, site, int(rng.integers(2, 16)), 1.3):
        post = [cylinder(radius, 0, height, color * 0.8, 7).moved(_pose(x, y))]
        if rng.random() < 0.8:
            post.append(_ball(rng, globe, _color(rng) if kind > 0.7 else color, np.array([x, y]), height + globe * 0.6))
        parts += post
        discs.append((x, y, radius + 0.25))
    return parts, discs


def _balls(rng: np.random.Generator, site: Site) -> tuple[list[Mesh], list]:
    """Balloons, footballs, pots and stones."""
    parts: list[Mesh] = []
    floating = rng.random() < 0.5
    for x, y in _spots(rng, site, int(rng.integers(3, 40))):
        z = rng.uniform(0.5, 5) if floating else rng.uniform(0.05, 0.4)
        parts.append(_ball(rng, rng.uniform(0.08, 0.25), _color(rng), np.array([x, y]), z))
    return parts, []


def _boards(rng: np.random.Generator, site: Site) -> tuple[list[Mesh], list]:
    """Advertising boards, banners and screens with blocks of colour and letters."""
    parts, discs = [], []
    for x, y in _spots(rng, site, int(rng.integers(1, 7)), 1.3):
        wide, low = rng.uniform(0.3, 2.0), rng.uniform(0.1, 2.2)
        high = low + rng.uniform(0.8, 2.4)
        parts.append(box((x, y - wide, low), (x + 0.06, y + wide, high), _color(rng)))
        for layer in range(int(rng.integers(0, 12))):
            a, b = np.sort(rng.uniform(y - wide, y + wide, 2)), np.sort(rng.uniform(low, high, 2))
            parts.append(box((x - 0.02 * (layer + 1), a[0], b[0]), (x, a[1], b[1]), _color(rng)))
        parts += _letters(rng, x - 0.26, y - wide, y + wide, low + 0.1, low + 0.1 + 0.35 * wide, _color(rng))
        parts.append(cylinder(0.04, 0, high, (0.25,) * 3).moved(_pose(x + 0.1, y)))
        discs.append((x, y, wide + 0.3))
    return parts, discs


def _fences(rng: np.random.Generator, site: Site) -> tuple[list[Mesh], list]:
    """Railings and barriers across the view."""
    parts = []
    for x, y in _spots(rng, site, int(rng.integers(1, 4))):
        length, yaw, gap = rng.uniform(4, 25), rng.uniform(0, np.pi), rng.uniform(0.12, 0.5)
        height, color = rng.uniform(0.8, 1.2), _color(rng)
        bars = [box((s, -0.015, 0), (s + 0.03, 0.015, height), color, METAL) for s in np.arange(0, length, gap)]
        rails = [box((0, -0.02, z), (length, 0.02, z + 0.05), color, METAL) for z in (0.15, height)]
        parts.append(merge([*bars, *rails]).moved(_pose(x, y, yaw)))
    return parts, []


def _planters(rng: np.random.Generator, site: Site) -> tuple[list[Mesh], list]:
    """Flower beds and hedges: many small round shapes."""
    parts, discs = [], []
    leaf = np.array([0.05, 0.1, 0.03]) * rng.uniform(0.6, 1.5)
    for x, y in _spots(rng, site, int(rng.integers(1, 5)), 1.2):
        wide = rng.uniform(0.5, 2.0)
        parts.append(box((x - wide, y - wide, 0), (x + wide, y + wide, 0.45), (0.3, 0.28, 0.26), MATTE))
        for _ in range(int(rng.integers(6, 24))):
            at = np.array([x, y]) + rng.uniform(-wide, wide, 2)
            color = leaf if rng.random() < 0.6 else _color(rng)
            parts.append(blob(rng, rng.uniform(0.1, 0.35, 3), color, 1).moved(_pose(at[0], at[1], 0, 0.55)))
        discs.append((x, y, wide * 1.3))
    return parts, discs


def _strings(rng: np.random.Generator, site: Site) -> list[Mesh]:
    """Flags or lanterns on lines above the crowd."""
    parts = []
    half = site.camera.width / 2 / site.camera.intrinsics[0, 0]
    lantern = rng.random() < 0.5
    for _ in range(int(rng.integers(1, 4))):
        x, z = rng.uniform(0.3, 1.0) * site.far, rng.uniform(2.6, 6)
        for y in np.arange(-x * half, x * half, rng.uniform(0.5, 1.5)):
            if lantern:
                parts.append(_ball(rng, rng.uniform(0.12, 0.3), _color(rng), np.array([x, y]), z))
            else:
                parts.append(box((x, y, z - 0.35), (x + 0.01, y + 0.25, z), _color(rng)))
    return parts


def _stand(rng: np.random.Generator, site: Site) -> list[Mesh]:
    """Steps of a stand with rows of seats, empty or not."""
    half = site.camera.width / 2 / site.camera.intrinsics[0, 0]
    rows = np.arange(site.stand_from, site.far + 8, site.row)
    wide = (site.far + 8) * half * 1.3 + 4
    tone, seat = rng.uniform(0.15, 0.45), _color(rng)
    parts = []
    for i, x in enumerate(rows):
        top = (i + 1) * site.row * site.rise
        parts.append(box((x, -wide, 0), (x + site.row + 0.1, wide, top), (tone, tone, tone * 0.97)))
        if rng.random() < 0.7 and i < 40:
            parts.append(box((x + 0.62 * site.row, -wide, top), (x + 0.72 * site.row, wide, top + 0.4), seat))
    return parts
