"""From people, things and light to linear radiance, and to which heads can be seen."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from perception.sim.crowd.body import HEAD_RADIUS, pool
from perception.sim.crowd.layout import Site
from perception.sim.crowd.people import People, PeopleMesh, build_mesh
from perception.sim.crowd.shade import Pavement, shade_pavement, shade_people
from perception.sim.sensors.noise import texture
from perception.sim.sensors.objects import shade_objects
from perception.sim.sensors.project import add_haze, texture_coordinates
from perception.sim.sensors.raycast import open3d
from perception.sim.sensors.sky import shade_sky
from perception.sim.world.mesh import Mesh
from perception.sim.world.scene import Light

GROUND, BACKDROP, FINE, COARSE, NOTHING = 0, 1, 2, 3, 9
"""What a ray hit."""
FINE_FROM = 13.0
"""Height of a head in pixels from which the detailed mesh is used."""
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


class CrowdRenderer:
    """The geometry of one scene, ready to be seen.

    Args:
        scene: What to render.
    """

    def __init__(self, scene: CrowdScene) -> None:
        self.scene = scene
        camera = scene.site.camera
        self.pose = camera.ego_from_camera
        depth = (scene.people.head_centers() - self.pose[:3, 3]) @ self.pose[:3, 2]
        size = camera.intrinsics[0, 0] * 0.23 / np.maximum(depth, 0.3)
        self.meshes: dict[int, PeopleMesh] = {}
        for kind, rows in ((FINE, np.flatnonzero(size >= FINE_FROM)), (COARSE, np.flatnonzero(size < FINE_FROM))):
            self.meshes[kind] = build_mesh(scene.people, rows, kind == FINE)
        far = 600.0
        ground = np.array([[-far, -far, 0], [far, -far, 0], [far, far, 0], [-far, far, 0]], np.float32)
        o3d = open3d()
        self.world = o3d.t.geometry.RaycastingScene(nthreads=1)
        self.kinds = []
        pairs = [
            (GROUND, ground, np.array([[0, 1, 2], [0, 2, 3]])),
            (BACKDROP, scene.backdrop.vertices, scene.backdrop.triangles),
        ]
        pairs += [(kind, mesh.vertices, mesh.triangles) for kind, mesh in self.meshes.items()]
        for kind, vertices, triangles in pairs:
            if len(triangles):
                self.world.add_triangles(
                    o3d.core.Tensor(np.ascontiguousarray(vertices, np.float32)),
                    o3d.core.Tensor(np.ascontiguousarray(triangles, np.uint32)),
                )
                self.kinds.append(kind)
        self.shade, self.origin, self.crowding = _sky_shares(scene.people)

    def render(self) -> tuple[np.ndarray, np.ndarray]:
        """Radiance and head pixels.

        Returns:
            (H, W, 3) float32 linear radiance, and (N,) float64 pixels of each person's head that can be seen.
        """
        camera = self.scene.site.camera
        x, y = np.meshgrid(np.arange(camera.width, dtype=np.float32), np.arange(camera.height, dtype=np.float32))
        centers = np.stack([x.ravel(), y.ravel()], -1)
        image, key, heads = self._trace(centers)
        image = image.reshape(camera.height, camera.width, 3)
        edges = np.flatnonzero(_outlines(key.reshape(camera.height, camera.width)))
        total = image.reshape(-1, 3)[edges]
        for offset in EDGE_OFFSETS:
            total += self._trace(centers[edges] + np.float32(offset))[0]
        image.reshape(-1, 3)[edges] = total / (1 + len(EDGE_OFFSETS))
        return image, heads

    def _trace(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Radiance (P, 3), an id that changes at outlines (P,) and visible head pixels (N,) of (P, 2) ``pixels``."""
        camera, scene = self.scene.site.camera, self.scene
        k = camera.intrinsics
        rays = np.ones((len(pixels), 3), np.float32)
        rays[:, 0] = (pixels[:, 0] - k[0, 2]) / k[0, 0]
        rays[:, 1] = (pixels[:, 1] - k[1, 2]) / k[1, 1]
        rays = rays @ self.pose[:3, :3].T.astype(np.float32)
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        origin = self.pose[:3, 3].astype(np.float32)
        hit = self.world.cast_rays(_tensor(origin, rays), nthreads=1)
        depth = hit["t_hit"].numpy()
        geometry = hit["geometry_ids"].numpy()
        kind = np.full(len(rays), NOTHING, np.uint8)
        for number, name in enumerate(self.kinds):
            kind[geometry == number] = name
        triangle = hit["primitive_ids"].numpy().astype(np.int64)
        weights, normals = hit["primitive_uvs"].numpy(), hit["primitive_normals"].numpy()
        out = np.zeros((len(rays), 3), np.float32)
        tex, light = texture(), scene.light
        shade_sky(out, np.flatnonzero(kind == NOTHING), rays, tex, light)
        solid = np.flatnonzero(kind != NOTHING)
        position = origin + rays[solid] * depth[solid, None]
        sunlit = self._sunlit(position)
        key = np.full(len(rays), -1, np.int64)
        heads = np.zeros(len(scene.people))
        pixel = 1 / k[0, 0]
        for name in self.kinds:
            pick = np.flatnonzero(kind[solid] == name)
            index = solid[pick]
            if name == GROUND:
                key[index] = 0
                foot = depth[index] * pixel / np.sqrt(np.maximum(-rays[index, 2], 0.02))
                shade_pavement(
                    out, index, position[pick], foot, sunlit[pick], self.shade, self.origin, _CELL, tex,
                    scene.pavement, light, scene.lamp,
                )  # fmt: skip
            elif name == BACKDROP:
                mesh = scene.backdrop
                key[index] = 1 + (mesh.color[triangle[index]] @ np.array([9973, 7919, 6007])).astype(np.int64)
                uv = texture_coordinates(index, triangle, weights, mesh.triangles, mesh.texture)
                shade_objects(
                    out, index, triangle, position[pick], normals, rays, depth, pixel, uv, sunlit[pick],
                    np.full(len(index), scene.lamp), mesh.color, mesh.material, tex, light,
                )  # fmt: skip
            else:
                mine = self.meshes[name]
                source, people = pool(mine.fine), scene.people
                hits = triangle[index]
                key[index] = 100_000 + mine.person[hits].astype(np.int64) * 8 + mine.slot[hits]
                heads += np.bincount(mine.person[hits[mine.head[hits]]], minlength=len(people))
                shade_people(
                    out, index, triangle, weights, mine.triangles, mine.person, mine.slot, mine.source,
                    source.vertices, source.normals, people.yaw, people.palette, people.pattern, people.style,
                    self.crowding, rays, depth, pixel, sunlit[pick], tex, light, scene.lamp,
                )  # fmt: skip
        if light.fog > 0:
            add_haze(out, solid, depth, light.fog, np.asarray(light.horizon) * 0.9)
        return out, key, heads

    def _sunlit(self, points: np.ndarray) -> np.ndarray:
        """(N,) float32: 1 where the sun reaches (N, 3) points."""
        light = self.scene.light
        if max(light.sun) < 0.05:
            return np.zeros(len(points), np.float32)
        sun = np.array(light.sun_dir, np.float32)
        rays = _tensor(points + 0.02 * sun, np.broadcast_to(sun, points.shape))
        return 1.0 - self.world.test_occlusions(rays, nthreads=1).numpy().astype(np.float32)


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


def _tensor(origin: np.ndarray, directions: np.ndarray):  # type: ignore[no-untyped-def]
    rays = np.empty((len(directions), 6), np.float32)
    rays[:, :3], rays[:, 3:] = origin, directions
    return open3d().core.Tensor(rays)


def expected_head_pixels(site: Site, people: People) -> np.ndarray:
    """(N,) pixels that each head would cover if nothing hid it."""
    pose = site.camera.ego_from_camera
    depth = np.linalg.norm(people.head_centers() - pose[:3, 3], axis=1)
    radius = people.head_radii() * site.camera.intrinsics[0, 0] / np.maximum(depth, 0.3)
    return np.pi * radius**2


__all__ = ["HEAD_RADIUS", "CrowdRenderer", "CrowdScene", "expected_head_pixels"]
