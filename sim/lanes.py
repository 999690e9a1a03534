"""Single pictures with lane truth, for training lane detectors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from perception.errors import PerceptionError
from perception.geometry.camera import Camera
from perception.sim import presets
from perception.sim.sensors.camera import develop, random_camera, random_effects
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
    scene = sample_scene(seed, preset)
    _, view_seed, pixel_seed = _generators(seed)
    if size is None:
        size = presets.TRAINING_SIZES[int(view_seed.integers(len(presets.TRAINING_SIZES)))]
    camera = random_camera(view_seed, size)
    effects = random_effects(view_seed, bool(scene.tags["night"]), float(scene.tags["wet"]))
    first = int(rows_from * size[1])
    drawn = camera.resized(round(size[0] * effects.scale), round(size[1] * effects.scale))
    view = view_at(scene, camera)
    world = RayWorld(scene, view.station, 0.0)
    drawn_first = round(first * effects.scale)
    radiance, _ = render(scene, view_at(scene, drawn), world, pixel_rays(drawn, drawn_first))
    linear = radiance.reshape(drawn.height - drawn_first, drawn.width, 3)
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[first:] = develop(linear, effects, size, first, pixel_seed, pixel_seed)
    lanes = lane_truth(scene, view, world, truth)
    return LaneSample(image, lanes, camera, {**scene.tags, "seed": seed, "effects": effects})
