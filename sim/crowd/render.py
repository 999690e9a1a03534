"""From people, things and light to linear radiance, and to which heads can be seen."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from perception.sim.crowd.body import HEAD_RADIUS, pool
from perception.sim.crowd.layout import Site
from perception.sim.crowd.people import People, PeopleMesh, build_mesh
from perception.sim.crowd.shade import Pavement, add_sun, facing_sun, shade_pavement, shade_people, sun_rays
from perception.sim.sensors.noise import texture
from perception.sim.sensors.objects import shade_objects
from perception.sim.sensors.project import add_haze, texture_coordinates
from perception.sim.sensors.raycast import open3d, ray_scene, rays_of
from perception.sim.sensors.sky import shade_sky
from perception.sim.sensors.visible import draw_floor, draw_triangles, grouped, resolve_grid, to_camera
from perception.sim.world.mesh import FOLIAGE, LEAVES, Mesh
from perception.sim.world.scene import Light

FINE_FROM = 13.0
"""Height of a head in pixels from which the detailed mesh is used."""
REACH = 600.0
"""The floor ends this far from the origin, metres."""
EDGE_OFFSETS = ((0.3, -0.2), (-0.3, 0.2))
"""Where pixels on outlines are sampled beside their centre."""


@dataclass(frozen=True, eq=False)
class CrowdScene:
    """Everything in front of the camera.

    Attributes:
        site: Camera and ground.
        people: The people.
        backdrop: Everything else above the ground.
        pavement: Looks of the ground.
        light: Sun, sky and haze.
        lamp: Artificial light, 0 by day.
    """

    site: Site
    people: People
    backdrop: Mesh
    pavement: Pavement
    light: Light
    lamp: float = 0.0


@dataclass(frozen=True, eq=False)
class Samples:
    """What P rays from the camera hit.

    Attributes:
        rays: (P, 3) float32 unit directions in the world.
        triangle: (P,) int32 triangles, -1 for nothing.
        depth: (P,) float32 metres along the rays, inf for nothing.
        weights: (P, 2) float32 barycentric weights of the triangles' second and third vertex.
    """

    rays: np.ndarray
    triangle: np.ndarray
    depth: np.ndarray
    weights: np.ndarray


class CrowdRenderer:
    """The geometry of one scene, ready to be seen.

    All meshes are one: the backdrop, near people, far people, and the floor as the last two triangles.

    Args:
        scene: What to render.
    """

    def __init__(self, scene: CrowdScene) -> None:
        self.scene = scene
        camera = scene.site.camera
        self.pose = camera.ego_from_camera
        self._pixel = 1 / float(camera.intrinsics[0, 0])
        depth = (scene.people.head_centers() - self.pose[:3, 3]) @ self.pose[:3, 2]
        size = camera.intrinsics[0, 0] * 0.23 / np.maximum(depth, 0.3)
        near, far = np.flatnonzero(size >= FINE_FROM), np.flatnonzero(size < FINE_FROM)
        self.meshes = [build_mesh(scene.people, near, True), build_mesh(scene.people, far, False)]
        floor = np.array([[-REACH, -REACH, 0], [REACH, -REACH, 0], [REACH, REACH, 0], [-REACH, REACH, 0]], np.float32)
        parts = [(mesh.vertices, mesh.triangles) for mesh in (scene.backdrop, *self.meshes)]
        parts.append((floor, np.array([[0, 1, 2], [0, 2, 3]], np.uint32)))
        rows = np.cumsum([0, *(len(vertices) for vertices, _ in parts)]).astype(np.uint32)
        self.vertices = np.concatenate([vertices for vertices, _ in parts])
        self.triangles = np.concatenate([triangles + base for (_, triangles), base in zip(parts, rows)])
        self.first = np.cumsum([0, *(len(triangles) for _, triangles in parts[:-1])])
        self.world = ray_scene((self.vertices, self.triangles))
        self.key, self.head = _labels(scene.backdrop, self.meshes)
        self.shade, self.origin, self.crowding = _sky_shares(scene.people)

    def render(self) -> tuple[np.ndarray, np.ndarray]:
        """Radiance and head pixels.

        Returns:
            (H, W, 3) float32 linear radiance, and (N,) float64 pixels of each person's head that can be seen.
        """
        camera = self.scene.site.camera
        centers = self._centers()
        edges = np.flatnonzero(_outlines(self.key[centers.triangle].reshape(camera.height, camera.width)))
        image = self._radiance(centers)
        total = image[edges]
        for part in np.split(self._radiance(self._beside(edges)), len(EDGE_OFFSETS)):
            total += part
        image[edges] = total / (1 + len(EDGE_OFFSETS))
        head = self.head[centers.triangle]
        pixels = np.bincount(head[head >= 0], minlength=len(self.scene.people)).astype(float)
        return image.reshape(camera.height, camera.width, 3), pixels

    def _centers(self) -> Samples:
        """The samples at the middles of all pixels, row by row."""
        camera = self.scene.site.camera
        k, shape, count = camera.intrinsics, (camera.height, camera.width), camera.height * camera.width
        lens, floor = np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]]), len(self.triangles) - 2
        closeness, hit = np.empty(shape, np.float32), np.empty(shape, np.int32)
        points, solid = to_camera(self.vertices, self.pose), self.triangles[:floor]
        draw_floor(self.pose, lens, floor, REACH, closeness, hit)
        draw_triangles(points, solid, lens, closeness, hit)
        rays, depth = np.empty((count, 3), np.float32), np.empty(count, np.float32)
        weights = np.empty((count, 2), np.float32)
        resolve_grid(points, solid, lens, self.pose, closeness, hit, rays, depth, weights)
        return Samples(rays, hit.ravel(), depth, weights)

    def _beside(self, edges: np.ndarray) -> Samples:
        """Samples beside the middles of pixels ``edges`` (E,): all at the first offset, then all at the second."""
        camera = self.scene.site.camera
        k, offset = camera.intrinsics, np.array(EDGE_OFFSETS)
        row, column = np.divmod(edges, camera.width)
        local = np.ones((len(offset), len(edges), 3), np.float32)
        local[..., 0] = (column + offset[:, :1] - k[0, 2]) / k[0, 0]
        local[..., 1] = (row + offset[:, 1:] - k[1, 2]) / k[1, 1]
        rays = local.reshape(-1, 3) @ self.pose[:3, :3].T.astype(np.float32)
        rays /= np.sqrt((rays * rays).sum(1, keepdims=True))
        found = self.world.cast_rays(rays_of(self.pose[:3, 3].astype(np.float32), rays), nthreads=1)
        depth = found["t_hit"].numpy()
        triangle = np.where(np.isfinite(depth), found["primitive_ids"].numpy(), -1).astype(np.int32)
        return Samples(rays, triangle, depth, found["primitive_uvs"].numpy())

    def _radiance(self, samples: Samples) -> np.ndarray:
        """(P, 3) float32 radiance of samples."""
        light, tex = self.scene.light, texture()
        out = np.empty((len(samples.triangle), 3), np.float32)
        asks = np.zeros(len(out), bool)
        nothing, things, *people, floor = grouped(samples.triangle, self.first)
        shade_sky(out, nothing, samples.rays, tex, light)
        sunny = [self._people(out, samples, number, index) for number, index in enumerate(people)]
        normals = self._facing(asks, samples, things)
        asks[floor] = True
        for index, color in zip(people, sunny):
            asks[index] = color.any(1)
        sunlit = self._sunlit(samples, np.flatnonzero(asks))
        for index, color in zip(people, sunny):
            add_sun(out, index, color, sunlit)
        self._floor(out, samples, floor, sunlit[floor])
        self._things(out, samples, things, normals, sunlit[things])
        if light.fog > 0:
            solid = np.flatnonzero(samples.triangle >= 0)
            add_haze(out, solid, samples.depth, light.fog, np.asarray(light.horizon) * 0.9)
        return out

    def _people(self, out: np.ndarray, samples: Samples, number: int, index: np.ndarray) -> np.ndarray:
        """Shade pixels ``index`` (N,) of a mesh of people; returns (N, 3) float32, what the sun may add."""
        mesh, people, light = self.meshes[number], self.scene.people, self.scene.light
        source, sunny = pool(mesh.fine), np.empty((len(index), 3), np.float32)
        shade_people(
            out, sunny, index, samples.triangle, self.first[1 + number], samples.weights, mesh.triangles, mesh.person,
            mesh.slot, mesh.source, source.vertices, source.normals, people.yaw, people.palette, people.pattern,
            people.style, self.crowding, samples.rays, samples.depth, self._pixel, texture(), light, self.scene.lamp,
        )  # fmt: skip
        return sunny

    def _facing(self, asks: np.ndarray, samples: Samples, index: np.ndarray) -> np.ndarray:
        """Set ``asks`` (P,) where things look to the sun; returns their (P, 3) normals, filled at ``index`` only."""
        mesh, light = self.scene.backdrop, self.scene.light
        corner = mesh.vertices[mesh.triangles]
        normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        hit = samples.triangle[index]
        normals = np.empty((len(samples.triangle), 3), np.float32)
        normals[index] = normal[hit]
        leafy = np.isin(mesh.material, (FOLIAGE, LEAVES))[hit]
        asks[index] = facing_sun(index, normals, samples.rays, leafy, np.array(light.sun_dir))
        return normals

    def _floor(self, out: np.ndarray, samples: Samples, index: np.ndarray, sunlit: np.ndarray) -> None:
        scene, depth, rays = self.scene, samples.depth[index], samples.rays[index]
        position = self.pose[:3, 3].astype(np.float32) + rays * depth[:, None]
        foot = depth * np.float32(self._pixel) / np.sqrt(np.maximum(-rays[:, 2], 0.02))
        shade_pavement(
            out, index, position, foot, sunlit, self.shade, self.origin, _CELL, texture(), scene.pavement, scene.light,
            scene.lamp,
        )  # fmt: skip

    def _things(
        self, out: np.ndarray, samples: Samples, index: np.ndarray, normals: np.ndarray, sunlit: np.ndarray
    ) -> None:
        mesh, light, lamp = self.scene.backdrop, self.scene.light, self.scene.lamp
        position = self.pose[:3, 3].astype(np.float32) + samples.rays[index] * samples.depth[index, None]
        uv = texture_coordinates(index, samples.triangle, samples.weights, mesh.triangles, mesh.texture)
        shade_objects(
            out, index, samples.triangle, position, normals, samples.rays, samples.depth, self._pixel, uv, sunlit,
            np.full(len(index), lamp), mesh.color, mesh.material, texture(), light,
        )  # fmt: skip

    def _sunlit(self, samples: Samples, index: np.ndarray) -> np.ndarray:
        """(P,) float32: 1 where the sun reaches what pixels ``index`` see, 0 elsewhere."""
        light, sunlit = self.scene.light, np.zeros(len(samples.triangle), np.float32)
        if max(light.sun) < 0.05:
            return sunlit
        rays = np.empty((len(index), 6), np.float32)
        sun_rays(rays, index, samples.rays, samples.depth, self.pose[:3, 3], np.array(light.sun_dir))
        sunlit[index] = ~self.world.test_occlusions(open3d().core.Tensor(rays), nthreads=1).numpy()
        return sunlit


def _labels(backdrop: Mesh, meshes: list[PeopleMesh]) -> tuple[np.ndarray, np.ndarray]:
    """An int32 that changes at outlines, and whose head it is or -1: of every triangle, then of nothing."""
    things = 1 + (backdrop.color @ np.array([9973, 7919, 6007])).astype(np.int64)
    people = [100_000 + mesh.person.astype(np.int64) * 8 + mesh.slot for mesh in meshes]
    heads = [np.where(mesh.head, mesh.person, -1) for mesh in meshes]
    key = np.concatenate([things, *people, [0, 0, -1]])
    return key.astype(np.int32), np.concatenate([np.full(len(things), -1), *heads, [-1] * 3]).astype(np.int32)


_CELL = 0.25


def _sky_shares(people: People) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How much sky people hide: free share on a ground grid, its origin, and the hidden share at each person's feet."""
    if not len(people):
        return np.ones((2, 2), np.float32), np.zeros(2), np.zeros(0, np.float32)
    low = people.position[:, :2].min(0) - 3.0
    shape = np.ceil((people.position[:, :2].max(0) + 3.0 - low) / _CELL).astype(int) + 2
    grid = np.zeros(shape, np.float32)
    cell = np.floor((people.position[:, :2] - low) / _CELL).astype(int)
    np.add.at(grid, (cell[:, 0], cell[:, 1]), 1.0)
    tight, wide = cv2.GaussianBlur(grid, (0, 0), 1.0) * 1.6, cv2.GaussianBlur(grid, (0, 0), 4.0) * 8.0
    free = 1.0 / (1.0 + tight + 0.5 * wide)
    return free, low.astype(np.float64), (1 - 1 / (1 + wide))[cell[:, 0], cell[:, 1]].astype(np.float32)


def _outlines(key: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels whose id differs from a neighbour's."""
    edge = np.zeros(key.shape, bool)
    across, down = key[:, 1:] != key[:, :-1], key[1:] != key[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge


def expected_head_pixels(site: Site, people: People) -> np.ndarray:
    """(N,) pixels that each head would cover if nothing hid it."""
    pose = site.camera.ego_from_camera
    depth = np.linalg.norm(people.head_centers() - pose[:3, 3], axis=1)
    radius = people.head_radii() * site.camera.intrinsics[0, 0] / np.maximum(depth, 0.3)
    return np.pi * radius**2


__all__ = ["HEAD_RADIUS", "CrowdRenderer", "CrowdScene", "expected_head_pixels"]
