"""Single pictures of crowds with labelled heads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from perception.errors import PerceptionError
from perception.geometry.camera import Camera
from perception.sim.crowd.backdrop import random_backdrop
from perception.sim.crowd.layout import random_places, random_site
from perception.sim.crowd.people import dress
from perception.sim.crowd.render import CrowdRenderer, CrowdScene, SeenHeads
from perception.sim.crowd.shade import Pavement
from perception.sim.sensors.camera import Effects, develop
from perception.sim.world.look import random_light

MAX_PEOPLE = 1500
VISIBLE_SHARE = 0.3
"""A head is labelled from this visible share of a circle of its size on."""


@dataclass(frozen=True, eq=False)
class CrowdSample:
    """One simulated picture.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        points: (N, 2) float32 (x, y) of the labelled heads in pixels, pixel centres at integers.
        camera: The camera.
        meta: What the scene is.
    """

    image: np.ndarray
    points: np.ndarray
    camera: Camera
    meta: dict[str, Any] = field(default_factory=dict)


def random_people(rng: np.random.Generator) -> int:
    """How many people to place, 0 to `MAX_PEOPLE`: nobody in one picture of sixteen, else small and large crowds."""
    if rng.random() < 1 / 16:
        return 0
    if rng.random() < 0.7:
        return round(float(np.exp(rng.uniform(np.log(4), np.log(MAX_PEOPLE)))))
    return int(rng.integers(1, MAX_PEOPLE + 1))


def render_crowd_sample(seed: int, size: tuple[int, int] = (1024, 768), people: int | None = None) -> CrowdSample:
    """A random picture of a crowd.

    Heads whose middle lies in the picture and of which at least `VISIBLE_SHARE` can be seen are labelled, as
    annotators do, at the middle of what can be seen; people behind others, under umbrellas or cut off by the border
    are not.

    Args:
        seed: Same seed, size and people: same bytes. Seeds from 900,000 on are held out from training.
        size: (width, height) in pixels.
        people: How many to place; random when None. Fewer are labelled, since some are hidden.

    Raises:
        PerceptionError: Numbers out of range.
    """
    if seed < 0 or min(size) < 16 or (people is not None and not 0 <= people <= 5000):
        raise PerceptionError(
            f"render_crowd_sample: expected seed >= 0, size >= 16, people <= 5000, found {seed}, {size}, {people}"
        )
    cv2.setNumThreads(1)
    world, pixels = (np.random.default_rng(child) for child in np.random.SeedSequence([seed, 8]).spawn(2))
    scene, meta = random_scene(world, size, people)
    radiance, seen = CrowdRenderer(scene).render()
    image = develop(radiance, random_lens(world, meta["night"]), size, 0, pixels, pixels)
    return CrowdSample(image, labelled(scene, seen), scene.site.camera, {"seed": seed, **meta})


def labelled(scene: CrowdScene, seen: SeenHeads) -> np.ndarray:
    """(M, 2) float32 points of the heads that annotators would mark, see `render_crowd_sample`."""
    center = scene.site.project(scene.people.head_centers())
    with np.errstate(invalid="ignore"):
        inside = (center >= -0.5).all(1) & (center < np.array(scene.site.camera.size) - 0.5).all(1)
    return seen.middle[inside & (seen.share >= VISIBLE_SHARE)].astype(np.float32)


def random_scene(
    world: np.random.Generator, size: tuple[int, int], people: int | None
) -> tuple[CrowdScene, dict[str, Any]]:
    """What a camera of ``size`` sees, and facts about it; arguments as of :func:`render_crowd_sample`."""
    wanted = random_people(world)
    if people is None:  # smaller pictures show fewer people
        people = min(wanted, round(MAX_PEOPLE * size[0] * size[1] / (1024 * 768)))
    site = random_site(world, size, people)
    backdrop, blocked = random_backdrop(world, site)
    places, yaw, seated = random_places(world, site, people, blocked)
    night = bool(world.random() < 0.08)
    fog = float(world.choice([0.0, 0.002, 0.01], p=[0.6, 0.3, 0.1]))
    light = random_light(world, night, fog)
    if night:
        light = light._replace(ambient=tuple(0.15 + value for value in light.ambient))
    scene = CrowdScene(site, dress(world, places, yaw, seated), backdrop, random_pavement(world), _floats(light),
                       float(world.uniform(0.2, 0.8)) if night else 0.0)  # fmt: skip
    return scene, {"placed": len(places), "night": night, "stand": site.rise > 0}


def random_pavement(rng: np.random.Generator) -> Pavement:
    """Slabs, bricks, asphalt, grass or sand."""
    kind = rng.random()
    tone = rng.uniform(0.08, 0.5)
    warm = np.array([1 + rng.uniform(-0.05, 0.2), 1.0, 1 - rng.uniform(-0.05, 0.2)])
    first, second = tone * warm, tone * warm * rng.uniform(0.6, 1.5)
    common: dict[str, Any] = {
        "angle": rng.uniform(0, np.pi),
        "seed": rng.uniform(0, 200),
        "grain": rng.uniform(0.02, 0.2),
    }
    common["mottle"] = rng.uniform(0.02, 0.15)
    if rng.random() < 0.25:
        common.update(
            stripes=rng.uniform(0.9, 6), band=rng.uniform(0.05, 0.5), paint=tuple(tone * rng.uniform(0.5, 1.8, 3))
        )
    if kind < 0.15:  # grass, earth
        green = np.array([0.10, 0.16, 0.05]) * rng.uniform(0.5, 1.6) if rng.random() < 0.6 else first
        return Pavement(tuple(green), tuple(green * 0.8), (0.3, 0.3), 0.0, 1.0, 0.0, variety=0.3,
                        **{**common, "grain": 0.35, "mottle": 0.2})  # fmt: skip
    if kind < 0.4:  # asphalt, concrete
        return Pavement(tuple(first), tuple(first), (6, 6), rng.choice([0.0, 0.02]), 0.6, 0.0, variety=0.1, **common)
    slab = float(np.exp(rng.uniform(np.log(0.1), np.log(2.0))))
    shape = (slab * rng.choice([1.0, 1.0, 2.0]), slab)
    return Pavement(tuple(first), tuple(second), shape, min(0.015, slab * 0.06) * rng.uniform(0.3, 1.5),
                    rng.uniform(0.3, 1.3), rng.choice([0.0, 0.5]), variety=rng.uniform(0, 1), **common)  # fmt: skip


def random_lens(rng: np.random.Generator, night: bool) -> Effects:
    """A phone, a street camera or a surveillance camera."""
    return Effects(
        exposure=float(np.exp(rng.normal(0.1, 0.3))),
        gamma=rng.uniform(2.0, 2.4),
        contrast=rng.uniform(0.0, 0.9),
        saturation=rng.uniform(0.6, 1.35) if rng.random() < 0.93 else 0.0,
        cast=tuple(np.exp(rng.normal(0, 0.06, 3))),
        vignette=rng.uniform(0, 0.4) * (rng.random() < 0.4),
        veil=rng.uniform(0, 0.1) * (rng.random() < 0.25),
        bloom=rng.uniform(0, 0.2),
        blur=rng.uniform(0.3, 1.1) * (rng.random() < 0.45),
        noise=rng.uniform(2, 9) if night else rng.uniform(0.3, 5),
        jpeg=int(rng.integers(45, 96)),
        sharpen=rng.uniform(0, 1.2) * (rng.random() < 0.5),
    )


def _floats(table):  # type: ignore[no-untyped-def]
    as_float = (tuple(map(float, value)) if isinstance(value, tuple) else float(value) for value in table)
    return type(table)(*as_float)
