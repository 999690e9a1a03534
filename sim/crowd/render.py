"""From people, things and light to linear radiance, and to which heads can be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from perception.sim.crowd.body import HEAD_RADIUS, casters, pool
from perception.sim.crowd.layout import Site
from perception.sim.crowd.people import People, PeopleMesh, build_mesh
from perception.sim.crowd.shade import Pavement, add_sun, any_sun, facing_sun, places, shade_pavement, shade_people
from perception.sim.sensors.noise import texture
from perception.sim.sensors.objects import shade_objects
from perception.sim.sensors.project import add_haze, texture_coordinates
from perception.sim.sensors.raycast import open3d, ray_scene, sun_rays
from perception.sim.sensors.shadows import lit_pixels
from perception.sim.sensors.sky import shade_sky
from perception.sim.sensors.visible import (
    draw_floor,
    draw_triangles,
    grouped,
    outlines,
    resolve_beside,
    resolve_grid,
    to_camera,
)
from perception.sim.world.mesh import FOLIAGE, LEAVES, Mesh
from perception.sim.world.scene import Light

FINE_FROM = 13.0
"""Height of a head in pixels from which the detailed mesh is used."""
REACH = 600.0
"""The floor ends this far from the origin, metres."""
EDGE_OFFSETS = ((0.3, -0.2), (-0.3, 0.2))
"""Where pixels on outlines are sampled beside their centre."""
UNKNOWN = np.float32(-1)
"""Stands for a share of direct sun that nobody found out."""


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


class SeenHeads(NamedTuple):
    """What can be seen of N people's heads: the part of a head, with hair and hat, within `head_radii` of its middle.

    Long hair and wide brims reach further: they would make a hidden head seem visible.

    Attributes:
        share: (N,) float64 visible pixels over those of the whole circle.
        middle: (N, 2) float64 mean (x, y) of the visible pixels, pixel centres at integers; NaN where there are none.
    """

    share: np.ndarray
    middle: np.ndarray


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
        self.meshes = [build_mesh(scene.people, near, pool(True)), build_mesh(scene.people, far, pool(False))]
        floor = np.array([[-REACH, -REACH, 0], [REACH, -REACH, 0], [REACH, REACH, 0], [-REACH, REACH, 0]], np.float32)
        parts = [(mesh.vertices, mesh.triangles) for mesh in (scene.backdrop, *self.meshes)]
        parts.append((floor, np.array([[0, 1, 2], [0, 2, 3]], np.uint32)))
        rows = np.cumsum([0, *(len(vertices) for vertices, _ in parts)]).astype(np.uint32)
        self.vertices = np.concatenate([vertices for vertices, _ in parts])
        self.triangles = np.concatenate([triangles + base for (_, triangles), base in zip(parts, rows)])
        self.first = np.cumsum([0, *(len(triangles) for _, triangles in parts[:-1])])
        shady = build_mesh(scene.people, np.arange(len(scene.people)), casters())
        self.shady = ray_scene((scene.backdrop.vertices, scene.backdrop.triangles), (shady.vertices, shady.triangles))
        k = camera.intrinsics
        self._lens = np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]])
        self._points, self._solid = to_camera(self.vertices, self.pose), self.triangles[:-2]
        shells = [mesh.pool.shell[mesh.face] for mesh in self.meshes]
        self._shell = np.concatenate([np.zeros(len(scene.backdrop.triangles), bool), *shells])
        self.key, self.head = _labels(scene.backdrop, self.meshes)
        self.shade, self.origin, self.crowding = _sky_shares(scene.people)

    def render(self) -> tuple[np.ndarray, SeenHeads]:
        """Linear radiance (H, W, 3) float32, and what can be seen of heads."""
        camera = self.scene.site.camera
        shape = camera.height, camera.width
        centers = self._centers()
        image, sunlit = self._radiance(centers, camera.width)
        edges = np.flatnonzero(outlines(self.key[centers.triangle].reshape(shape), image.reshape(*shape, 3)))
        beside = self._beside(edges, centers.triangle.reshape(shape))
        again = np.tile(edges, len(EDGE_OFFSETS))
        known = np.where(self.key[beside.triangle] == self.key[centers.triangle[again]], sunlit[again], UNKNOWN)
        total = image[edges]
        for part in np.split(self._radiance(beside, 0, known)[0], len(EDGE_OFFSETS)):
            total += part
        image[edges] = total / (1 + len(EDGE_OFFSETS))
        return image.reshape(*shape, 3), self._seen(centers)

    def seen_heads(self) -> SeenHeads:
        """As of `render`, without a picture."""
        return self._seen(self._centers())

    def _seen(self, centers: Samples) -> SeenHeads:
        people, site = self.scene.people, self.scene.site
        at = np.flatnonzero(self.head[centers.triangle] >= 0)
        who = self.head[centers.triangle[at]]
        pixel = np.stack([at % site.camera.width, at // site.camera.width], -1)
        whole = _circles(site, people)
        offset = pixel - site.project(people.head_centers())[who]
        near = (offset**2).sum(1) * np.pi <= whole[who]
        who, pixel = who[near], pixel[near]
        count, across, down = (np.bincount(who, weights, len(people)) for weights in (None, pixel[:, 0], pixel[:, 1]))
        some = np.where(count > 0, count, np.nan)
        return SeenHeads(count / whole, np.stack([across / some, down / some], -1))

    def _centers(self) -> Samples:
        """The samples at the middles of all pixels, row by row."""
        camera = self.scene.site.camera
        shape, count = (camera.height, camera.width), camera.height * camera.width
        closeness, hit = np.empty(shape, np.float32), np.empty(shape, np.int32)
        draw_floor(self.pose, self._lens, len(self._solid), REACH, closeness, hit)
        draw_triangles(self._points, self._solid, self._shell, self._lens, closeness, hit)
        rays, depth = np.empty((count, 3), np.float32), np.empty(count, np.float32)
        weights = np.empty((count, 2), np.float32)
        resolve_grid(self._points, self._solid, self._lens, self.pose, closeness, hit, rays, depth, weights)
        return Samples(rays, hit.ravel(), depth, weights)

    def _beside(self, edges: np.ndarray, hit: np.ndarray) -> Samples:
        """Samples beside the middles of pixels ``edges`` (E,): all at the first offset, then all at the second.

        ``hit`` (H, W) are the triangles that the middles see.
        """
        offsets = np.array(EDGE_OFFSETS)
        count = len(offsets) * len(edges)
        triangle, rays = np.empty(count, np.int32), np.empty((count, 3), np.float32)
        depth, weights = np.empty(count, np.float32), np.empty((count, 2), np.float32)
        resolve_beside(
            self._points, self._solid, self._lens, self.pose, REACH, hit, edges, offsets, triangle, rays, depth, weights
        )
        return Samples(rays, triangle, depth, weights)

    def _radiance(self, samples: Samples, width: int, known: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Radiance of samples, and their direct sun.

        Args:
            samples: P samples.
            width: Pixels a row where they are a picture, else 0.
            known: (P,) float32 direct sun, `UNKNOWN` where it has to be found.

        Returns:
            (P, 3) float32, and (P,) float32: 0 or 1, `UNKNOWN` where it makes no difference.
        """
        light, tex = self.scene.light, texture()
        out = np.empty((len(samples.triangle), 3), np.float32)
        asks = np.zeros(len(out), bool)
        nothing, things, *people, floor = grouped(samples.triangle, self.first)
        shade_sky(out, nothing, samples.rays, tex, light)
        sunny = [self._people(out, samples, number, index) for number, index in enumerate(people)]
        mesh, place = self.scene.backdrop, places(self.pose[:3, 3], samples.rays, samples.depth)
        leafy, normals = np.isin(mesh.material, (FOLIAGE, LEAVES)), np.empty_like(out)
        facing_sun(
            asks, normals, things, samples.triangle, samples.rays, mesh.vertices, mesh.triangles, leafy, light.sun_dir
        )
        asks[floor] = True
        for index, color in zip(people, sunny):
            any_sun(asks, index, color)
        sunlit = self._sunlit(samples, place, asks, width, known)
        for index, color in zip(people, sunny):
            add_sun(out, index, color, sunlit)
        shade_pavement(
            out, floor, place, samples.rays, samples.depth, self._pixel, sunlit, self.shade, self.origin, _CELL, tex,
            self.scene.pavement, light, self.scene.lamp,
        )  # fmt: skip
        uv = texture_coordinates(things, samples.triangle, samples.weights, mesh.triangles, mesh.texture)
        shade_objects(
            out, things, samples.triangle, place, normals, samples.rays, samples.depth, self._pixel, uv, sunlit,
            np.full(len(out) if self.scene.lamp else 0, self.scene.lamp), mesh.color, mesh.material, tex, light,
        )  # fmt: skip
        if light.fog > 0:
            solid = np.flatnonzero(samples.triangle >= 0)
            add_haze(out, solid, samples.depth, light.fog, np.asarray(light.horizon) * 0.9)
        sunlit[~asks] = UNKNOWN
        return out, sunlit

    def _people(self, out: np.ndarray, samples: Samples, number: int, index: np.ndarray) -> np.ndarray:
        """Shade pixels ``index`` (N,) of a mesh of people; returns (N, 3) float32, what the sun may add."""
        mesh, people, light = self.meshes[number], self.scene.people, self.scene.light
        source, sunny = mesh.pool, np.empty((len(index), 3), np.float32)
        shade_people(
            out, sunny, index, samples.triangle, self.first[1 + number], samples.weights, mesh.triangles, mesh.person,
            mesh.face, source.slot, mesh.source, source.vertices, source.normals, people.yaw, people.palette,
            people.pattern, people.style, self.crowding, samples.rays, samples.depth, self._pixel, texture(), light,
            self.scene.lamp,
        )  # fmt: skip
        return sunny

    def _sunlit(
        self, samples: Samples, place: np.ndarray, asks: np.ndarray, width: int, known: np.ndarray | None
    ) -> np.ndarray:
        """(P,) float32: 1 where the sun reaches what samples see at (P, 3) ``place``, as far as (P,) ``asks``."""
        sun = np.array(self.scene.light.sun_dir, np.float32)
        if max(self.scene.light.sun) < 0.05:
            return np.zeros(len(asks), np.float32)

        def free(points: np.ndarray) -> np.ndarray:
            rays = open3d().core.Tensor(sun_rays(points, sun, np.float32(0.02)))
            return 1 - self.shady.test_occlusions(rays, nthreads=1).numpy().astype(np.float32)

        if known is None:
            return lit_pixels(place, samples.depth, asks, width, free)
        sunlit = lit_pixels(place, samples.depth, asks & (known == UNKNOWN), width, free)
        return np.where(known == UNKNOWN, sunlit, known)


def _labels(backdrop: Mesh, meshes: list[PeopleMesh]) -> tuple[np.ndarray, np.ndarray]:
    """An int32 that changes at outlines, and whose head it is or -1: of every triangle, then of nothing."""
    things = 1 + (backdrop.color @ np.array([9973, 7919, 6007])).astype(np.int64)
    people = [100_000 + mesh.person.astype(np.int64) * 8 + mesh.pool.slot[mesh.face] for mesh in meshes]
    heads = [np.where(mesh.pool.head[mesh.face], mesh.person, -1) for mesh in meshes]
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


def _circles(site: Site, people: People) -> np.ndarray:
    """(N,) pixels of circles as large as the heads."""
    pose = site.camera.ego_from_camera
    depth = np.linalg.norm(people.head_centers() - pose[:3, 3], axis=1)
    radius = people.head_radii() * site.camera.intrinsics[0, 0] / np.maximum(depth, 0.3)
    return np.pi * radius**2


__all__ = ["HEAD_RADIUS", "CrowdRenderer", "CrowdScene", "SeenHeads"]
