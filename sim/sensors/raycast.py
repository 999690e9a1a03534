"""Ray casting against the ground and the objects on it, with Open3D's RaycastingScene (Embree)."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from numba import njit

import perception  # noqa: F401  (installs the import helpers that Open3D needs)
from perception.errors import PerceptionError
from perception.sim.sensors.narrow import SunCells, in_cells, sun_cells, towards
from perception.sim.world.mesh import FOLIAGE, LEAVES, TERRAIN, Mesh, make, merge
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
    name = "open3d.visualization.draw_plotly"
    spare = "open3d" not in sys.modules and name not in sys.modules
    if spare:  # its dash and plotly are half of the time of the import, and nothing here draws with them
        stand_in = ModuleType(name)
        stand_in.__dict__.update(dict.fromkeys(("get_plotly_fig", "draw_plotly", "draw_plotly_server")))
        sys.modules[name] = stand_in
    try:
        import open3d as o3d
    except ImportError as error:
        raise PerceptionError(f"the simulator needs open3d, which cannot be imported: {error}") from error
    finally:
        if spare:
            del sys.modules[name]
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


def nearest_hits(
    static: Any, moving: Any | None, origin: np.ndarray, directions: np.ndarray, near: np.ndarray | None = None
) -> Hits:
    """Nearest hits in a static scene, whose first geometry is the ground, and a moving one.

    Args:
        static: RaycastingScene of the ground and of what stands still.
        moving: RaycastingScene of one mesh, or None.
        origin: (3,) or (N, 3) world metres.
        directions: (N, 3).
        near: Rows of the rays that may hit what moves; None for all.
    """
    rays = rays_of(origin, directions)
    hit = static.cast_rays(rays, nthreads=1)
    depth, triangle = hit["t_hit"].numpy(), hit["primitive_ids"].numpy().astype(np.int64)
    kind = hit_kinds(depth, hit["geometry_ids"].numpy())
    weights, normal = hit["primitive_uvs"].numpy(), hit["primitive_normals"].numpy()
    if moving is not None and (near is None or len(near)):
        other = moving.cast_rays(rays if near is None else open3d().core.Tensor(rays.numpy()[near]), nthreads=1)
        found = other["t_hit"].numpy()
        row = np.arange(len(depth)) if near is None else near
        pick = np.flatnonzero(found < depth[row])
        row = row[pick]
        kind[row] = MOVING
        for target, key in ((depth, "t_hit"), (triangle, "primitive_ids")):
            target[row] = other[key].numpy()[pick]
        for target, key in ((weights, "primitive_uvs"), (normal, "primitive_normals")):
            target[row] = other[key].numpy()[pick]
    return Hits(kind, depth, triangle, weights, normal)


@njit(cache=True)
def hit_kinds(depth, geometry):  # type: ignore[no-untyped-def]
    """(N,) uint8 kinds of static hits at (N,) ``depth``; geometry 0 is the ground."""
    out = np.empty(depth.shape[0], np.uint8)
    for i in range(depth.shape[0]):
        out[i] = NOTHING if np.isinf(depth[i]) else (GROUND if geometry[i] == 0 else OBJECT)
    return out


def free_way(
    static: Any, moving: Any | None, points: np.ndarray, sun: np.ndarray, cells: SunCells | None = None
) -> np.ndarray:
    """(N,) float32: 1 where the way from (N, 3) ``points`` towards unit vector ``sun`` is free, else 0.

    Args:
        static: RaycastingScene of what stands still.
        moving: RaycastingScene of what moves, or None.
        points: World metres.
        sun: (3,).
        cells: Where shadows of what moves may fall; None: anywhere.
    """
    tensor = open3d().core.Tensor
    rays = sun_rays(points, np.asarray(sun, np.float32), np.float32(0.03))
    blocked = static.test_occlusions(tensor(rays), nthreads=1).numpy()
    if moving is not None:
        near = np.arange(len(rays)) if cells is None else in_cells(points, *cells)
        near = near[~blocked[near]]
        if len(near):
            blocked[near] = moving.test_occlusions(tensor(rays[near]), nthreads=1).numpy()
    return 1.0 - blocked.astype(np.float32)


@njit(cache=True)
def sun_rays(points, sun, ahead):  # type: ignore[no-untyped-def]
    """(N, 6) float32 rays from (N, 3) ``points`` to the ``sun`` (3,), begun ``ahead`` metres on the way."""
    out = np.empty((points.shape[0], 6), np.float32)
    for i in range(points.shape[0]):
        for k in range(3):
            out[i, k] = points[i, k] + ahead * sun[k]
            out[i, 3 + k] = sun[k]
    return out


@njit(cache=True, fastmath=True)
def world_rays(rays, pose):  # type: ignore[no-untyped-def]
    """(P, 3) float32 world directions of camera-frame ``rays`` (P, 3) of a camera at (4, 4) ``pose``."""
    out = np.empty(rays.shape, np.float32)
    turn = pose[:3, :3].astype(np.float32)
    for i in range(rays.shape[0]):
        for k in range(3):
            out[i, k] = turn[k, 0] * rays[i, 0] + turn[k, 1] * rays[i, 1] + turn[k, 2] * rays[i, 2]
    return out


class Movers:
    """What moves, at one instant.

    Args:
        mesh: All of it.

    Attributes:
        mesh: The mesh.
        scene: Its RaycastingScene, None for nothing.
    """

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.scene = ray_scene((mesh.vertices, mesh.triangles)) if len(mesh.triangles) else None
        self._cells: tuple[np.ndarray, SunCells] | None = None

    def cells(self, sun: np.ndarray) -> SunCells | None:
        """Where its shadows may fall with the sun at unit vector ``sun``."""
        if self.scene is None:
            return None
        if self._cells is None or not np.array_equal(self._cells[0], sun):
            self._cells = np.array(sun), sun_cells(self.mesh.vertices, self.mesh.triangles, sun)
        return self._cells[1]

    def towards(self, pose: np.ndarray, rays: np.ndarray) -> np.ndarray | None:
        """Which camera-frame ``rays`` (P, 3) with z = 1 of a camera at (4, 4) ``pose`` may hit it; None for nothing."""
        return None if self.scene is None else towards(self.mesh.vertices, self.mesh.triangles, pose, rays)


class RayWorld:
    """The geometry around the ego at one instant: a static scene and a small moving one, nearest hit wins."""

    def __init__(self, scene: Scene, s: float, time: float, reach: float = 400.0, ahead: float = 0.0) -> None:
        """Build the geometry for an ego that is between stations ``s`` and ``s + ahead`` metres."""
        self.anchor = s
        self.end = scene.road.visible_end(s, reach + ahead)
        self.loft = loft_ground(scene, s - 25.0, self.end)
        outside = scene.section.strips[0].color
        self.objects = merge([terrain(scene.road, s - 25.0, self.end, outside), self._near(scene)])
        self.leafy = np.isin(self.objects.material, (FOLIAGE, LEAVES))
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
        self.movers = Movers(merge(moving))

    def cast(self, origin: np.ndarray, directions: np.ndarray, near: np.ndarray | None = None) -> Hits:
        """Nearest hits; arguments as of :func:`nearest_hits`."""
        return nearest_hits(self._static, self.movers.scene, origin, directions, near)

    def sunlit(self, points: np.ndarray, sun: np.ndarray) -> np.ndarray:
        """(N,) float32: 1 where the way from (N, 3) ``points`` towards unit vector ``sun`` is free, else 0."""
        return free_way(self._static, self.movers.scene, points, sun, self.movers.cells(sun))

    def visible(self, origin: np.ndarray, points: np.ndarray, ground_only: bool) -> np.ndarray:
        """(N,) bool: (N, 3) road ``points`` can be seen from (3,) ``origin`` past the ground (and static objects)."""
        directions = points - origin
        rays = rays_of(origin, directions)
        depth = (self._ground if ground_only else self._static).cast_rays(rays, nthreads=1)["t_hit"].numpy()
        slack = np.clip(0.25 / np.linalg.norm(directions, axis=1), 0.01, 0.2)
        return depth > 1 - slack


def rays_of(origin: np.ndarray, directions: np.ndarray) -> Any:
    """(N, 6) float32 tensor of origins (3,) or (N, 3) and directions (N, 3)."""
    start = np.asarray(origin, np.float32).reshape(-1, 3)
    return open3d().core.Tensor(_joined(start, np.asarray(directions, np.float32)))


@njit(cache=True)
def _joined(origin, directions):  # type: ignore[no-untyped-def]
    out = np.empty((directions.shape[0], 6), np.float32)
    for i in range(directions.shape[0]):
        j = i if origin.shape[0] > 1 else 0
        for k in range(3):
            out[i, k], out[i, 3 + k] = origin[j, k], directions[i, k]
    return out
