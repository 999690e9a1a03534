"""A drive through a town: every frame with pictures, a LiDAR sweep, poses and truth."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from perception.errors import PerceptionError, UnknownNameError
from perception.geometry.camera import Camera
from perception.sim.city import truth_objects as objects
from perception.sim.city.generator import make_town
from perception.sim.city.layout import TownConfig
from perception.sim.city.model import Town, pose_at
from perception.sim.city.sensors.camera import Painter, View
from perception.sim.city.sensors.lidar import LidarConfig, lidar_pose, sweep
from perception.sim.city.sensors.rigs import make_rig
from perception.sim.city.sensors.world import RayTown
from perception.sim.city.truth import Region, lane_graph, lane_segments, lanes_in
from perception.sim.drive import START_NS
from perception.sim.sensors.camera import Effects, develop, random_effects
from perception.sim.sensors.render import pixel_rays
from perception.structures import Calibration, Frame, Provenance, Result

TRUTH = ("lane_segments", "lane_graph", "boxes_3d", "boxes_2d", "density_map")
"""Kinds of truth a drive can carry; ``density_map`` only where it is asked for."""

_LEAD = 0.3
"""Seconds that the world runs before the first frame, so that the first sweep has a past."""


@dataclass(frozen=True, eq=False)
class TownSample:
    """A frame with what does not fit into one.

    Attributes:
        frame: The frame.
        views: Camera -> radiance before the lens, depth, category and instance of every pixel.
        ego: (4, 4) float64 exact ``world_from_ego``; the frame's pose may carry noise.
        time: Seconds in the town's time.
    """

    frame: Frame
    views: Mapping[str, View]
    ego: np.ndarray
    time: float


class TownDrive:
    """An iterable of frames; any can be made on its own and does not depend on which were made before.

    Truth of a frame: ``ego/lane_segments``, ``ego/lane_graph`` (elements in the first camera), ``ego/boxes_3d``, and
    for every camera ``<camera>/boxes_2d``; ``<camera>/density_map`` with head points where ``truth`` names it.

    Args:
        seed: Seed of the town, the drive and the noise; from 900,000 on never used for training.
        preset: Weather and daylight: ``day``, ``night``, ``rain`` or ``random``.
        n_frames: Number of frames.
        rate_hz: Frames a second.
        rig: A name of :data:`perception.sim.city.sensors.rigs.RIGS`, cameras by name, or None for no camera.
        lidar: A LiDAR, its number of beams (32, 64 or 128), or None.
        size: (width, height) of the pictures of a named rig; None keeps the full size.
        config: Sizes and odds of the town.
        truth: Which of :data:`TRUTH` frames carry.
        region: Where lanes are labelled.
        effects: What lens and sensor add; None draws them, ``Effects(noise=0)`` is a clean camera.
        pose_noise: Standard deviation of the frames' poses, metres and radians.
        town: A town to drive through in place of a new one; it has to move for long enough.

    Attributes:
        town: The town.
        cameras: The rig.

    Raises:
        PerceptionError: Unknown names, or numbers out of range.
    """

    def __init__(
        self,
        seed: int,
        preset: str = "random",
        n_frames: int = 50,
        rate_hz: float = 10.0,
        rig: str | Mapping[str, Camera] | None = "ring7",
        lidar: LidarConfig | int | None = None,
        size: tuple[int, int] | None = (512, 400),
        config: TownConfig | None = None,
        truth: Collection[str] = TRUTH[:4],
        region: Region | None = None,
        effects: Effects | None = None,
        pose_noise: tuple[float, float] = (0.0, 0.0),
        town: Town | None = None,
    ) -> None:
        if n_frames < 1 or not 0 < rate_hz <= 1000 or seed < 0 or min(pose_noise) < 0:
            found = f"{seed}, {n_frames}, {rate_hz}, {pose_noise}"
            raise PerceptionError(f"drive: expected seed, pose_noise >= 0, n_frames >= 1, rate_hz > 0, found {found}")
        for kind in truth:
            if kind not in TRUTH:
                raise UnknownNameError("kind of truth", kind, TRUTH)
        self.cameras = _cameras(rig, size)
        self.lidar = LidarConfig.of(lidar) if isinstance(lidar, int) else lidar
        cv2.setNumThreads(1)
        self.seed, self.preset, self.n_frames, self.rate_hz = int(seed), preset, int(n_frames), float(rate_hz)
        self.truth, self.region, self.pose_noise = tuple(truth), region or Region(), pose_noise
        seconds = _LEAD + self.n_frames / self.rate_hz
        self.town = town or make_town(self.seed, preset, seconds=seconds, config=config)
        self._rays = {name: pixel_rays(camera) for name, camera in self.cameras.items()}
        self._effects = {
            name: effects or _effects(np.random.default_rng([self.seed, 4, number]), self.town, rig)
            for number, name in enumerate(self.cameras)
        }

    def __len__(self) -> int:
        return self.n_frames

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(self.n_frames))

    def __getitem__(self, index: int) -> Frame:
        """Frame ``index``."""
        return self.sample(index).frame

    def samples(self) -> Iterator[TownSample]:
        """All frames with their labelled pictures."""
        return (self.sample(index) for index in range(self.n_frames))

    def time(self, index: int) -> float:
        """Seconds of a frame in the town's time."""
        return _LEAD + index / self.rate_hz

    def pose(self, index: int) -> np.ndarray:
        """(4, 4) float64 exact ``world_from_ego`` of a frame."""
        return pose_at(self.town.ego, self.time(index), self.town.ground)

    @cached_property
    def world(self) -> RayTown:
        """The ray-casting geometry, built on first use."""
        return RayTown(self.town)

    @cached_property
    def painter(self) -> Painter:
        """Renders pictures, built on first use."""
        return Painter(self.town, self.world)

    def sample(self, index: int, ego: np.ndarray | None = None) -> TownSample:
        """Frame ``index`` with its labelled pictures; ``ego`` (4, 4), ``world_from_ego``, to stand elsewhere."""
        if not 0 <= index < self.n_frames:
            raise IndexError(f"frame {index} of {self.n_frames}")
        time, ego = self.time(index), self.pose(index) if ego is None else ego
        if self.cameras or self.lidar:
            self.world.move(time)
        views, images = {}, {}
        for number, (name, camera) in enumerate(self.cameras.items()):
            views[name] = self.painter.render(camera, ego, self._rays[name])
            noise = np.random.default_rng([self.seed, 2, index, number])
            windscreen = np.random.default_rng([self.seed, 3, number])
            images[name] = develop(views[name].radiance, self._effects[name], camera.size, 0, noise, windscreen)
        stamp = START_NS + round(index * 1e9 / self.rate_hz)
        clouds = {}
        if self.lidar:
            rng = np.random.default_rng([self.seed, 5, index])
            clouds["lidar"] = sweep(self.town, self.world, time, stamp, rng, self.lidar)
        frame = Frame(
            timestamp_ns=stamp,
            index=index,
            images=images,
            clouds=clouds,
            calibration=Calibration(self.cameras, {"lidar": lidar_pose()} if self.lidar else {}),
            ego_pose=self._noisy(ego, index),
            truth=self._truth(ego, time, views),
            provenance=Provenance(f"sim:town:{self.preset}:{self.seed}", "TownDrive", str(index)),
        )
        return TownSample(frame, views, ego, time)

    def _truth(self, ego: np.ndarray, time: float, views: Mapping[str, View]) -> dict[str, Result]:
        town, out = self.town, dict[str, Result]()
        lanes = lanes_in(town, ego, self.region) if {"lane_segments", "lane_graph"} & set(self.truth) else []
        if "lane_segments" in self.truth:
            out["ego/lane_segments"] = lane_segments(town, ego, self.region, lanes)
        if "lane_graph" in self.truth:
            elements, ids = None, None
            for name in list(views)[:1]:
                elements, ids = objects.elements_in_picture(town, self.cameras[name], ego, views[name])
            out["ego/lane_graph"] = lane_graph(town, ego, elements, ids, self.region, lanes)
        if "boxes_3d" in self.truth:
            out["ego/boxes_3d"] = objects.boxes_in_space(town, ego, time)
        for name, view in views.items():
            camera = self.cameras[name]
            if "boxes_2d" in self.truth:
                out[f"{name}/boxes_2d"] = objects.boxes_in_picture(town, camera, view).boxes
            if "density_map" in self.truth:
                heads = objects.heads_in_picture(town, camera, ego, view, time)
                out[f"{name}/density_map"] = objects.density(camera, heads)
        return out

    def _noisy(self, ego: np.ndarray, index: int) -> np.ndarray:
        """The pose as a localisation would report it."""
        metres, radians = self.pose_noise
        if not (metres or radians):
            return ego
        rng = np.random.default_rng([self.seed, 6, index])
        turn, out = float(rng.normal(0, radians)), ego.copy()
        out[:3, 3] += rng.normal(0, metres, 3) * (1, 1, 0.3)
        c, s = np.cos(turn), np.sin(turn)
        out[:3, :3] = out[:3, :3] @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        return out


