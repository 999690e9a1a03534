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
    """One camera at 1024x768 in front of 300 people."""
    from perception.sim import TownConfig

    return _pair(rig="dash", size=(1024, 768), config=TownConfig(blocks=(2, 2), crowd=300), truth=("density_map",))
