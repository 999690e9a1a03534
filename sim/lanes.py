"""Single pictures with lane truth, for training lane detectors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from perception.errors import PerceptionError
from perception.geometry.camera import Camera
from perception.sim import presets
from perception.sim.sensors.camera import Effects, develop, random_camera, random_effects
from perception.sim.sensors.raycast import RayWorld
from perception.sim.sensors.render import pixel_rays, render, view_at
from perception.sim.truth import TruthConfig, lane_truth
from perception.sim.world.builder import SceneConfig, random_scene
from perception.sim.world.scene import Scene
from perception.structures import Lanes2D


@dataclass(frozen=True, eq=False)
class LaneSample:
    """One simulated picture.

    Attributes:
        image: (H, W, 3) uint8 RGB; rows above ``rows_from`` are black when it was given.
        lanes: Truth in pixels of ``image``.
        camera: The camera, with extrinsics.
        meta: What the scene is (family, night, wet, seed, ...).
    """

    image: np.ndarray
    lanes: Lanes2D
    camera: Camera
    meta: dict[str, Any] = field(default_factory=dict)


def sample_scene(seed: int, preset: str | SceneConfig = "random") -> Scene:
    """The scene that :func:`render_lane_sample` renders for a seed."""
    return random_scene(_generators(seed)[0], presets.get(preset))


def _generators(seed: int) -> list[np.random.Generator]:
    """Independent sources for the world, the camera and the pixels of a sample."""
    return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3)]


def render_lane_sample(
    seed: int,
    preset: str | SceneConfig = "random",
    size: tuple[int, int] | None = None,
    rows_from: float = 0.0,
    truth: TruthConfig | None = None,
) -> LaneSample:
    """A random front-camera picture of a road with exact lane truth.

    Args:
        seed: Same seed, preset, size and rows_from: same bytes. Seeds from 900,000 on are held out from training.
        preset: Name in :data:`perception.sim.presets.PRESETS`, or settings.
        size: (width, height); drawn from :data:`perception.sim.presets.TRAINING_SIZES` when None.
        rows_from: Share of the height that is left black at the top, for speed, within [0, 0.9].
        truth: What is labelled; the default is up to four lines around the ego.

    Raises:
        PerceptionError: Unknown preset, or numbers out of range.
    """
    if not 0 <= rows_from <= 0.9:
        raise PerceptionError(f"render_lane_sample: rows_from: expected within [0, 0.9], found {rows_from}")
    if seed < 0:
        raise PerceptionError(f"render_lane_sample: seed: expected 0 or more, found {seed}")
    cv2.setNumThreads(1)
    scene, camera, effects, pixel_seed = _setting(seed, preset, size)
    size = camera.size
    first = int(rows_from * size[1])
    drawn = camera.resized(round(size[0] * effects.scale), round(size[1] * effects.scale))
    view = view_at(scene, camera)
    world = RayWorld(scene, view.station, 0.0)
    drawn_first = round(first * effects.scale)
    radiance, _ = render(scene, view_at(scene, drawn), world, pixel_rays(drawn, drawn_first), grid=True)
    linear = radiance.reshape(drawn.height - drawn_first, drawn.width, 3)
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[first:] = develop(linear, effects, size, first, pixel_seed, pixel_seed)
    lanes = lane_truth(scene, view, world, truth)
    return LaneSample(image, lanes, camera, {**scene.tags, "seed": seed, "effects": effects})


def lane_labels(
    seed: int,
    preset: str | SceneConfig = "random",
    size: tuple[int, int] | None = None,
    truth: TruthConfig | None = None,
) -> Lanes2D:
    """The lanes of :func:`render_lane_sample` without its picture, several times faster."""
    scene, camera, _, _ = _setting(seed, preset, size)
    view = view_at(scene, camera)
    return lane_truth(scene, view, RayWorld(scene, view.station, 0.0), truth)


def lane_category(seed: int, preset: str | SceneConfig, size: tuple[int, int] | None, empty: bool) -> str:
    """The test category of CULane that a sample belongs to, the first that fits.

    Night; without lanes ``cross`` where bars or stop lines lie ahead, else ``noline``; ``hlight`` with glare on the
    lens; ``crowd`` with six vehicles within 60 m ahead; ``arrow`` with one within 40 m; ``curve`` below a radius of
    400 m; ``shadow`` where a fifth of the way ahead lies in the shadow of something; ``normal``.

    Args:
        seed: As for :func:`render_lane_sample`.
        preset: The same.
        size: The same.
        empty: Whether it has no lanes.
    """
    scene, camera, effects, _ = _setting(seed, preset, size)
    view = view_at(scene, camera)
    ahead = {d.shape for d in scene.decals if 4 < d.s0 - view.station < 40}
    if scene.tags["night"]:
        return "night"
    if empty:
        return "cross" if "rect" in ahead else "noline"
    if effects.glare[3] > 0:
        return "hlight"
    if sum(2 < vehicle.station(0.0) - view.station < 60 for vehicle in scene.vehicles) >= 6:
        return "crowd"
    if "triangle" in ahead:
        return "arrow"
    if scene.tags["bend"] > 1 / 400:
        return "curve"
    return "shadow" if _shaded(scene, view.station) > 0.2 else "normal"


def _shaded(scene: Scene, station: float) -> float:
    """Share of the ego's way over the next 40 m that the sun does not reach; 0 without sun."""
    if max(scene.light.sun) <= 0.05:
        return 0.0
    places = np.arange(station + 4.0, station + 40.0, 0.5)
    points = scene.road.points(places, np.full(len(places), scene.ego.d)).astype(np.float32)
    sun = np.array(scene.light.sun_dir, np.float32)
    return 1.0 - float(RayWorld(scene, station, 0.0).sunlit(points, sun).mean())


def _setting(
    seed: int, preset: str | SceneConfig, size: tuple[int, int] | None
) -> tuple[Scene, Camera, Effects, np.random.Generator]:
    """Scene, camera and lens of a sample, and the generator of its pixels."""
    scene = sample_scene(seed, preset)
    _, view_seed, pixel_seed = _generators(seed)
    if size is None:
        size = presets.TRAINING_SIZES[int(view_seed.integers(len(presets.TRAINING_SIZES)))]
    camera = random_camera(view_seed, size)
    effects = random_effects(view_seed, bool(scene.tags["night"]), float(scene.tags["wet"]))
    return scene, camera, effects, pixel_seed
