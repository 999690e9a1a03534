"""Random pavement, weather and daylight."""

from __future__ import annotations

import numpy as np

from perception.sim.world.scene import Light, Seam, Surface
from perception.sim.world.section import CONCRETE, Section


def random_surface(rng: np.random.Generator, section: Section, wet: float, daylight: bool) -> Surface:
    """Wear, joints, cracks and cast shadows of a pavement."""
    concrete = any(strip.material == CONCRETE and strip.d1 - strip.d0 > 3 for strip in section.strips)
    shaded = daylight and rng.random() < 0.22
    dappled = daylight and rng.random() < 0.22
    begin = rng.uniform(-10, 60)
    return Surface(
        grain=rng.uniform(0.03, 0.22),
        mottle=rng.uniform(0.02, 0.16),
        streaks=rng.uniform(0.0, 0.08),
        tracks=rng.uniform(-0.12, 0.22),
        oil=rng.uniform(-0.02, 0.25),
        cracks=max(0.0, rng.uniform(-0.8, 1.0)),
        joint_period=_joint_period(rng, concrete),
        joint_width=rng.uniform(0.01, 0.06),
        joint_tone=rng.uniform(0.25, 0.8),
        wet=wet,
        puddles=rng.uniform(0, 0.7) if wet else 0.0,
        dapple=rng.uniform(0.4, 0.95) if dappled else 0.0,
        dapple_scale=float(np.exp(rng.uniform(np.log(0.25), np.log(3)))),
        shade_from=begin if shaded else 1e6,
        shade_to=begin + rng.uniform(1.5, 40) if shaded else 2e6,
        shade_slant=rng.uniform(-1.5, 1.5),
        shade_soft=rng.uniform(0.03, 0.6),
        offset_x=rng.uniform(0, 200),
        offset_y=rng.uniform(0, 200),
    )  # fmt: skip


def _joint_period(rng: np.random.Generator, concrete: bool) -> float:
    """Distance of transverse joints: short for slabs, long or none for asphalt."""
    if concrete and rng.random() < 0.8:
        return rng.uniform(4, 8)
    return rng.uniform(10, 40) if rng.random() < 0.15 else 0.0


def random_seams(rng: np.random.Generator, section: Section) -> tuple[Seam, ...]:
    """Tar seams, longitudinal joints, skid marks: along the road like lines, but dark or thin."""
    seams = []
    right, left = section.tags.get("right", -4.0), section.tags.get("left", 4.0)
    low, high = min(right, left), max(right, left)
    if rng.random() < 0.45:  # joints near the lane borders
        shift, tone, width = rng.uniform(-0.4, 0.4), rng.uniform(0.3, 0.75), rng.uniform(0.015, 0.08)
        for lane in section.lanes:
            seams.append(Seam(lane.center + lane.width / 2 + shift, width, tone, 0.01))
    for _ in range(rng.poisson(0.9)):  # sealed cracks
        begin = rng.uniform(-20, 80)
        seams.append(
            Seam(rng.uniform(low, high), rng.uniform(0.03, 0.12), rng.uniform(0.2, 0.6), rng.uniform(0.02, 0.4),
                 begin, begin + rng.uniform(10, 120), rng.uniform(0.03, 0.4))
        )  # fmt: skip
    if rng.random() < 0.12:  # skid marks
        begin, d = rng.uniform(0, 40), rng.uniform(-3, 3)
        for side in (-0.75, 0.75):
            seams.append(Seam(d + side, 0.2, rng.uniform(0.55, 0.8), 0.1, begin, begin + rng.uniform(8, 40), 0.02))
    if rng.random() < 0.12:  # a pale scratch or worn strip, brighter than the road
        seams.append(
            Seam(rng.uniform(low, high), rng.uniform(0.05, 0.5), rng.uniform(1.05, 1.25), rng.uniform(0.02, 0.2))
        )
    return tuple(seams)


def random_light(rng: np.random.Generator, night: bool, fog: float) -> Light:
    """Sun, sky and horizon; ``fog`` is the extinction in 1/m."""
    azimuth = rng.uniform(-np.pi, np.pi)
    overcast = rng.random() < 0.28
    low = rng.random() < 0.25 and not overcast
    elevation = rng.uniform(0.08, 0.3) if low else rng.uniform(0.4, 1.4)
    sun_dir = (np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation))
    hills = (rng.uniform(0, 0.05) * (rng.random() < 0.8), rng.uniform(0, 0.12) * (rng.random() < 0.5))
    green = rng.random()
    hill = (0.05 + 0.12 * (1 - green), 0.07 + 0.07 * (1 - green), 0.04 + 0.04 * (1 - green))
    common = {"sun_dir": sun_dir, "fog": fog, "hills": hills, "hill_color": hill, "seed": rng.uniform(0, 100)}
    if night:
        glow = rng.uniform(0.003, 0.05)
        warm = rng.uniform(0.5, 1.0)
        return Light(
            sun=(0.0, 0.0, 0.0), ambient=(glow, glow * (0.6 + 0.4 * warm), glow * warm), zenith=(0.002, 0.003, 0.006),
            horizon=(glow * 1.2, glow, glow * warm), cloud=rng.uniform(0, 0.5), cloud_tone=0.5,
            headlights=rng.uniform(0.4, 1.5), lamps=rng.uniform(0.2, 1.5) * (rng.random() < 0.65),
            lights_on=rng.uniform(0.6, 1.5), **common,
        )  # fmt: skip
    if overcast:
        tone = rng.uniform(0.6, 1.2)
        weak = rng.uniform(0.0, 0.25)
        return Light(
            sun=(weak, weak, weak), ambient=(tone * 0.97, tone, tone * rng.uniform(0.98, 1.08)),
            zenith=(tone * 0.8,) * 3,
            horizon=(tone * 1.1,) * 3, cloud=rng.uniform(0.6, 1.0), cloud_tone=rng.uniform(0.7, 1.1),
            cloud_scale=rng.uniform(0.1, 0.5), lights_on=rng.choice([0.0, 0.8]), **common,
        )  # fmt: skip
    warm = np.clip(1.2 - elevation * 2.5, 0, 1) * rng.uniform(0.3, 1)
    power = rng.uniform(0.8, 1.6)
    sky = rng.uniform(0.18, 0.5)
    return Light(
        sun=(power, power * (0.95 - 0.3 * warm), power * (0.88 - 0.55 * warm)),
        ambient=(sky * 0.8, sky * 0.92, sky * 1.12),
        zenith=(0.10 + 0.1 * rng.random(), 0.22 + 0.12 * rng.random(), 0.55 + 0.3 * rng.random()),
        horizon=(0.55 + 0.3 * warm, 0.7 - 0.1 * warm, 0.9 - 0.45 * warm),
        cloud=rng.choice([0.0, 0.2, 0.4, 0.6]) * rng.uniform(0.6, 1.2),
        cloud_tone=rng.uniform(0.9, 1.3),
        cloud_scale=rng.uniform(0.1, 0.6),
        lights_on=rng.choice([0.0, 0.0, 0.0, 0.8]),
        **common,
    )
