"""What the simulator's frames cost, against the rays alone: primary, shadow and LiDAR rays cast and not shaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from perception.bench.core import Pair, benchmark

SEED = 900_500
FLOOR = "the same rays cast and not shaded: a floor, so the ratio is the share of time that is ray casting"


def _pair(frames: int = 2, **settings: Any) -> Pair:
    from perception.sim import TownDrive

    drive = TownDrive(SEED, "day", frames + 1, 10.0, **settings)

    def ours() -> None:
        for index in range(frames):
            drive.sample(index)

    return Pair(ours, _floor(drive, frames), frames)


def _floor(drive: Any, frames: int) -> Callable[[], None]:
    """Casts what a frame needs: a primary ray a pixel, a shadow ray where something was hit, and the LiDAR's."""
    from perception.sim.city.sensors.lidar import shots
    from perception.sim.sensors.raycast import NOTHING, nearest_hits
    from perception.sim.sensors.render import pixel_rays

    rays = {name: pixel_rays(camera) for name, camera in drive.cameras.items()}
    sun = np.array(drive.town.light.sun_dir, np.float32)

    def cast() -> None:
        for index in range(frames):
            drive.world.move(drive.time(index))
            scenes = drive.world.scenes
            for name, camera in drive.cameras.items():
                pose = drive.pose(index) @ camera.ego_from_camera
                directions = rays[name] @ pose[:3, :3].T.astype(np.float32)
                hits = nearest_hits(*scenes, pose[:3, 3], directions)
                solid = hits.kind != NOTHING
                drive.world.sunlit(pose[:3, 3].astype(np.float32) + directions[solid] * hits.depth[solid, None], sun)
            if drive.lidar:
                nearest_hits(*scenes, *shots(drive.town, drive.time(index), drive.lidar)[:2])

    return cast


@benchmark("sim", "ring_frame", naive=FLOOR, unit="frame")
def ring_frame() -> Pair:
    """Seven cameras at 400x512 and a LiDAR of 64 beams, with shadows and all truth."""
    return _pair(rig="ring7", lidar=64, size=(512, 400))


@benchmark("sim", "front_frame", naive=FLOOR, unit="frame")
def front_frame() -> Pair:
    """One dash camera at 800x320."""
    return _pair(4, rig="dash", size=(800, 320))


@benchmark("sim", "crowd_picture", naive=FLOOR, unit="picture")
def crowd_picture() -> Pair:
    """Pictures of 1024x768 of 300 people, from the seed to the labelled picture; the floor begins with the meshes."""
    from perception.sim.crowd import render_crowd_sample
    from perception.sim.crowd.render import CrowdRenderer
    from perception.sim.crowd.sample import random_scene

    seeds = range(SEED, SEED + 4)
    scenes = [random_scene(np.random.default_rng(seed), (1024, 768), 300)[0] for seed in seeds]
    renderers = [CrowdRenderer(scene) for scene in scenes]

    def ours() -> None:
        for seed in seeds:
            render_crowd_sample(seed, (1024, 768), 300)

    def cast() -> None:
        for renderer in renderers:
            _cast_once(renderer)

    return Pair(ours, cast, len(seeds))


def _cast_once(renderer: Any) -> None:
    """The tree over a crowd, a primary ray a pixel, and a shadow ray where something was hit by day."""
    from perception.sim.sensors.raycast import free_way, ray_scene, rays_of
    from perception.sim.sensors.render import pixel_rays

    camera, light = renderer.scene.site.camera, renderer.scene.light
    world = ray_scene((renderer.vertices, renderer.triangles))
    directions = pixel_rays(camera) @ renderer.pose[:3, :3].T.astype(np.float32)
    origin = renderer.pose[:3, 3].astype(np.float32)
    depth = world.cast_rays(rays_of(origin, directions), nthreads=1)["t_hit"].numpy()
    solid = np.isfinite(depth)
    if max(light.sun) >= 0.05:
        free_way(world, None, origin + directions[solid] * depth[solid, None], np.array(light.sun_dir, np.float32))
