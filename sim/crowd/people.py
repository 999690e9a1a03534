"""Many people at once: clothes, places and the one mesh that is rendered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit

from perception.sim.crowd.body import (
    BOTTOM,
    DARK,
    EXTRA,
    HAIR,
    HEAD_RADIUS,
    POOL_SIZE,
    SHOE,
    SKIN,
    SLOTS,
    TOP,
    Pool,
    is_child,
    is_seated,
    pool,
)

PLAIN, STRIPES, CHECKS, PRINT, CAMOUFLAGE, PINSTRIPES = range(6)
"""Patterns of tops."""

_SKINS = np.array([(0.62, 0.41, 0.31), (0.52, 0.32, 0.23), (0.38, 0.22, 0.15), (0.20, 0.11, 0.07), (0.70, 0.48, 0.38)])
_HAIRS = np.array(
    [(0.012, 0.010, 0.009), (0.035, 0.022, 0.015), (0.11, 0.06, 0.03), (0.34, 0.22, 0.10), (0.4, 0.4, 0.4)]
)


@dataclass(frozen=True, eq=False)
class People:
    """N people.

    Attributes:
        position: (N, 3) float32 metres, between the feet.
        yaw: (N,) float32 radians, 0 looks along x.
        scale: (N,) float32 size relative to the pool's adults.
        member: (N,) int64 row of the pool.
        palette: (N, SLOTS, 3) float32 linear reflectance.
        pattern: (N,) int64 pattern of the top.
        style: (N, 3) float32 second colour of the pattern.
    """

    position: np.ndarray
    yaw: np.ndarray
    scale: np.ndarray
    member: np.ndarray
    palette: np.ndarray
    pattern: np.ndarray
    style: np.ndarray

    def __len__(self) -> int:
        return len(self.position)

    def head_centers(self) -> np.ndarray:
        """(N, 3) float64 middles of the heads, metres."""
        local = pool(True).head_center[self.member].astype(float) * self.scale[:, None]
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        turned = np.stack([c * local[:, 0] - s * local[:, 1], s * local[:, 0] + c * local[:, 1], local[:, 2]], -1)
        return self.position + turned

    def head_radii(self) -> np.ndarray:
        """(N,) mean radius of the heads, metres."""
        return HEAD_RADIUS * self.scale * np.where(_children()[self.member], 1.3, 1.0)


@lru_cache(maxsize=1)
def _children() -> np.ndarray:
    """(POOL_SIZE,) bool: which pool members are children."""
    return np.array([is_child(seed) for seed in range(POOL_SIZE)])


@lru_cache(maxsize=2)
def members(seated: bool) -> np.ndarray:
    """Pool members that sit, or that stand."""
    return np.array([seed for seed in range(POOL_SIZE) if is_seated(seed) == seated])


def dress(rng: np.random.Generator, position: np.ndarray, yaw: np.ndarray, seated: np.ndarray) -> People:
    """People of random looks at given places.

    A picture has its own fashion: the mix of skin and hair, how dark and how colourful clothes are, and at times a
    uniform or a team's colour that many share.
    """
    count = len(position)
    member = np.where(seated, rng.choice(members(True), count), rng.choice(members(False), count))
    child = _children()[member]
    scale = np.where(child, rng.uniform(0.5, 0.8, count), rng.normal(0.985, 0.05, count).clip(0.86, 1.12))
    dark, vivid = rng.uniform(0.2, 0.75), rng.uniform(0.15, 0.5)
    palette = np.empty((count, SLOTS, 3), np.float32)
    skins = _SKINS[rng.choice(5, count, p=rng.dirichlet(np.full(5, 0.5)))]
    palette[:, SKIN] = skins * rng.uniform(0.75, 1.15, (count, 1))
    mostly_dark = np.array([0.55, 0.25, 0.1, 0.04, 0.06]) * rng.uniform(0.3, 1.7, 5)
    hairs = _HAIRS[rng.choice(5, count, p=mostly_dark / mostly_dark.sum())]
    palette[:, HAIR] = hairs * rng.uniform(0.6, 1.6, (count, 1))
    palette[:, TOP] = cloth(rng, count, dark, vivid)
    palette[:, BOTTOM] = _trousers(rng, count, dark)
    palette[:, SHOE] = cloth(rng, count, 0.6, 0.3)
    palette[:, EXTRA] = cloth(rng, count, 0.5, 0.45)
    palette[:, DARK] = rng.uniform(0.01, 0.06, (count, 1))
    if rng.random() < 0.15:
        uniform = rng.random(count) < rng.uniform(0.3, 0.95)
        slots = [TOP, EXTRA] if rng.random() < 0.5 else [TOP]
        for slot in slots:
            palette[uniform, slot] = cloth(rng, 1, 0.3, 0.6) * rng.uniform(0.85, 1.15, (int(uniform.sum()), 1))
    pattern = rng.choice(6, count, p=[0.55, 0.12, 0.08, 0.17, 0.04, 0.04])
    return People(
        position.astype(np.float32),
        yaw.astype(np.float32),
        scale.astype(np.float32),
        member,
        palette.clip(0.004, 0.85),
        pattern,
        cloth(rng, count, 0.4, 0.5).astype(np.float32),
    )


def cloth(rng: np.random.Generator, count: int, dark: float, vivid: float) -> np.ndarray:
    """(count, 3) colours of cloth: a share ``dark`` is dark, a share ``vivid`` coloured, the others white or grey."""
    tone = np.where(rng.random(count) < dark, rng.uniform(0.008, 0.09, count), rng.uniform(0.15, 0.8, count))
    hue = rng.random(count)[:, None] + np.array([0, 1 / 3, 2 / 3])
    tint = (
        1
        + np.cos(2 * np.pi * hue)
        * np.where(rng.random(count) < vivid, rng.uniform(0.05, 0.95, count) ** 1.3, 0.05)[:, None]
    )
    return (tone[:, None] * tint).clip(0.006, 0.82)


def _trousers(rng: np.random.Generator, count: int, dark: float) -> np.ndarray:
    jeans = np.array([0.06, 0.09, 0.16]) * np.exp(rng.normal(0, 0.6, (count, 1)))
    return np.where(rng.random((count, 1)) < 0.35, jeans, cloth(rng, count, max(dark, 0.55), 0.25))


@dataclass(frozen=True, eq=False)
class PeopleMesh:
    """One mesh of many people; the pool has what does not depend on where people are.

    Attributes:
        vertices: (V, 3) float32 world metres.
        triangles: (T, 3) uint32.
        source: (V,) int64 rows of the pool's vertices.
        face: (T,) int64 rows of the pool's triangles.
        person: (T,) int32 rows of the people.
        pool: What it was made from.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    source: np.ndarray
    face: np.ndarray
    person: np.ndarray
    pool: Pool


