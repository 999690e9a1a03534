"""From a scene and a camera to linear radiance: cast rays, shade what they hit, add mirror images, lamps and fog."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from perception.geometry.camera import Camera
from perception.sim.sensors import ground as ground_shader
from perception.sim.sensors.noise import texture
from perception.sim.sensors.objects import shade_objects
from perception.sim.sensors.project import add_haze, ground_attributes, place_hits, texture_coordinates
from perception.sim.sensors.raycast import GROUND, MOVING, OBJECT, Hits, RayWorld, world_rays
from perception.sim.sensors.shadows import lit_pixels
from perception.sim.sensors.sky import shade_sky
from perception.sim.sensors.visible import grouped
from perception.sim.world.road import STEP
from perception.sim.world.scene import Light, Scene, Surface


@dataclass(frozen=True, eq=False)
class View:
    """Where a camera stands at one instant.

    Attributes:
        camera: The camera, with extrinsics.
        world_from_ego: (4, 4) float64.
        station: Station of the ego, metres.
        time: Seconds since the scene began.
    """

    camera: Camera
    world_from_ego: np.ndarray
    station: float
    time: float = 0.0

    @property
    def world_from_camera(self) -> np.ndarray:
        """(4, 4) float64."""
        return self.world_from_ego @ self.camera.ego_from_camera


def view_at(scene: Scene, camera: Camera, time: float = 0.0, bounce: float = 0.0) -> View:
    """The camera's view at ``time``; ``bounce`` pitches the ego body (radians, nose down positive)."""
    s, d, yaw = scene.ego.state(time)
    pose = scene.road.pose(s, d, yaw)
    if bounce:
        c, n = np.cos(bounce), np.sin(bounce)
        pose[:3, :3] = pose[:3, :3] @ np.array([[c, 0, n], [0, 1, 0], [-n, 0, c]])
    return View(camera, pose, s, time)


def pixel_rays(camera: Camera, first_row: int = 0, cell: int = 8) -> np.ndarray:
    """Camera-frame directions of the pixels from ``first_row`` down, row by row.

    The inverse of the lens is evaluated on a grid of ``cell`` pixels and interpolated, which is exact to about 0.01
    pixel for dash cameras.

    Returns:
        (P, 3) float32 with z = 1.
    """
    columns = np.arange(0, camera.width + cell, cell, dtype=np.float64)
    rows = np.arange(first_row, camera.height + cell, cell, dtype=np.float64)
    u, v = np.meshgrid(columns, rows)
    grid = camera.unproject(np.stack([u.ravel(), v.ravel()], -1))[:, :2].reshape(len(rows), len(columns), 2)
    across = _hat(np.arange(camera.width), columns)
    down = _hat(np.arange(first_row, camera.height), rows)
    out = np.ones((camera.height - first_row, camera.width, 3), np.float32)
    for axis in range(2):
        out[..., axis] = down @ grid[..., axis] @ across.T
    return out.reshape(-1, 3)


