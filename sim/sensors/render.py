"""From a scene and a camera to linear radiance: cast rays, shade what they hit, add mirror images, lamps and fog."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perception.geometry.camera import Camera
from perception.sim.sensors import ground as ground_shader
from perception.sim.sensors.noise import texture
from perception.sim.sensors.objects import shade_objects
from perception.sim.sensors.project import add_haze, ground_attributes, texture_coordinates
from perception.sim.sensors.raycast import GROUND, MOVING, NOTHING, OBJECT, Hits, RayWorld
from perception.sim.sensors.sky import shade_sky
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


def render(scene: Scene, view: View, world: RayWorld, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear radiance along the rays of a view.

    Args:
        scene: What to render.
        view: Camera and ego pose.
        world: Ray-casting geometry of this instant.
        rays: (P, 3) float32 camera-frame directions with z = 1.

    Returns:
        (P, 3) float32 radiance, and (P,) float32 depth in metres (inf for the sky).
    """
    pose = view.world_from_camera
    directions = rays @ pose[:3, :3].T.astype(np.float32)
    origin = pose[:3, 3].astype(np.float32)
    tables = ground_shader.tables(scene, view.station, view.time)
    frame = _Frame(scene, view, world, as_floats(scene.light), as_floats(scene.surface), tables, texture())
    out, depth, mirror = frame.trace(np.broadcast_to(origin, directions.shape), directions, primary=True)
    wet = np.flatnonzero(mirror[:, 0] > 0.01)
    if len(wet):
        _add_mirror(frame, out, wet, mirror[wet], origin + directions[wet] * depth[wet, None], directions[wet])
    return out, depth


def _add_mirror(
    frame: _Frame, out: np.ndarray, wet: np.ndarray, mirror: np.ndarray, points: np.ndarray, directions: np.ndarray
) -> None:
    """Blend the mirror image of the surroundings into wet pixels, rougher far away from where the mirror is smooth."""
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    steep = np.clip(-unit[:, 2], 0, 1)
    rng = np.random.default_rng(7)
    up = unit * np.array([1, 1, -1], np.float32)
    up[:, 2] += 0.004 + np.abs(rng.normal(0, 0.05, len(up))).astype(np.float32) * (1.2 - mirror[:, 0])
    image, _, _ = frame.trace(points + 0.02 * up, up, primary=False)
    share = mirror[:, 0] * (0.03 + 0.97 * (1 - steep) ** 6)
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

    def trace(
        self, origin: np.ndarray, directions: np.ndarray, primary: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Radiance (P, 3), depth (P,) in metres of ``directions``, and mirror weight (P, 1) of rays."""
        hits = self.world.cast(origin, directions)
        length = np.linalg.norm(directions, axis=1)
        unit = directions / length[:, None]
        out = np.zeros((len(directions), 3), np.float32)
        mirror = np.zeros((len(directions), 1), np.float32)
        shade_sky(out, np.flatnonzero(hits.kind == NOTHING), unit, self.tex, self.light)
        solid = np.flatnonzero(hits.kind != NOTHING)
        position = origin[solid] + directions[solid] * hits.depth[solid, None]
        sun = np.array(self.light.sun_dir, np.float32)
        strength = max(self.light.sun) > 0.05 and primary
        sunlit = np.ones(len(solid), np.float32)
        if strength:
            sunlit = self.world.sunlit(position, sun)
        lamp = lamp_light(self.light, self.scene.lamps, self.view.world_from_ego, position)
        for kind in (GROUND, OBJECT, MOVING):
            pick = np.flatnonzero(hits.kind[solid] == kind)
            if not len(pick):
                continue
            index = solid[pick]
            if kind == GROUND:
                wet = self._ground(out, index, hits, directions, sunlit[pick], lamp[pick], primary)
                mirror[index, 0] = wet
            else:
                mesh = self.world.objects if kind == OBJECT else self.world.moving
                self._objects(out, index, hits, mesh, position[pick], unit, sunlit[pick], lamp[pick])
        if self.light.fog > 0:
            add_haze(out, solid, hits.depth * length, self.light.fog, np.asarray(self.light.horizon) * 0.9)
        return out, hits.depth, mirror

    def _ground(self, out, index, hits: Hits, directions, sunlit, lamp, primary):  # type: ignore[no-untyped-def]
        loft, road, camera = self.world.loft, self.scene.road, self.view.camera
        axes = self.view.world_from_camera[:3, :2].T / [[camera.intrinsics[0, 0]], [camera.intrinsics[1, 1]]]
        values = ground_attributes(
            index, hits.triangle, hits.weights, hits.normal, hits.depth, directions, loft.triangles, loft.road,
            road.heading, road.start, STEP, axes, np.array(self.light.sun_dir),
        )  # fmt: skip
        if not primary:
            values[:, 2:4] = 0.3
        boost = np.stack([lamp, np.zeros_like(lamp)], -1)
        ground_shader.shade_ground(
            out, index, values, loft.strip[hits.triangle[index]], sunlit, boost, self.tex, self.surface,
            np.array(self.light.sun), np.array(self.light.ambient), self.tables,
        )  # fmt: skip
        return boost[:, 1]

    def _objects(self, out, index, hits: Hits, mesh, position, unit, sunlit, lamp):  # type: ignore[no-untyped-def]
        uv = texture_coordinates(index, hits.triangle, hits.weights, mesh.triangles, mesh.texture)
        shade_objects(
            out, index, hits.triangle, position, hits.normal, unit, hits.depth, 1 / self.view.camera.intrinsics[0, 0],
            uv, sunlit, lamp, mesh.color, mesh.material, self.tex, self.light,
        )  # fmt: skip


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
        local = (position - ego[:3, 3]) @ ego[:3, :3]
        x, y, z = local[:, 0] - 3.5, local[:, 1], local[:, 2]
        ahead = np.clip(x, 1e-3, None)
        beam = np.exp(-((y / (1.6 + 0.28 * ahead)) ** 2)) * np.clip((x - 0.5) / 5.0, 0, 1) ** 1.5
        reach = 1 / (1 + (ahead / 16.0) ** 2) * np.where(z > 1.2, 0.15, 1.0)
        total += light.headlights * beam * reach
    if light.lamps > 0 and len(lamps):
        near = np.linalg.norm(lamps - ego[:3, 3], axis=1)
        for lamp in lamps[np.argsort(near)[:10]]:
            offset = lamp - position
            squared = (offset**2).sum(1)
            down = np.clip(offset[:, 2], 0, None)
            total += light.lamps * 60.0 * down / (squared + 4.0) ** 1.5
    return total


def as_floats(table):  # type: ignore[no-untyped-def]
    """A named tuple with every number as float, so that compiled code is specialised once."""
    as_float = (tuple(map(float, value)) if isinstance(value, tuple) else float(value) for value in table)
    return type(table)(*as_float)


__all__ = ["View", "as_floats", "lamp_light", "pixel_rays", "render", "view_at"]
