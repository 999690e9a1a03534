"""Ray casting against the ground and the objects on it, with Open3D's RaycastingScene (Embree)."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

import perception  # noqa: F401  (installs the import helpers that Open3D needs)
from perception.errors import PerceptionError
from perception.sim.world.mesh import TERRAIN, Mesh, make, merge
from perception.sim.world.road import Road
from perception.sim.world.scene import Scene

NOTHING, GROUND, OBJECT, MOVING = range(4)
"""What a ray hit: nothing, the ground loft, static furniture or terrain, a vehicle."""


@lru_cache(maxsize=1)
def open3d() -> Any:
    """The open3d module, imported on first use.

    Raises:
        PerceptionError: Open3D cannot be imported.
    """
    try:
        import open3d as o3d
    except ImportError:
        try:
            import libusb_package

            ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
            import open3d as o3d
        except (ImportError, OSError) as error:
            raise PerceptionError(f"the simulator needs open3d, which cannot be imported: {error}") from error
    return o3d


def ray_scene(*meshes: tuple[np.ndarray, np.ndarray]) -> Any:
    """A RaycastingScene of (vertices, triangles) pairs; geometry ids follow their order."""
    o3d = open3d()
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    for vertices, triangles in meshes:
        scene.add_triangles(
            o3d.core.Tensor(np.ascontiguousarray(vertices, np.float32)),
            o3d.core.Tensor(np.ascontiguousarray(triangles, np.uint32)),
        )
    return scene


@dataclass(frozen=True, eq=False)
class Loft:
    """The ground strips of a section swept along a road: vertices with road coordinates.

    Attributes:
        vertices: (V, 3) float32 world metres.
        triangles: (T, 3) uint32.
        road: (V, 2) float32 station and offset of the vertices.
        strip: (T,) int64 row of the section's strips.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    road: np.ndarray
    strip: np.ndarray


def loft_ground(scene: Scene, s0: float, s1: float) -> Loft:
    """Sweep the section from station ``s0`` to ``s1``; stations lie on a fixed grid, so drives do not shimmer."""
    road, strips = scene.road, scene.section.strips
    stations = np.unique(np.concatenate([np.arange(np.floor(s0), s1 + 1, 1.0), [s1]]))
    keep = (stations < s0 + 60) | (np.mod(stations, 2.0) == 0) & (stations < s0 + 130) | (np.mod(stations, 6.0) == 0)
    stations = stations[keep]
    bend = np.abs(road.at(np.linspace(s0, s1, 64), "curvature")).max()
    limit = 0.85 / max(bend, 1e-4)
    offset = np.array([[strip.d0, strip.d1] for strip in strips])
    height = np.array([[strip.z0, strip.z1] for strip in strips])
    offset = np.clip(offset, -limit, limit)
    points = road.points(stations[:, None, None], offset[None], height[None])  # (S, M, 2, 3)
    count, m = len(stations), len(strips)
    index = np.arange(count * m * 2).reshape(count, m, 2)
    a, b, c, d = index[:-1, :, 0], index[1:, :, 0], index[1:, :, 1], index[:-1, :, 1]
    triangles = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    coordinates = np.stack(np.broadcast_arrays(stations[:, None, None], offset[None]), -1)
    strip = np.tile(np.tile(np.arange(m), count - 1), 2)
    return Loft(
        points.reshape(-1, 3).astype(np.float32),
        triangles.astype(np.uint32),
        coordinates.reshape(-1, 2).astype(np.float32),
        strip,
    )


def terrain(road: Road, s0: float, s1: float, color: tuple[float, float, float]) -> Mesh:
    """Coarse ground beyond the strips that follows the road's height, out to 700 m around station ``s0``."""
    center = road.points(s0, 0.0)
    line = np.concatenate([-np.geomspace(700, 12, 14), [0], np.geomspace(12, 700, 14)])
    x, y = np.meshgrid(center[0] + line, center[1] + line, indexing="ij")
    stations = np.arange(s0, s1, 8.0)
    axis = road.points(stations, np.zeros(len(stations)))
    distance = (x.reshape(-1, 1) - axis[:, 0]) ** 2 + (y.reshape(-1, 1) - axis[:, 1]) ** 2
    z = axis[np.argmin(distance, axis=1), 2] - 1.6
    i = np.arange(x.size).reshape(x.shape)
    quads = np.stack([i[:-1, :-1], i[1:, :-1], i[1:, 1:], i[:-1, 1:]], -1).reshape(-1, 4)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return make(np.stack([x.ravel(), y.ravel(), z], -1), triangles, color, TERRAIN)


@dataclass(frozen=True, eq=False)
class Hits:
    """Nearest hits of N rays.

    Attributes:
        kind: (N,) uint8, one of the constants of this module.
        depth: (N,) float32 in units of the ray direction, inf for no hit.
        triangle: (N,) int64 triangle of the ground loft or of the object mesh.
        weights: (N, 2) float32 barycentric weights of the triangle's second and third vertex.
        normal: (N, 3) float32 unit normals.
    """

    kind: np.ndarray
    depth: np.ndarray
    triangle: np.ndarray
    weights: np.ndarray
    normal: np.ndarray


