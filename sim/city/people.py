"""Low-polygon people in many clothes and poses."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from perception.sim.world.mesh import Mesh, blob, frustum, merge

HEAD = 1.66
"""Height of the middle of the head of a mesh, metres."""
SIZE = (0.45, 0.55, 1.78)
"""(length, width, height) of a mesh, metres."""

_SKIN = ((0.45, 0.28, 0.20), (0.30, 0.17, 0.11), (0.55, 0.38, 0.29), (0.16, 0.09, 0.06))
_HAIR = ((0.02, 0.015, 0.012), (0.06, 0.035, 0.02), (0.20, 0.13, 0.06), (0.35, 0.34, 0.33), (0.5, 0.05, 0.04))


@lru_cache(maxsize=1)
def people_pool(count: int = 96) -> tuple[Mesh, ...]:
    """Different people, made once per process from a fixed seed; origin between the feet, looking along x."""
    rng = np.random.default_rng(77)
    return tuple(make_person(rng) for _ in range(count))


def make_person(rng: np.random.Generator) -> Mesh:
    """A person 1.78 m tall: legs in mid-step, body, arms, neck, head and hair; some with a hat, a bag or a skirt."""
    skin = np.array(_SKIN[rng.integers(len(_SKIN))]) * rng.uniform(0.8, 1.2)
    coat, legs = _cloth(rng), _cloth(rng) * 0.6
    step, sway = rng.uniform(-0.22, 0.22), rng.uniform(-0.15, 0.15)
    broad = rng.uniform(0.19, 0.25)
    parts = [
        frustum((step - 0.08, step + 0.14, 0.03, 0.15), (-0.08, 0.09, 0.02, 0.17), (0.0, 0.86), legs),
        frustum((-step - 0.08, -step + 0.14, -0.15, -0.03), (-0.08, 0.09, -0.17, -0.02), (0.0, 0.86), legs),
        frustum((-0.12, 0.12, -broad * 0.8, broad * 0.8), (-0.11, 0.12, -broad, broad), (0.82, 1.45), coat),
        frustum((-0.1, 0.1, -broad * 0.9, broad * 0.9), (-0.05, 0.05, -0.06, 0.06), (1.45, 1.54), coat),
    ]
    for side in (-1, 1):
        y0, y1 = sorted((side * broad, side * (broad + 0.09)))
        swing = side * sway
        parts.append(frustum((swing - 0.04, swing + 0.05, y0, y1), (-0.05, 0.05, y0, y1), (0.82, 1.43), coat * 0.9))
        parts.append(
            frustum((swing - 0.03, swing + 0.04, y0, y1), (swing - 0.03, swing + 0.04, y0, y1), (0.74, 0.82), skin)
        )
    head = np.eye(4)
    head[2, 3] = HEAD
    parts.append(_solid(blob(np.random.default_rng(3), (0.095, 0.08, 0.125), skin, 1)).moved(head))
    head[0, 3], head[2, 3] = -0.02, HEAD + 0.035
    hair = np.array(_HAIR[rng.integers(len(_HAIR))]) if rng.random() < 0.85 else _cloth(rng)
    parts.append(_solid(blob(np.random.default_rng(4), (0.098, 0.086, 0.105), hair, 1)).moved(head))
    if rng.random() < 0.25:
        parts.append(frustum((-0.3, -0.12, -0.14, 0.14), (-0.26, -0.12, -0.12, 0.12), (0.95, 1.4), _cloth(rng)))
    if rng.random() < 0.2:
        parts.append(frustum((-0.2, 0.2, -0.24, 0.24), (-0.11, 0.11, -0.17, 0.17), (0.45, 0.9), coat * 0.8))
    return merge(parts)


def _cloth(rng: np.random.Generator) -> np.ndarray:
    """Mostly dark and grey, sometimes bright."""
    base = rng.uniform(0.015, 0.25) if rng.random() < 0.75 else rng.uniform(0.3, 0.65)
    tint = rng.uniform(0.75, 1.25, 3) if rng.random() < 0.6 else rng.uniform(0.1, 1.6, 3)
    return np.clip(base * tint, 0.008, 0.75)


def _solid(mesh: Mesh) -> Mesh:
    """The mesh with a plain matte material in place of foliage."""
    return Mesh(mesh.vertices, mesh.triangles, mesh.color, np.zeros_like(mesh.material), mesh.texture)
