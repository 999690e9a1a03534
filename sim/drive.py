"""A simulated drive: the ego moves along a road, other vehicles move along their lanes, one front camera records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from perception.errors import PerceptionError
from perception.geometry.camera import Camera
from perception.sim import presets
from perception.sim.sensors.camera import develop, random_camera, random_effects
from perception.sim.sensors.raycast import RayWorld
from perception.sim.sensors.render import View, pixel_rays, render, view_at
from perception.sim.truth import TruthConfig, trace_lanes
from perception.sim.world.builder import SceneConfig, random_scene
from perception.structures import Calibration, Frame, Provenance

START_NS = 1_700_000_000_000_000_000
"""Time stamp of the first frame, nanoseconds."""

_WINDOW = 40.0


class SimulatedDrive:
    """An iterable of frames; any frame can be made on its own and does not depend on which were made before.

    Args:
        seed: Seed of world, camera and noise; see :data:`perception.sim.presets.HELD_OUT_SEED`.
        preset: Name of a preset, or settings.
        n_frames: Number of frames.
        fps: Frames a second.
        size: (width, height) of the images.
        camera: A camera with extrinsics to use in place of a random one; its size wins over ``size``.
        truth: What is labelled.

    Attributes:
        scene: The world.
        camera: The front camera; its name keys images and truth.

    Raises:
        PerceptionError: Unknown preset, or numbers out of range.
    """

    def __init__(
        self,
        seed: int,
        preset: str | SceneConfig = "random",
        n_frames: int = 50,
        fps: float = 10.0,
        size: tuple[int, int] = (960, 540),
        camera: Camera | None = None,
        truth: TruthConfig | None = None,
    ) -> None:
        if n_frames < 1 or not 0 < fps <= 1000 or seed < 0:
            raise PerceptionError(f"drive: expected seed >= 0, n_frames >= 1, fps > 0, found {seed}, {n_frames}, {fps}")
        if camera is not None and camera.ego_from_camera is None:
            raise PerceptionError(f"drive: camera {camera.name!r} has no pose in the ego frame (ego_from_camera)")
        cv2.setNumThreads(1)
        self.seed, self.n_frames, self.fps, self.truth = int(seed), int(n_frames), float(fps), truth
        self.name = preset if isinstance(preset, str) else "custom"
        world_seed, view_seed = (np.random.default_rng(s) for s in np.random.SeedSequence([seed, 1]).spawn(2))
        seconds = self.n_frames / self.fps
        self.scene = random_scene(world_seed, presets.get(preset), length=480.0 + 40.0 * seconds, seconds=seconds)
        self.camera = camera or random_camera(view_seed, size)
        effects = random_effects(view_seed, bool(self.scene.tags["night"]), float(self.scene.tags["wet"]))
        self.effects = replace(effects, scale=1.0, exposure=float(np.clip(effects.exposure, 0.7, 1.4)))
        self._bounce = tuple(view_seed.uniform([0.0005, 5.0, 0.0], [0.004, 9.0, 6.28]))
        self._rays = pixel_rays(self.camera)
        self._world: RayWorld | None = None

    def __len__(self) -> int:
        return self.n_frames

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(self.n_frames))

    def __getitem__(self, index: int) -> Frame:
        """Frame ``index``; same bytes whatever was asked for before."""
        if not 0 <= index < self.n_frames:
            raise IndexError(f"frame {index} of {self.n_frames}")
        view = self.view(index)
        world = self._geometry(view)
        size = self.camera.size
        radiance, _ = render(self.scene, view, world, self._rays, grid=True)
        noise = np.random.default_rng([self.seed, 2, index])
        windscreen = np.random.default_rng([self.seed, 3])
        linear = radiance.reshape(size[1], size[0], 3)
        image = develop(linear, self.effects, size, 0, noise, windscreen)
        lanes, _ = trace_lanes(self.scene, view, world, self.truth)
        name = self.camera.name
        return Frame(
            timestamp_ns=START_NS + round(index * 1e9 / self.fps),
            index=index,
            images={name: image},
            calibration=Calibration({name: self.camera}),
            ego_pose=view.world_from_ego,
            truth={f"{name}/lanes_2d": lanes},
            provenance=Provenance(f"sim:{self.name}:{self.seed}", "SimulatedDrive", str(index)),
        )

    def view(self, index: int) -> View:
        """Camera pose of a frame: motion along the road with a slight pitch bounce of the body."""
        time = index / self.fps
        amplitude, rate, phase = self._bounce
        return view_at(self.scene, self.camera, time, amplitude * float(np.sin(rate * time + phase)))

    def lane_ids(self, index: int) -> tuple[int, ...]:
        """Identity of each truth lane of a frame: the index of its line mark, the same throughout the drive."""
        view = self.view(index)
        return trace_lanes(self.scene, view, self._geometry(view), self.truth)[1]

    def _geometry(self, view: View) -> RayWorld:
        """Ray-casting geometry around the ego; the static part is kept while the ego is within its window."""
        anchor = float(np.floor(view.station / _WINDOW) * _WINDOW)
        if self._world is None or self._world.anchor != anchor:
            self._world = RayWorld(self.scene, anchor, view.time, ahead=_WINDOW)
        self._world.move(self.scene, view.station, view.time)
        return self._world