def nearest_hits(static: Any, moving: Any | None, origin: np.ndarray, directions: np.ndarray) -> Hits:
    """Nearest hits in a static scene, whose first geometry is the ground, and a moving one.

    Args:
        static: RaycastingScene of the ground and of what stands still.
        moving: RaycastingScene of one mesh, or None.
        origin: (3,) or (N, 3) world metres.
        directions: (N, 3).
    """
    rays = rays_of(origin, directions)
    hit = static.cast_rays(rays, nthreads=1)
    depth = hit["t_hit"].numpy()
    kind = np.where(hit["geometry_ids"].numpy() == 0, GROUND, OBJECT).astype(np.uint8)
    kind[~np.isfinite(depth)] = NOTHING
    triangle = hit["primitive_ids"].numpy().astype(np.int64)
    weights, normal = hit["primitive_uvs"].numpy(), hit["primitive_normals"].numpy()
    if moving is not None:
        other = moving.cast_rays(rays, nthreads=1)
        near = np.flatnonzero(other["t_hit"].numpy() < depth)
        kind[near] = MOVING
        for target, key in ((depth, "t_hit"), (triangle, "primitive_ids")):
            target[near] = other[key].numpy()[near]
        for target, key in ((weights, "primitive_uvs"), (normal, "primitive_normals")):
            target[near] = other[key].numpy()[near]
    return Hits(kind, depth, triangle, weights, normal)


def free_way(static: Any, moving: Any | None, points: np.ndarray, sun: np.ndarray) -> np.ndarray:
    """(N,) float32: 1 where the way from (N, 3) ``points`` towards unit vector ``sun`` is free, else 0."""
    rays = rays_of(points + 0.03 * sun, np.broadcast_to(sun, points.shape))
    blocked = static.test_occlusions(rays, nthreads=1).numpy()
    if moving is not None:
        blocked |= moving.test_occlusions(rays, nthreads=1).numpy()
    return 1.0 - blocked.astype(np.float32)


class RayWorld:
    """The geometry around the ego at one instant: a static scene and a small moving one, nearest hit wins."""

    def __init__(self, scene: Scene, s: float, time: float, reach: float = 400.0, ahead: float = 0.0) -> None:
        """Build the geometry for an ego that is between stations ``s`` and ``s + ahead`` metres."""
        self.anchor = s
        self.end = scene.road.visible_end(s, reach + ahead)
        self.loft = loft_ground(scene, s - 25.0, self.end)
        outside = scene.section.strips[0].color
        self.objects = merge([terrain(scene.road, s - 25.0, self.end, outside), self._near(scene)])
        self._ground = ray_scene((self.loft.vertices, self.loft.triangles))
        self._static = ray_scene(
            (self.loft.vertices, self.loft.triangles), (self.objects.vertices, self.objects.triangles)
        )
        self.move(scene, s, time)

    def _near(self, scene: Scene) -> Mesh:
        """The furniture within 600 m of the anchor; all of it on short roads."""
        mesh = scene.furniture
        if scene.road.end < 600 or not len(mesh.triangles):
            return mesh
        center = scene.road.points(self.anchor, 0.0).astype(np.float32)
        first = mesh.vertices[mesh.triangles[:, 0]]
        keep = np.abs(first[:, :2] - center[:2]).max(1) < 600
        return Mesh(mesh.vertices, mesh.triangles[keep], mesh.color[keep], mesh.material[keep], mesh.texture)

    def move(self, scene: Scene, s: float, time: float) -> None:
        """Place the vehicles around station ``s`` as they are at ``time`` seconds."""
        moving = []
        for vehicle in scene.vehicles:
            station = vehicle.station(time)
            if s - 30 < station < min(self.end, s + 200):
                moving.append(vehicle.mesh.moved(scene.road.pose(station, vehicle.d, vehicle.yaw)))
        self.moving = merge(moving)
        self._moving = ray_scene((self.moving.vertices, self.moving.triangles)) if moving else None

    def cast(self, origin: np.ndarray, directions: np.ndarray) -> Hits:
        """Nearest hit of rays from (3,) or (N, 3) ``origin`` along (N, 3) ``directions``."""
        return nearest_hits(self._static, self._moving, origin, directions)

    def sunlit(self, points: np.ndarray, sun: np.ndarray) -> np.ndarray:
        """(N,) float32: 1 where the way from (N, 3) ``points`` towards unit vector ``sun`` is free, else 0."""
        return free_way(self._static, self._moving, points, sun)

    def visible(self, origin: np.ndarray, points: np.ndarray, ground_only: bool) -> np.ndarray:
        """(N,) bool: (N, 3) road ``points`` can be seen from (3,) ``origin`` past the ground (and static objects)."""
        directions = points - origin
        rays = rays_of(origin, directions)
        depth = (self._ground if ground_only else self._static).cast_rays(rays, nthreads=1)["t_hit"].numpy()
        slack = np.clip(0.25 / np.linalg.norm(directions, axis=1), 0.01, 0.2)
        return depth > 1 - slack


def rays_of(origin: np.ndarray, directions: np.ndarray) -> Any:
    """(N, 6) float32 tensor of origins and directions."""
    rays = np.empty((len(directions), 6), np.float32)
    rays[:, :3], rays[:, 3:] = origin, directions
    return open3d().core.Tensor(rays)
