"""Triangle meshes with a colour, a material and texture coordinates; a few primitives to compose objects from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

MATTE, PAINT, GLASS, LIGHT, FOLIAGE, FACADE, TERRAIN, METAL, LEAVES, HOUSE, SHOP = range(11)
"""Materials of object triangles, read by :mod:`perception.sim.sensors.objects`."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles of one or many objects.

    Attributes:
        vertices: (V, 3) float32 metres.
        triangles: (T, 3) uint32 indices.
        color: (T, 3) float32 linear reflectance, or radiance for ``LIGHT``.
        material: (T,) uint8, one of the constants of this module.
        texture: (V, 2) float32 surface coordinates: metres for ``FACADE``, columns and floors for ``HOUSE``, ``SHOP``.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    color: np.ndarray
    material: np.ndarray
    texture: np.ndarray

    def moved(self, pose: np.ndarray, scale: float = 1.0) -> Mesh:
        """This mesh scaled, then placed by a (4, 4) pose."""
        vertices = (self.vertices * scale) @ pose[:3, :3].T.astype(np.float32) + pose[:3, 3].astype(np.float32)
        return Mesh(vertices.astype(np.float32), self.triangles, self.color, self.material, self.texture)


def repeat(mesh: Mesh, poses: np.ndarray) -> Mesh:
    """Copies of ``mesh`` at (N, 4, 4) ``poses``, which may scale."""
    poses = np.asarray(poses, np.float32).reshape(-1, 4, 4)
    count, size = len(poses), len(mesh.vertices)
    vertices = np.einsum("nij,vj->nvi", poses[:, :3, :3], mesh.vertices) + poses[:, None, :3, 3]
    triangles = mesh.triangles[None] + (np.arange(count, dtype=np.uint32) * np.uint32(size))[:, None, None]
    return Mesh(
        vertices.reshape(-1, 3).astype(np.float32),
        triangles.reshape(-1, 3),
        np.tile(mesh.color, (count, 1)),
        np.tile(mesh.material, count),
        np.tile(mesh.texture, (count, 1)),
    )


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of all; of an empty sequence an empty mesh."""
    if not meshes:
        empty = np.zeros((0, 3), np.float32)
        return Mesh(empty, empty.astype(np.uint32), empty, np.zeros(0, np.uint8), np.zeros((0, 2), np.float32))
    first = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
    triangles = [mesh.triangles + np.uint32(offset) for mesh, offset in zip(meshes, first)]
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate(triangles).astype(np.uint32),
        np.concatenate([mesh.color for mesh in meshes]),
        np.concatenate([mesh.material for mesh in meshes]),
        np.concatenate([mesh.texture for mesh in meshes]),
    )


def make(vertices: np.ndarray, triangles: np.ndarray, color: Sequence[float], material: int = MATTE) -> Mesh:
    """A mesh of one colour and material; texture coordinates are zero."""
    count = len(triangles)
    return Mesh(
        np.asarray(vertices, np.float32),
        np.asarray(triangles, np.uint32),
        np.full((count, 3), np.asarray(color, np.float32), np.float32),
        np.full(count, material, np.uint8),
        np.zeros((len(vertices), 2), np.float32),
    )


def quads_to_triangles(quads: np.ndarray) -> np.ndarray:
    """(Q, 4) corner indices in order -> (2 Q, 3)."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


_BOX_QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
_BOX_TRIANGLES = quads_to_triangles(_BOX_QUADS)
_BOX_CORNERS = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)], float)


def box(low: Sequence[float], high: Sequence[float], color: Sequence[float], material: int = MATTE) -> Mesh:
    """An axis-aligned box between two corners; facade coordinates run around it and up."""
    first, last = np.asarray(low, float), np.asarray(high, float)
    vertices = first + _BOX_CORNERS * (last - first)
    mesh = make(vertices, _BOX_TRIANGLES, color, material)
    mesh.texture[:, 0], mesh.texture[:, 1] = vertices[:, 0] + vertices[:, 1], vertices[:, 2]
    return mesh


def frustum(
    bottom: Sequence[float], top: Sequence[float], z: tuple[float, float], color: Sequence[float], material: int = MATTE
) -> Mesh:
    """A prism between two rectangles ``(x0, x1, y0, y1)`` at heights ``z``: cabins, bodies with slanted ends."""
    vertices = np.array(
        [[rect[i], rect[2 + j], h] for i in range(2) for j in range(2) for rect, h in ((bottom, z[0]), (top, z[1]))]
    )
    return make(vertices, _BOX_TRIANGLES, color, material)


def quad(corners: np.ndarray, color: Sequence[float], material: int = MATTE) -> Mesh:
    """A flat quadrilateral of (4, 3) corners in order."""
    return make(np.asarray(corners, float), np.array([[0, 1, 2], [0, 2, 3]]), color, material)


def cylinder(radius: float, z0: float, z1: float, color: Sequence[float], sides: int = 6, top: float = 1.0) -> Mesh:
    """An upright closed prism of ``sides`` sides; ``top`` scales the upper radius."""
    angle = np.arange(sides) * (2 * np.pi / sides)
    ring = np.stack([np.cos(angle), np.sin(angle)], -1) * radius
    vertices = np.concatenate([np.c_[ring, np.full(sides, z0)], np.c_[ring * top, np.full(sides, z1)]])
    i = np.arange(sides)
    j = (i + 1) % sides
    fan = np.stack([np.zeros(sides - 2, int), i[1:-1], i[2:]], -1)
    triangles = np.concatenate([np.stack([i, j, j + sides], -1), np.stack([i, j + sides, i + sides], -1), fan + sides])
    return make(vertices, triangles, color)


@lru_cache(maxsize=4)
def _sphere(level: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit octahedron refined ``level`` times."""
    points = [np.array(p, float) for p in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))]
    faces = [(0, 2, 4), (2, 1, 4), (1, 3, 4), (3, 0, 4), (2, 0, 5), (1, 2, 5), (3, 1, 5), (0, 3, 5)]
    for _ in range(level):
        middle: dict[tuple[int, int], int] = {}

        def split(a: int, b: int, middle: dict[tuple[int, int], int] = middle) -> int:
            key = (min(a, b), max(a, b))
            if key not in middle:
                point = points[a] + points[b]
                points.append(point / np.linalg.norm(point))
                middle[key] = len(points) - 1
            return middle[key]

        refined = []
        for a, b, c in faces:
            ab, bc, ca = split(a, b), split(b, c), split(c, a)
            refined += [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        faces = refined
    return np.array(points), np.array(faces)


def blob(rng: np.random.Generator, radii: Sequence[float], color: Sequence[float], level: int = 1) -> Mesh:
    """A lumpy ellipsoid around the origin, for crowns and bushes."""
    points, faces = _sphere(level)
    lumps = 1 + rng.normal(0, 0.16, len(points))
    return make(points * lumps[:, None] * np.asarray(radii), faces, color, FOLIAGE)
