"""Shading of the ground: pavement, its paint and its damage, evaluated per pixel in road coordinates.

Every thin feature is filtered analytically with the pixel's footprint along and across the road, so that lines far away
keep their mean brightness instead of breaking up.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from perception.sim.sensors.noise import sample, smoothstep
from perception.sim.world.scene import Scene
from perception.sim.world.section import ASPHALT, CONCRETE, GRASS, GRAVEL, KERB, PAVING, SOIL

_SHAPES = {"rect": 0.0, "triangle": 1.0, "disk": 2.0, "patch": 3.0}


def stripe_table(scene: Scene) -> np.ndarray:
    """(K, 16) float64 table of single stripes, columns as unpacked in :func:`shade_ground`."""
    rows = []
    for mark in scene.section.marks:
        for stripe in mark.stripes():
            solid = stripe.style == "solid"
            dots = stripe.style == "dots"
            paint, period = (1.0, 1.0) if solid else (stripe.paint, stripe.paint + stripe.gap)
            begin, length, shift = stripe.taper
            rows.append(
                [stripe.offset, begin, length, shift, stripe.width / 2, paint, period, stripe.phase]
                + [*stripe.color, stripe.opacity, stripe.wear, float(solid), 0.1 if dots else 0.0, 1.2]
            )
    return np.array(rows, dtype=np.float64).reshape(-1, 16)


def decal_table(scene: Scene) -> np.ndarray:
    """(K, 9) float64: s0, s1, d0, d1, r, g, b, opacity, shape."""
    rows = [[d.s0, d.s1, min(d.d0, d.d1), max(d.d0, d.d1), *d.color, d.opacity, _SHAPES[d.shape]] for d in scene.decals]
    return np.array(rows, dtype=np.float64).reshape(-1, 9)


def seam_table(scene: Scene) -> np.ndarray:
    """(K, 7) float64: offset, half width, tone, wiggle, s0, s1, scale."""
    rows = [[m.offset, m.width / 2, m.tone, m.wiggle, m.s0, m.s1, m.scale] for m in scene.seams]
    return np.array(rows, dtype=np.float64).reshape(-1, 7)


def strip_table(scene: Scene) -> np.ndarray:
    """(M, 4) float64: material, r, g, b."""
    return np.array([[strip.material, *strip.color] for strip in scene.section.strips], dtype=np.float64)


def lane_table(scene: Scene) -> np.ndarray:
    """(N, 2) float64: centre and width of the lanes."""
    return np.array([[lane.center, lane.width] for lane in scene.section.lanes], dtype=np.float64)


def car_table(scene: Scene, station: float, time: float) -> np.ndarray:
    """(K, 4) float64: s, d, half length, half width of the vehicles around ``station`` at ``time``."""
    near = [v for v in scene.vehicles if -15 < v.station(time) - station < 150]
    rows = [[v.station(time), v.d, v.size[0] / 2, v.size[1] / 2] for v in near]
    return np.array(rows, np.float64).reshape(-1, 4)


def tables(scene: Scene, station: float, time: float) -> tuple[np.ndarray, ...]:
    """Everything :func:`shade_ground` reads about a scene at one instant, as arrays."""
    fixed = (strip_table(scene), lane_table(scene), stripe_table(scene), seam_table(scene), decal_table(scene))
    return (*fixed, car_table(scene, station, time))


@njit(cache=True, fastmath=True, inline="always")
def _covered(center: float, footprint: float, low: float, high: float) -> float:
    """Share of the interval of length ``footprint`` around ``center`` that lies within [low, high]."""
    half = footprint * 0.5
    return max(min(center + half, high) - max(center - half, low), 0.0) / footprint


@njit(cache=True, fastmath=True, inline="always")
def _dashes(x: float, footprint: float, paint: float, period: float) -> float:
    """Share of paint of a periodic dash pattern within ``footprint`` around ``x``."""
    a, b = (x - footprint * 0.5) / period, (x + footprint * 0.5) / period
    fa, fb = np.floor(a), np.floor(b)
    share = paint / period
    total = (fb - fa) * share + min(b - fb, share) - min(a - fa, share)
    return total * period / footprint


@njit(cache=True, fastmath=True)
def _base(tex, material, s, d, fs, fd, surface):  # type: ignore[no-untyped-def]
    """Brightness factor of the unpainted material at (s, d)."""
    x, y = s + surface.offset_x, d + surface.offset_y
    foot = max(min(fs, 4 * fd), fd)
    fine = min(1.0, 0.02 / foot) * sample(tex, x * 50, y * 50, 0)
    if material in (ASPHALT, CONCRETE):
        middle = min(1.0, 0.15 / foot) * sample(tex, x * 7.1, y * 7.3, 0)
        value = 1 + surface.grain * (fine + 0.5 * middle)
        value += surface.mottle * (0.6 * sample(tex, x * 1.7, y * 2.3, 2) + 0.4 * sample(tex, x * 0.31, y * 0.9, 1))
        value += surface.streaks * sample(tex, x * 0.15, y * 9.0, 1) * min(1.0, 0.5 / fd)
        return value
    if material in (GRASS, SOIL, GRAVEL):
        coarse = 0.26 if material != GRAVEL else 0.12
        middle = min(1.0, 0.2 / foot) * sample(tex, x * 5.3, y * 5.1, 0)
        return 1 + coarse * sample(tex, x * 1.3, y * 1.9, 2) + 0.22 * middle + 0.3 * fine
    if material == PAVING:
        joint = _dashes(s, fs, 0.03, 0.6) + _dashes(d, fd, 0.03, 0.6)
        return (1 + 0.08 * sample(tex, x * 1.6, y * 1.6, 0) + 0.1 * fine) * (1 - 0.4 * min(joint, 1.0))
    if material == KERB:
        return (1 + 0.1 * fine) * (1 - 0.5 * _dashes(s, fs, 0.03, 1.0))
    return 1 + 0.1 * sample(tex, x * 0.7, y * 3, 1)


@njit(cache=True, fastmath=True)
def _pavement(tex, s, d, fs, fd, surface, lanes, seams):  # type: ignore[no-untyped-def]
    """Brightness factor of wear, joints, cracks and seams on pavement."""
    x, y = s + surface.offset_x, d + surface.offset_y
    value = 1.0
    for i in range(lanes.shape[0]):
        aside = abs(d - lanes[i, 0])
        if aside < lanes[i, 1] * 0.5:
            track = np.exp(-(((aside - 0.82) / 0.3) ** 2))
            value *= 1 - surface.tracks * track - surface.oil * np.exp(-((aside / 0.35) ** 2))
    if surface.joint_period > 0:
        share = _dashes(s, fs, surface.joint_width, surface.joint_period)
        value *= 1 - share * (1 - surface.joint_tone)
    if surface.cracks > 0 and max(fd, 0.3 * fs) < 0.25:
        ridge = abs(sample(tex, x * 1.9, y * 2.1, 2) + 0.3 * sample(tex, x * 9, y * 9, 1))
        where = smoothstep(0.2, 0.9, sample(tex, x * 0.21, y * 0.4, 1) + surface.cracks - 0.6)
        value *= 1 - 0.5 * where * (1 - smoothstep(0.01, 0.04 + 0.5 * fd, ridge)) * min(1.0, 0.03 / fd)
    for i in range(seams.shape[0]):
        if s < seams[i, 4] or s > seams[i, 5]:
            continue
        center = seams[i, 0]
        if abs(d - center) > seams[i, 1] + 3 * seams[i, 3] + fd:
            continue
        center += seams[i, 3] * sample(tex, x * seams[i, 6] * 8, 7.0 * i + 0.5, 1)
        value *= 1 - _covered(d - center, fd, -seams[i, 1], seams[i, 1]) * (1 - seams[i, 2])
    return value


@njit(cache=True, fastmath=True)
def _paint(tex, rgb, s, d, fs, fd, stripes, surface):  # type: ignore[no-untyped-def]
    """Lay the lane lines over ``rgb`` in place; returns the share of paint."""
    x, y = s + surface.offset_x, d + surface.offset_y
    most = 0.0
    for i in range(stripes.shape[0]):
        t = min(max((s - stripes[i, 1]) / stripes[i, 2], 0.0), 1.0)
        aside = d - stripes[i, 0] - stripes[i, 3] * t * t * (3 - 2 * t)
        half, wear = stripes[i, 4], stripes[i, 12]
        if abs(aside) > half + fd + 0.05:
            continue
        ragged = half * (1 - 0.3 * wear * min(1.0, 0.1 / fd) * max(sample(tex, x * 9, y * 9 + 31 * i, 0), 0.0))
        share = _covered(aside, fd, -ragged, ragged)
        if stripes[i, 13] == 0.0:
            share *= _dashes(s - stripes[i, 7], fs, stripes[i, 5], stripes[i, 6])
        if stripes[i, 14] > 0.0:
            share *= _dashes(s - stripes[i, 7], fs, stripes[i, 14], stripes[i, 15])
        if share <= 0.0:
            continue
        loss = 0.6 * sample(tex, x * 3.1, y * 13 + 57 * i, 2) + 0.5 * sample(tex, x * 0.7, 91.0 * i, 2)
        loss += 0.5 * min(1.0, 0.1 / max(fd, 0.2 * fs)) * sample(tex, x * 21, y * 40, 0)
        left = 1 - smoothstep(1.15 - 2.2 * wear - 0.35, 1.15 - 2.2 * wear + 0.6, loss) * min(1.0, 0.4 + wear)
        share *= left * stripes[i, 11]
        dirt = 1 + 0.06 * sample(tex, x * 2.3, y * 5, 2)
        for c in range(3):
            rgb[c] += (stripes[i, 8 + c] * dirt - rgb[c]) * share
        most = max(most, share)
    return most


@njit(cache=True, fastmath=True)
def _lay_decals(tex, rgb, s, d, fs, fd, decals, surface):  # type: ignore[no-untyped-def]
    """Lay decals over (``patches`` under) ``rgb`` in place."""
    for i in range(decals.shape[0]):
        if s + fs < decals[i, 0] or s - fs > decals[i, 1] or d + fd < decals[i, 2] or d - fd > decals[i, 3]:
            continue
        low, high = decals[i, 2], decals[i, 3]
        shape = decals[i, 8]
        if shape == 1.0:
            rest = min(max((decals[i, 1] - s) / (decals[i, 1] - decals[i, 0]), 0.0), 1.0)
            middle, half = (low + high) * 0.5, (high - low) * 0.5 * rest
            low, high = middle - half, middle + half
        elif shape == 2.0:
            ms, rs = (decals[i, 0] + decals[i, 1]) * 0.5, (decals[i, 1] - decals[i, 0]) * 0.5
            half = np.sqrt(max(1 - ((s - ms) / rs) ** 2, 0.0)) * (high - low) * 0.5
            middle = (low + high) * 0.5
            low, high = middle - half, middle + half
        share = _covered(s, fs, decals[i, 0], decals[i, 1]) * _covered(d, fd, low, high) * decals[i, 7]
        if shape == 3.0:
            for c in range(3):
                rgb[c] *= 1 + share * (decals[i, 4 + c] - 1)
        else:
            wear = smoothstep(0.6, 1.9, sample(tex, (s + surface.offset_x) * 3, d * 9, 2))
            for c in range(3):
                rgb[c] += (decals[i, 4 + c] - rgb[c]) * share * (1 - 0.7 * wear)


@njit(cache=True, fastmath=True)
def _contact(s, d, cars):  # type: ignore[no-untyped-def]
    """Ambient light left at (s, d) beside and below vehicles; rows of ``cars``: s, d, half length, half width."""
    left = 1.0
    for i in range(cars.shape[0]):
        p, q = abs(s - cars[i, 0]) - cars[i, 2], abs(d - cars[i, 1]) - cars[i, 3]
        if p < 0.8 and q < 0.8:
            out = np.sqrt(max(p, 0.0) ** 2 + max(q, 0.0) ** 2)
            left = min(left, 0.12 + 0.88 * smoothstep(-0.15, 0.8, out))
    return left


@njit(cache=True, fastmath=True)
def _shadow(tex, s, d, fs, fd, surface):  # type: ignore[no-untyped-def]
    """Share of sun that reaches (s, d) past objects that are not in the scene."""
    sun = 1.0
    if surface.dapple > 0:
        k = 3.0 / surface.dapple_scale
        foot = max(fd, 0.3 * fs)
        value = sample(tex, (s + surface.offset_x) * k, d * k, 1) * min(1.0, surface.dapple_scale / foot)
        value += 1.4 * sample(tex, (s - surface.offset_x) * 0.25, d * 0.3, 1)
        sun *= 1 - surface.dapple * smoothstep(-0.3, 0.3, value)
    edge = s + surface.shade_slant * d
    soft = surface.shade_soft + fs
    inside = smoothstep(surface.shade_from - soft, surface.shade_from + soft, edge)
    return sun * (1 - inside * (1 - smoothstep(surface.shade_to - soft, surface.shade_to + soft, edge)))


@njit(cache=True, fastmath=True)
def shade_ground(out, index, values, strip, sunlit, boost, tex, surface, light_sun, light_ambient, tables):  # type: ignore[no-untyped-def]
    """Write the linear radiance of ground pixels into ``out``.

    Args:
        out: (P, 3) float32 image as rows of pixels, written at ``index``.
        index: (N,) int64 pixels to shade.
        values: (N, 6) of :func:`perception.sim.sensors.project.ground_attributes`.
        strip: (N,) int64 rows of the strip table.
        sunlit: (N,) share of direct sun.
        boost: (N, 2) radiance factor of artificial light; the second column receives the weight of the mirror image.
        tex: Noise texture.
        surface: :class:`perception.sim.world.scene.Surface`.
        light_sun: (3,) sun colour.
        light_ambient: (3,) ambient colour.
        tables: What :func:`tables` made.
    """
    strips, lanes, stripes, seams, decals, cars = tables
    rgb = np.empty(3)
    for n in range(index.shape[0]):
        s, d, fs, fd = values[n, 0], values[n, 1], values[n, 2], values[n, 3]
        row = strip[n]
        material = int(strips[row, 0])
        value = _base(tex, material, s, d, fs, fd, surface)
        paved = material in (ASPHALT, CONCRETE)
        if paved:
            value *= _pavement(tex, s, d, fs, fd, surface, lanes, seams)
        tint = 0.0
        if material == GRASS:
            tint = 0.12 * sample(tex, s * 0.4, d * 0.7, 2)
        for c in range(3):
            rgb[c] = strips[row, 1 + c] * max(value, 0.05) * (1 + tint * (1 - c))
        painted = 0.0
        if paved:
            _lay_decals(tex, rgb, s, d, fs, fd, decals, surface)
            painted = _paint(tex, rgb, s, d, fs, fd, stripes, surface)
        sky = _contact(s, d, cars)
        sun = sunlit[n] * _shadow(tex, s, d, fs, fd, surface) * values[n, 4] * sky
        damp = 1.0
        if surface.wet > 0 and paved:
            damp = 1 - 0.5 * surface.wet * (1 - 0.5 * painted)
        lamp = boost[n, 0] * (1 + 0.7 * painted) * sky
        facing = 0.55 + 0.45 * values[n, 5]
        for c in range(3):
            out[index[n], c] = rgb[c] * damp * (light_sun[c] * sun + light_ambient[c] * sky * facing + lamp)
        if surface.wet > 0 and paved:
            film = smoothstep(
                0.9 - 1.6 * surface.puddles, 1.8 - 1.6 * surface.puddles, sample(tex, s * 0.6, d * 1.4, 2)
            )
            boost[n, 1] = surface.wet * (0.35 + 0.65 * film) * sky
        else:
            boost[n, 1] = 0.0
