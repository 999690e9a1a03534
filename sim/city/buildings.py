"""Houses of a town: facades with floors and windows, shops at street level, flat and pitched roofs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from perception.sim.world.mesh import HOUSE, LEAVES, MATTE, SHOP, Mesh, box, frustum, make, merge, repeat

_WALLS = np.array(
    [
        (0.30, 0.11, 0.07), (0.22, 0.09, 0.06), (0.62, 0.56, 0.46), (0.55, 0.54, 0.51), (0.66, 0.50, 0.30),
        (0.40, 0.36, 0.31), (0.70, 0.67, 0.62), (0.30, 0.30, 0.32), (0.52, 0.36, 0.28), (0.36, 0.42, 0.44),
        (0.60, 0.44, 0.40), (0.18, 0.17, 0.17),
    ]
)  # fmt: skip
_ROOFS = np.array([(0.25, 0.07, 0.04), (0.09, 0.085, 0.085), (0.16, 0.10, 0.07), (0.20, 0.19, 0.18)])
STYLES = 16
"""Kinds of facades that the shader tells apart, by the whole part of texture u / 64."""


def house(rng: np.random.Generator, length: float, depth: float, height: float) -> Mesh:
    """A house whose long side lies along x from the origin and whose depth goes to +y; it reaches 2 m into the ground.

    Args:
        rng: Source of its looks.
        length: Along the street, metres.
        depth: Metres.
        height: Up to the eaves, metres.
    """
    color = _WALLS[rng.integers(len(_WALLS))] * rng.uniform(0.75, 1.15)
    style = int(rng.integers(STYLES))
    shop = rng.random() < 0.45 and height > 6
    street = rng.uniform(3.2, 4.2) if shop else rng.uniform(0.3, 0.9)
    floors = max(int((height - street) / rng.uniform(2.8, 3.5)), 1)
    pitch = rng.uniform(2.0, 3.4)
    parts = [_walls(length, depth, (street, height), (pitch, (height - street) / floors), style, color, HOUSE)]
    if shop:
        tone = color * rng.uniform(0.5, 0.9) if rng.random() < 0.6 else rng.uniform(0.02, 0.12, 3)
        parts.append(_walls(length, depth, (-2.0, street), (rng.uniform(2.6, 4.5), street), style, tone, SHOP))
        parts.append(box((-0.12, -0.12, street - 0.12), (length + 0.12, depth + 0.12, street + 0.1), color * 0.8))
    else:
        parts.append(box((-0.06, -0.06, -2), (length + 0.06, depth + 0.06, street), color * 0.55))
        door = rng.uniform(1.5, length - 2.5)
        parts.append(box((door, -0.09, 0), (door + 1.1, 0.1, 2.2), rng.uniform(0.01, 0.25, 3)))
    if floors > 1 and rng.random() < 0.35:
        parts.append(_balconies(rng, length, street, height, floors, color))
    parts += _roof(rng, length, depth, height, color, pitched=floors <= 4 and rng.random() < 0.55)
    return merge(parts)


def _walls(
    length: float, depth: float, z: tuple[float, float], cell: tuple[float, float], style: int, color: np.ndarray,
    material: int,
) -> Mesh:  # fmt: skip
    """Four walls whose texture counts window columns and floors; every wall has whole columns."""
    corners = np.array([(0, 0), (length, 0), (length, depth), (0, depth), (0, 0)])
    base = max(z[0], 0.0)
    parts, first = [], float(64 * style)
    for a, b in pairwise(corners):
        columns = max(round(float(np.linalg.norm(b - a)) / cell[0]), 1)
        vertices = np.array([(*a, z[0]), (*b, z[0]), (*b, z[1]), (*a, z[1])])
        mesh = make(vertices, np.array([[0, 1, 2], [0, 2, 3]]), color, material)
        low, high = (z[0] - base) / cell[1], (z[1] - base) / cell[1]
        mesh.texture[:] = [(first, low), (first + columns, low), (first + columns, high), (first, high)]
        parts.append(mesh)
    return merge(parts)


def _balconies(
    rng: np.random.Generator, length: float, street: float, height: float, floors: int, color: np.ndarray
) -> Mesh:
    """Slabs with parapets along the front, one above the other."""
    tone = (0.6, 0.6, 0.58) if rng.random() < 0.5 else color * 0.8
    deep, wide = rng.uniform(0.6, 1.1), rng.uniform(1.8, 3.0)
    one = merge([box((0, -deep, -0.12), (wide, 0, 0.03), tone), box((0, -deep, 0.0), (wide, -deep + 0.06, 0.95), tone)])
    step = (height - street) / floors
    poses = []
    for x in np.arange(rng.uniform(0.8, 2.5), length - wide - 0.5, wide + rng.uniform(1.5, 4.0)):
        for floor in range(floors):
            pose = np.eye(4)
            pose[:3, 3] = (x, 0, street + step * floor)
            poses.append(pose)
    return repeat(one, np.array(poses)) if poses else merge([])


def _roof(
    rng: np.random.Generator, length: float, depth: float, height: float, color: np.ndarray, pitched: bool
) -> list[Mesh]:
    if pitched:
        tone = _ROOFS[rng.integers(len(_ROOFS))] * rng.uniform(0.8, 1.3)
        rise, inset = rng.uniform(0.25, 0.45) * depth, (0.0 if rng.random() < 0.5 else depth * 0.3)
        eaves = frustum(
            (-0.4, length + 0.4, -0.5, depth + 0.5), (inset, length - inset, depth / 2 - 0.05, depth / 2 + 0.05),
            (height - 0.1, height + rise), tone,
        )  # fmt: skip
        x = rng.uniform(0.2, 0.8) * length
        chimney = box((x, depth * 0.35, height), (x + 0.7, depth * 0.35 + 0.6, height + rise + 0.7), color * 0.6)
        return [eaves, chimney]
    parts = [
        box((-0.25, -0.25, height), (length + 0.25, depth + 0.25, height + 0.3), color * 0.85),
        box((-0.1, -0.1, height + 0.3), (length + 0.1, depth + 0.1, height + rng.uniform(0.5, 1.1)), color * 0.95),
    ]
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.uniform(0.5, length - 3.5), rng.uniform(1.5, max(depth - 4, 1.6))
        w, d, h = rng.uniform(1.0, 3.0, 3)
        parts.append(box((x, y, height + 0.3), (x + w, y + d, height + 0.8 + h * 0.8), (0.4, 0.4, 0.4)))
    return parts


def garden_wall(rng: np.random.Generator, line: np.ndarray, z: np.ndarray) -> tuple[Mesh, bool]:
    """A low wall, a fence or a hedge along a line on the ground.

    Args:
        rng: Source of its looks.
        line: (N, 2) world metres.
        z: (N,) heights of the ground.

    Returns:
        The mesh, and whether it is a hedge.
    """
    hedge = bool(rng.random() < 0.5)
    half, high = (0.35, rng.uniform(0.8, 1.6)) if hedge else (0.1, rng.uniform(0.6, 1.9))
    color = np.array((0.06, 0.10, 0.025)) if hedge else _WALLS[rng.integers(len(_WALLS))]
    step = np.gradient(line, axis=0)
    side = np.stack([-step[:, 1], step[:, 0]], -1) / np.linalg.norm(step, axis=1, keepdims=True) * half
    left, right, count = line + side, line - side, len(line)
    vertices = np.concatenate(
        [np.c_[left, z - 0.3], np.c_[left, z + high], np.c_[right, z + high], np.c_[right, z - 0.3]]
    )
    i = np.arange(count - 1)
    quads = [np.stack([i + k * count, i + 1 + k * count, i + 1 + (k + 1) * count, i + (k + 1) * count], -1)
             for k in range(3)]  # fmt: skip
    ends = np.array([[0, count, 2 * count, 3 * count], np.array([1, 2, 3, 4]) * count - 1])
    corners = np.concatenate([*quads, ends])
    triangles = np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]])
    return make(vertices, triangles, color * rng.uniform(0.8, 1.2), LEAVES if hedge else MATTE), hedge