def _hat(positions: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """(N, K) weights of linear interpolation at ``positions`` between equidistant ``knots``."""
    step = knots[1] - knots[0]
    return np.clip(1 - np.abs(positions[:, None] - knots[None]) / step, 0, None)


def render(
    scene: Scene, view: View, world: RayWorld, rays: np.ndarray, grid: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Linear radiance along the rays of a view.

    Args:
        scene: What to render.
        view: Camera and ego pose.
        world: Ray-casting geometry of this instant.
        rays: (P, 3) float32 camera-frame directions with z = 1.
        grid: The rays are whole rows of pixels; their shadows are found faster.

    Returns:
        (P, 3) float32 radiance, and (P,) float32 depth in metres (inf for the sky).
    """
    pose = view.world_from_camera
    directions, origin = world_rays(rays, pose), pose[None, :3, 3].astype(np.float32)
    tables = ground_shader.tables(scene, view.station, view.time)
    frame = _Frame(scene, view, world, as_floats(scene.light), as_floats(scene.surface), tables, texture())
    hits = world.cast(origin, directions, world.movers.towards(pose, rays))
    out, mirror = frame.shade(hits, origin, directions, True, view.camera.width if grid else 0)
    wet = np.flatnonzero(mirror > 0.01) if scene.surface.wet > 0 else np.zeros(0, np.int64)
    if len(wet):
        _add_mirror(frame, out, wet, mirror[wet], origin + directions[wet] * hits.depth[wet, None], directions[wet])
    return out, hits.depth


def _add_mirror(
    frame: _Frame, out: np.ndarray, wet: np.ndarray, mirror: np.ndarray, points: np.ndarray, directions: np.ndarray
) -> None:
    """Blend the mirror image of the surroundings into wet pixels, rougher far away from where the mirror is smooth."""
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    steep = np.clip(-unit[:, 2], 0, 1)
    rng = np.random.default_rng(7)
    up = unit * np.array([1, 1, -1], np.float32)
    up[:, 2] += 0.004 + np.abs(rng.normal(0, 0.05, len(up))).astype(np.float32) * (1.2 - mirror)
    start = points + 0.02 * up
    image, _ = frame.shade(frame.world.cast(start, up), start, up, False, 0)
    share = mirror * (0.03 + 0.97 * (1 - steep) ** 6)
    out[wet] += (np.minimum(image, 6.0) - out[wet] * 0.5) * share[:, None].astype(np.float32)


@dataclass
class _Frame:
    """What the shaders need to know about the instant that is rendered."""

    scene: Scene
    view: View
    world: RayWorld
    light: Light
    surface: Surface
    tables: tuple[np.ndarray, ...]
    tex: np.ndarray

    def shade(
        self, hits: Hits, origin: np.ndarray, directions: np.ndarray, primary: bool, width: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Radiance (P, 3) of hits and mirror weight (P,); ``width`` pixels a row, 0 for rays without order."""
        light, sun = self.light, np.array(self.light.sun_dir, np.float32)
        unit, distance, place, asks = place_hits(hits.kind, hits.depth, origin, directions, hits.normal, sun)
        out, mirror = np.zeros((len(directions), 3), np.float32), np.zeros(len(directions))
        nothing, *groups = grouped(hits.kind, (GROUND, OBJECT, MOVING))
        shade_sky(out, nothing, unit, self.tex, light)
        sunlit = np.ones(len(out), np.float32)
        if primary and max(light.sun) > 0.05:
            asks[groups[1]] |= self.world.leafy[hits.triangle[groups[1]]]
            sunlit = lit_pixels(place, distance, asks, width, lambda points: self.world.sunlit(points, sun))
        lamp = np.zeros(0)
        if light.headlights > 0 or light.lamps > 0:
            lamp = lamp_light(light, self.scene.lamps, self.view.world_from_ego, place)
        mirror[groups[0]] = self._ground(out, groups[0], hits, directions, sunlit, lamp, primary)
        pixel = 1 / self.view.camera.intrinsics[0, 0]
        for index, mesh in zip(groups[1:], (self.world.objects, self.world.movers.mesh)):
            uv = texture_coordinates(index, hits.triangle, hits.weights, mesh.triangles, mesh.texture)
            shade_objects(
                out, index, hits.triangle, place, hits.normal, unit, hits.depth, pixel, uv, sunlit, lamp, mesh.color,
                mesh.material, self.tex, light,
            )  # fmt: skip
        if light.fog > 0:
            add_haze(out, np.concatenate(groups), distance, light.fog, np.asarray(light.horizon) * 0.9)
        return out, mirror

    def _ground(self, out, index, hits: Hits, directions, sunlit, lamp, primary):  # type: ignore[no-untyped-def]
        loft, road, camera = self.world.loft, self.scene.road, self.view.camera
        axes = self.view.world_from_camera[:3, :2].T / [[camera.intrinsics[0, 0]], [camera.intrinsics[1, 1]]]
        values = ground_attributes(
            index, hits.triangle, hits.weights, hits.normal, hits.depth, directions, loft.triangles, loft.road,
            road.heading, road.start, STEP, axes, np.array(self.light.sun_dir),
        )  # fmt: skip
        if not primary:
            values[:, 2:4] = 0.3
        boost = np.zeros((len(index), 2))
        if len(lamp):
            boost[:, 0] = lamp[index]
        ground_shader.shade_ground(
            out, index, values, loft.strip[hits.triangle[index]], sunlit[index], boost, self.tex, self.surface,
            np.array(self.light.sun), np.array(self.light.ambient), self.tables,
        )  # fmt: skip
        return boost[:, 1]


def lamp_light(light: Light, lamps: np.ndarray, ego: np.ndarray, position: np.ndarray) -> np.ndarray:
    """(N,) float64 light of the ego's headlights and of street lamps.

    Args:
        light: Says how strong they are.
        lamps: (K, 3) street lamps.
        ego: (4, 4) ``world_from_ego``.
        position: (N, 3) lit points.
    """
    total = np.zeros(len(position))
    if light.headlights > 0:
        _add_headlights(total, light.headlights, ego, position)
    if light.lamps > 0 and len(lamps):
        near = np.argsort(np.linalg.norm(lamps - ego[:3, 3], axis=1))[:10]
        _add_lamps(total, light.lamps * 60.0, np.asarray(lamps, np.float64)[near], position)
    return total


@njit(cache=True, fastmath=True)
def _add_headlights(total, strength, ego, position):  # type: ignore[no-untyped-def]
    local = np.empty(3)
    for i in range(position.shape[0]):
        for k in range(3):
            local[k] = 0.0
            for m in range(3):
                local[k] += (position[i, m] - ego[m, 3]) * ego[m, k]
        x, y, z = local[0] - 3.5, local[1], local[2]
        if x <= 0.5:
            continue
        beam = np.exp(-((y / (1.6 + 0.28 * x)) ** 2)) * min((x - 0.5) / 5.0, 1.0) ** 1.5
        total[i] += strength * beam / (1 + (x / 16.0) ** 2) * (0.15 if z > 1.2 else 1.0)


@njit(cache=True, fastmath=True)
def _add_lamps(total, strength, lamps, position):  # type: ignore[no-untyped-def]
    for i in range(position.shape[0]):
        for k in range(lamps.shape[0]):
            x, y, down = lamps[k, 0] - position[i, 0], lamps[k, 1] - position[i, 1], lamps[k, 2] - position[i, 2]
            if down > 0:
                total[i] += strength * down / (x * x + y * y + down * down + 4.0) ** 1.5


def as_floats(table):  # type: ignore[no-untyped-def]
    """A named tuple with every number as float, so that compiled code is specialised once."""
    as_float = (tuple(map(float, value)) if isinstance(value, tuple) else float(value) for value in table)
    return type(table)(*as_float)


__all__ = ["View", "as_floats", "lamp_light", "pixel_rays", "render", "view_at"]