def _cameras(rig: str | Mapping[str, Camera] | None, size: tuple[int, int] | None) -> dict[str, Camera]:
    if rig is None:
        return {}
    cameras = make_rig(rig, size) if isinstance(rig, str) else dict(rig)
    for name, camera in cameras.items():
        if camera.ego_from_camera is None:
            raise PerceptionError(f"drive: camera {name!r} has no pose in the ego frame (ego_from_camera)")
        if not 0.1 < camera.ego_from_camera[2, 3] < 50:
            found = camera.ego_from_camera[2, 3]
            raise PerceptionError(f"drive: camera {name!r}: expected 0.1 to 50 m above the road, found {found:g}")
    return cameras


def _effects(rng: np.random.Generator, town: Town, rig: object) -> Effects:
    """A dash camera may be poor; cameras of a rig are good ones without windscreen."""
    night, wet = bool(town.tags["night"]), float(town.tags["wet"])
    drawn = random_effects(rng, night, wet)
    exposure = float(np.clip(drawn.exposure, 0.75, 1.35))
    if rig == "dash":
        return replace(drawn, scale=1.0, exposure=exposure)
    x, y, radius, strength = drawn.glare
    rain = 0.4 * wet * float(rng.random()) if wet else 0.0
    return Effects(
        exposure=exposure, contrast=float(rng.uniform(0.1, 0.5)), saturation=float(rng.uniform(0.85, 1.2)),
        bloom=0.25 if night else 0.04, noise=float(rng.uniform(2, 5) if night else rng.uniform(0.5, 2)), rain=rain,
        glare=(x, y, radius, strength * (0.25 if night else 0.6)), sharpen=0.2,
    )  # fmt: skip
