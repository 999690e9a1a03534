"""Paint and patches on the road that are no lane lines: arrows, text, crosswalks, stop lines, hatching, manholes."""

from __future__ import annotations

import numpy as np

from perception.sim.world.scene import Decal
from perception.sim.world.section import Lane, Section


def arrow(s: float, d: float, color: tuple[float, float, float], size: float = 1.0, direction: int = 1) -> list[Decal]:
    """A straight arrow of about 4 m, tip towards the direction of travel."""
    shaft, tip = 2.6 * size * direction, 1.6 * size * direction
    triangle = Decal(s + shaft, s + shaft + tip, d - 0.45 * size, d + 0.45 * size, color, "triangle")
    a, b = sorted((s, s + shaft))
    return [Decal(a, b, d - 0.08 * size, d + 0.08 * size, color), triangle]


def turn_arrow(s: float, d: float, color: tuple[float, float, float], side: int) -> list[Decal]:
    """An arrow with a bent head to the left (+1) or right (-1)."""
    return [
        Decal(s, s + 2.4, d - 0.08, d + 0.08, color),
        Decal(s + 2.1, s + 2.5, d, d + side * 0.7, color),
        Decal(s + 1.7, s + 2.9, d + side * 0.7, d + side * 0.95, color),
    ]


def text(rng: np.random.Generator, s: float, d: float, color: tuple[float, float, float]) -> list[Decal]:
    """Letter-like strokes, stretched along the road."""
    letters, tall = int(rng.integers(2, 6)), rng.uniform(1.6, 3.5)
    width = min(2.4 / letters, 0.6)
    decals = []
    for i in range(letters):
        left = d + (letters / 2 - i) * width * 1.15
        for _ in range(int(rng.integers(2, 4))):
            if rng.random() < 0.5:
                x = left - width * rng.choice([0.1, 0.5, 0.9])
                decals.append(Decal(s, s + tall, x - 0.06, x + 0.06, color))
            else:
                y = s + tall * rng.choice([0.05, 0.5, 0.95])
                decals.append(Decal(y - 0.12, y + 0.12, left - width, left, color))
    return decals


def crosswalk(s: float, low: float, high: float, color: tuple[float, float, float], bars: bool) -> list[Decal]:
    """Zebra bars along the road, or two lines across it, between offsets."""
    if not bars:
        return [Decal(s, s + 0.3, low, high, color), Decal(s + 3, s + 3.3, low, high, color)]
    return [Decal(s, s + 3.5, d, d + 0.45, color) for d in np.arange(low + 0.3, high - 0.4, 1.0)]


def road_paint(rng: np.random.Generator, section: Section, family: str, length: float) -> tuple[Decal, ...]:
    """Random decals for a section.

    Args:
        rng: Source of randomness.
        section: Cross-section.
        family: Road family; cities have more of everything.
        length: Length of road, metres; features repeat every few hundred metres.
    """
    tone = rng.uniform(0.35, 0.8)
    white = (tone, tone, tone * 0.96)
    city = family.startswith("city") or family == "wild"
    low, high = sorted((section.tags.get("right", -5.0), section.tags.get("left", 5.0)))
    decals = _patches(rng, low, high)
    own = [lane for lane in section.lanes if lane.direction > 0]
    for begin in np.arange(0, max(length - 150, 1), 150.0).tolist():
        decals += _symbols(rng, own, begin, white, city)
        if rng.random() < (0.3 if city else 0.02):
            s = begin + rng.uniform(4, 60)
            decals += crosswalk(s, low, high, white, bars=rng.random() < 0.6)
            if rng.random() < 0.6:
                decals.append(Decal(s - 1.6, s - rng.uniform(1.1, 1.3), low, high, white))
        if rng.random() < 0.05:  # slow-down bars across a lane
            lane = own[int(rng.integers(len(own)))]
            for i in range(int(rng.integers(3, 9))):
                s, half = begin + 15 + 2.5 * i, lane.width * 0.42
                decals.append(Decal(s, s + 0.4, lane.center - half, lane.center + half, white))
        if rng.random() < 0.06:  # hatched area beside the lanes
            edge, side = (low, 1) if rng.random() < 0.5 else (high, -1)
            for i in range(10):
                s = begin + 10 + 3.0 * i
                decals.append(Decal(s, s + 0.5, edge, edge + side * rng.uniform(0.6, 1.4), white))
    return tuple(decals)


def _patches(rng: np.random.Generator, low: float, high: float) -> list[Decal]:
    """Repairs, stains, manholes."""
    decals = []
    for _ in range(rng.poisson(1.6)):
        s, d = rng.uniform(0, 60), rng.uniform(low, high)
        factor = rng.choice([rng.uniform(0.5, 0.9), rng.uniform(1.1, 1.5)])
        shape = (rng.uniform(0.5, 25), rng.uniform(0.4, 3.5))
        decals.append(Decal(s, s + shape[0], d, d + shape[1], (factor,) * 3, "patch", 1.0))
    for _ in range(rng.poisson(0.8)):
        s, d, r = rng.uniform(4, 40), rng.uniform(low, high), rng.uniform(0.3, 0.4)
        dark = rng.uniform(0.02, 0.12)
        decals.append(Decal(s - r, s + r, d - r, d + r, (dark, dark, dark), "disk", 0.85))
    return decals


def _symbols(rng, lanes: list[Lane], begin: float, white, city: bool) -> list[Decal]:  # type: ignore[no-untyped-def]
    decals: list[Decal] = []
    for lane in lanes:
        pick = rng.random()
        s = begin + rng.uniform(4, 50)
        if pick < (0.22 if city else 0.05):
            decals += arrow(s, lane.center, white, rng.uniform(0.9, 1.5))
        elif pick < (0.32 if city else 0.07):
            decals += turn_arrow(s, lane.center, white, int(rng.choice([-1, 1])))
        elif pick < (0.42 if city else 0.10):
            decals += text(rng, s, lane.center, white)
    return decals
