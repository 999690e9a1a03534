"""Pictures of a town: radiance, depth, categories and instances along the rays of a camera."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perception.geometry.camera import Camera
from perception.sim.city.model import Town
from perception.sim.city.sensors.ground_shader import pyramid, shade_ground
from perception.sim.city.sensors.kernels import soften_edges
from perception.sim.city.sensors.world import RayTown, TownHits
from perception.sim.sensors.noise import texture
from perception.sim.sensors.objects import shade_objects
from perception.sim.sensors.project import add_haze, place_hits, texture_coordinates
from perception.sim.sensors.raycast import GROUND, MOVING, OBJECT, world_rays
from perception.sim.sensors.render import as_floats, lamp_light
from perception.sim.sensors.shadows import lit_pixels
from perception.sim.sensors.sky import shade_sky
from perception.sim.sensors.visible import grouped


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
        directions, near = world_rays(rays, pose), self.world.movers.towards(pose, rays)
        origin = pose[None, :3, 3].astype(np.float32)
        pixel = 1 / float(camera.intrinsics[0, 0])
        hits = self.world.cast(origin, directions, near)
        out, mirror = self._shade(hits, origin, directions, pixel, world_from_ego, camera.width)
        wet = np.flatnonzero(mirror > 0.02) if self.town.wet > 0 else ()
        if len(wet):
            self._reflect(out, wet, mirror, origin, directions, hits, pixel, world_from_ego)
        shape = camera.height, camera.width
        radiance, depth, instance = out.reshape(*shape, 3), hits.depth.reshape(shape), hits.instance.reshape(shape)
        soften_edges(radiance, hits.normal.reshape(*shape, 3), depth, instance)
        return View(radiance, depth, hits.category.reshape(shape), instance)

    def _shade(
        self, hits: TownHits, origin: np.ndarray, directions: np.ndarray, pixel: float, ego: np.ndarray, width: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Radiance (P, 3) of hits, and how much of it is mirrored (P,); with shadows where ``width`` is not 0."""
        town, light, tex, ground = self.town, self.light, self.tex, self.town.ground
        sun = np.array(light.sun_dir, np.float32)
        unit, distance, place, facing = place_hits(hits.kind, hits.depth, origin, directions, hits.normal, sun)
        out, mirror = np.zeros((len(directions), 3), np.float32), np.zeros(len(directions), np.float32)
        nothing, *groups = grouped(hits.kind, (GROUND, OBJECT, MOVING))
        shade_sky(out, nothing, unit, tex, light)
        sunlit = np.ones(len(out), np.float32)
        if width and max(light.sun) > 0.05:
            sunlit = lit_pixels(place, distance, facing, width, lambda points: self.world.sunlit(points, sun))
        lamp = lamp_light(light, town.lamps, ego, place) if light.headlights > 0 or light.lamps > 0 else np.zeros(0)
        shade_ground(
            out, mirror, groups[0], place, unit, distance, hits.normal, pixel, sunlit, lamp, self.levels, ground.origin,
            ground.resolution, town.wet, tex, light,
        )  # fmt: skip
        for index, mesh in zip(groups[1:], (town.static, self.world.moving)):
            uv = texture_coordinates(index, hits.triangle, hits.weights, mesh.triangles, mesh.texture)
            shade_objects(
                out, index, hits.triangle, place, hits.normal, unit, distance, pixel, uv, sunlit, lamp, mesh.color,
                mesh.material, tex, light,
            )  # fmt: skip
            if mesh is town.static:
                self._faces(out, index, hits, uv)
        if light.fog > 0:
            solid = np.concatenate(groups)
            add_haze(out, solid, distance, light.fog, np.asarray(light.horizon) * 0.9)
        return out, mirror

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
        start = points + 0.02 * up
        image, _ = self._shade(self.world.cast(start, up), start, up, pixel, ego, 0)
        share = mirror[wet] * (0.03 + 0.97 * (1 - steep) ** 6)
        out[wet] += (np.minimum(image, 6.0) - out[wet] * 0.5) * share[:, None].astype(np.float32)
