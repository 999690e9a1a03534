"""Pictures of a town: radiance, depth, categories and instances along the rays of a camera."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perception.geometry.camera import Camera
from perception.sim.city.model import Town
from perception.sim.city.sensors.ground_shader import pyramid, shade_ground
from perception.sim.city.sensors.kernels import place_hits, soften_edges
from perception.sim.city.sensors.world import RayTown, TownHits
from perception.sim.sensors.noise import texture
from perception.sim.sensors.objects import shade_objects
from perception.sim.sensors.project import add_haze, texture_coordinates
from perception.sim.sensors.raycast import GROUND, MOVING, NOTHING, OBJECT
from perception.sim.sensors.render import as_floats, lamp_light
from perception.sim.sensors.sky import shade_sky


class View(NamedTuple):
    """What a camera sees, before the lens and sensor add their faults.

    Attributes:
        radiance: (H, W, 3) float32 linear.
        depth: (H, W) float32 metres along the optical axis, inf for the sky.
        category: (H, W) uint8 of :class:`perception.sim.city.model.Category`.
        instance: (H, W) int32, 0 for what is not counted.
    """

    radiance: np.ndarray
    depth: np.ndarray
    category: np.ndarray
    instance: np.ndarray


class Painter:
    """Renders views of one town; keeps what does not change between frames.

    Args:
        town: The town.
        world: Its ray-casting geometry.
    """

    def __init__(self, town: Town, world: RayTown) -> None:
        self.town, self.world = town, world
        self.levels = pyramid(town.ground)
        self.light = as_floats(town.light)
        self.tex = texture()
        self.emitting = {element.instance for element in town.elements if element.kind == "light"}

    def render(self, camera: Camera, world_from_ego: np.ndarray, rays: np.ndarray) -> View:
        """The view of a camera with extrinsics.

        Args:
            camera: The camera.
            world_from_ego: (4, 4) pose of the ego.
            rays: (H * W, 3) float32 camera-frame directions with z = 1, see ``pixel_rays``.
        """
        pose = world_from_ego @ camera.ego_from_camera
        directions = rays @ pose[:3, :3].T.astype(np.float32)
        origin = pose[None, :3, 3].astype(np.float32)
        pixel = 1 / float(camera.intrinsics[0, 0])
        out, hits, mirror = self._trace(origin, directions, pixel, world_from_ego, shadows=True)
        wet = np.flatnonzero(mirror > 0.02)
        if len(wet):
            self._reflect(out, wet, mirror, origin, directions, hits, pixel, world_from_ego)
        shape = camera.height, camera.width
        radiance, depth, instance = out.reshape(*shape, 3), hits.depth.reshape(shape), hits.instance.reshape(shape)
        soften_edges(radiance, hits.normal.reshape(*shape, 3), depth, instance)
        return View(radiance, depth, hits.category.reshape(shape), instance)

    def _trace(
        self, origin: np.ndarray, directions: np.ndarray, pixel: float, ego: np.ndarray, shadows: bool
    ) -> tuple[np.ndarray, TownHits, np.ndarray]:
        hits = self.world.cast(origin, directions)
        sun = np.array(self.town.light.sun_dir, np.float32)
        unit, distance, place, facing = place_hits(hits.kind, hits.depth, origin, directions, hits.normal, sun)
        out = np.zeros((len(directions), 3), np.float32)
        mirror = np.zeros(len(directions), np.float32)
        shade_sky(out, np.flatnonzero(hits.kind == NOTHING), unit, self.tex, self.light)
        solid = np.flatnonzero(hits.kind != NOTHING)
        position = place[solid]
        sunlit = np.ones(len(solid), np.float32)
        if shadows and max(self.town.light.sun) > 0.05:
            lit = np.flatnonzero(facing[solid])
            sunlit[lit] = self.world.sunlit(position[lit], sun)
        lamp = lamp_light(self.light, self.town.lamps, ego, position)
        for kind in (GROUND, OBJECT, MOVING):
            pick = np.flatnonzero(hits.kind[solid] == kind)
            if len(pick) == 0:
                continue
            index, near = solid[pick], position[pick]
            if kind == GROUND:
                ground = self.town.ground
                shade_ground(
                    out, mirror, index, near, unit, distance, hits.normal, pixel, sunlit[pick], lamp[pick], self.levels,
                    ground.origin, ground.resolution, self.town.wet, self.tex, self.light,
                )  # fmt: skip
                continue
            mesh = self.town.static if kind == OBJECT else self.world.moving
            uv = texture_coordinates(index, hits.triangle, hits.weights, mesh.triangles, mesh.texture)
            shade_objects(
                out, index, hits.triangle, near, hits.normal, unit, distance, pixel, uv, sunlit[pick], lamp[pick],
                mesh.color, mesh.material, self.tex, self.light,
            )  # fmt: skip
            if kind == OBJECT:
                self._faces(out, index, hits, uv)
        if self.town.light.fog > 0:
            add_haze(out, solid, distance, self.town.light.fog, np.asarray(self.town.light.horizon) * 0.9)
        return out, hits, mirror

    def _faces(self, out: np.ndarray, index: np.ndarray, hits: TownHits, uv: np.ndarray) -> None:
        """Lay the pictures of signs, lights and boards over their lit faces; signal lamps shine by themselves."""
        instances = hits.instance[index]
        for instance in np.unique(instances[np.isin(instances, np.fromiter(self.town.textures, np.int32))]):
            pick = np.flatnonzero(instances == instance)
            picture = self.town.textures[int(instance)]
            height, width = picture.shape[:2]
            column = np.clip((uv[pick, 0] * width).astype(int), 0, width - 1)
            row = np.clip((uv[pick, 1] * height).astype(int), 0, height - 1)
            color = (picture[row, column, :3].astype(np.float32) / 255) ** 2.2
            target = index[pick]
            if int(instance) in self.emitting:
                out[target] = color * 2.2 + out[target] * 0.03
            else:
                out[target] = out[target] / 0.8 * color

    def _reflect(self, out, wet, mirror, origin, directions, hits, pixel, ego) -> None:  # type: ignore[no-untyped-def]
        """Blend the mirror image of the surroundings into wet ground."""
        unit = directions[wet] / np.linalg.norm(directions[wet], axis=1, keepdims=True)
        points = origin + directions[wet] * hits.depth[wet, None]
        steep = np.clip(-unit[:, 2], 0, 1)
        up = unit * np.array([1, 1, -1], np.float32)
        up[:, 2] += 0.004 + np.abs(np.random.default_rng(7).normal(0, 0.05, len(up))).astype(np.float32)
        image, _, _ = self._trace(points + 0.02 * up, up, pixel, ego, shadows=False)
        share = mirror[wet] * (0.03 + 0.97 * (1 - steep) ** 6)
        out[wet] += (np.minimum(image, 6.0) - out[wet] * 0.5) * share[:, None].astype(np.float32)