def build_mesh(people: People, rows: np.ndarray, source: Pool) -> PeopleMesh:
    """The mesh of the people in ``rows`` (K,), made of the members of a pool."""
    member = people.member[rows]
    first_vertex, first_triangle = source.first_vertex, source.first_triangle
    count = int((first_vertex[member + 1] - first_vertex[member]).sum())
    faces = int((first_triangle[member + 1] - first_triangle[member]).sum())
    mesh = PeopleMesh(
        np.empty((count, 3), np.float32), np.empty((faces, 3), np.uint32), np.empty(count, np.int64),
        np.empty(faces, np.int64), np.empty(faces, np.int32), source,
    )  # fmt: skip
    _place(
        rows, people.member, people.position, people.yaw, people.scale, source.vertices, source.triangles,
        first_vertex, first_triangle, mesh.vertices, mesh.triangles, mesh.source, mesh.face, mesh.person,
    )  # fmt: skip
    return mesh


@njit(cache=True)
def _place(
    rows, member, position, yaw, scale, pool_vertices, pool_triangles, first_vertex, first_triangle,
    vertices, triangles, source, face, person,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Write the arrays of a :class:`PeopleMesh`: one person of ``rows`` (K,) after the other."""
    v, t = 0, 0
    for who in rows:
        cos, sin, size, base = np.cos(yaw[who]), np.sin(yaw[who]), scale[who], v
        for i in range(first_vertex[member[who]], first_vertex[member[who] + 1]):
            x, y = pool_vertices[i, 0] * size, pool_vertices[i, 1] * size
            vertices[v, 0] = position[who, 0] + cos * x - sin * y
            vertices[v, 1] = position[who, 1] + sin * x + cos * y
            vertices[v, 2] = position[who, 2] + pool_vertices[i, 2] * size
            source[v] = i
            v += 1
        for i in range(first_triangle[member[who]], first_triangle[member[who] + 1]):
            for k in range(3):
                triangles[t, k] = base + pool_triangles[i, k]
            face[t], person[t] = i, who
            t += 1
