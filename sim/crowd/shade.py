"""Compiled shading of people and of the ground they stand on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from perception.sim.crowd.body import HAIR, SKIN, TOP
from perception.sim.crowd.people import CAMOUFLAGE, CHECKS, PINSTRIPES, PRINT, STRIPES
from perception.sim.sensors.noise import sample, smoothstep


class Pavement(NamedTuple):
    """Looks of the ground; colours are linear RGB.

    Attributes:
        first, second: Colours that slabs vary between.
        slab: (length, width) of slabs in metres.
        joint: Width of joints in metres, 0 for none.
        joint_tone: Brightness of joints.
        bond: Shift of every second row, share of a slab.
        angle: Direction of the slabs, radians.
        variety: How much slabs differ, 0 to 1.
        stripes: Distance of coloured bands in metres, 0 for none.
        band: Share of that distance that is coloured.
        paint: Colour of the bands.
        grain, mottle: Fine and coarse noise.
        seed: Shift of the noise.
    """

    first: tuple[float, float, float] = (0.3, 0.3, 0.3)
    second: tuple[float, float, float] = (0.35, 0.33, 0.3)
    slab: tuple[float, float] = (0.6, 0.6)
    joint: float = 0.01
    joint_tone: float = 0.5
    bond: float = 0.0
    angle: float = 0.0
    variety: float = 0.3
    stripes: float = 0.0
    band: float = 0.3
    paint: tuple[float, float, float] = (0.6, 0.6, 0.6)
    grain: float = 0.08
    mottle: float = 0.08
    seed: float = 0.0


@njit(cache=True, fastmath=True)
def shade_pavement(
    out, index, position, rays, depth, pixel, sunlit, shade, origin, cell, tex, look, light, lamp
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Write the radiance of ground pixels into ``out`` (P, 3).

    Args:
        out: (P, 3) float32.
        index: (N,) pixels.
        position: (P, 3) world metres.
        rays: (P, 3) unit directions.
        depth: (P,) metres.
        pixel: Angle of a pixel, radians.
        sunlit: (P,) share of direct sun.
        shade: (R, C) share of the sky that people nearby leave free, on a grid from ``origin`` with ``cell`` metres.
        origin: (2,) metres.
        cell: Metres.
        tex: Noise texture.
        look: :class:`Pavement`.
        light: :class:`perception.sim.world.scene.Light`.
        lamp: Artificial light.
    """
    cos, sin = np.cos(look.angle), np.sin(look.angle)
    for n in range(index.shape[0]):
        i = index[n]
        x, y = position[i, 0], position[i, 1]
        foot = depth[i] * pixel / np.sqrt(max(-rays[i, 2], 0.02))
        u, v = cos * x + sin * y, cos * y - sin * x
        row = np.floor(v / look.slab[1])
        column = np.floor(u / look.slab[0] + look.bond * (row % 2))
        fu = (u / look.slab[0] + look.bond * (row % 2) - column) * look.slab[0]
        fv = (v / look.slab[1] - row) * look.slab[1]
        fade = min(1.0, 0.5 * look.slab[1] / foot)
        mix = 0.5 + 0.4 * look.variety * sample(tex, column * 3.7 + look.seed, row * 5.3, 0) * fade
        wide = look.joint + 0.7 * foot
        near = min(min(fu, look.slab[0] - fu), min(fv, look.slab[1] - fv))
        joint = (1 - smoothstep(0.5 * look.joint, 0.5 * look.joint + 0.7 * foot, near)) * look.joint / max(wide, 1e-6)
        fine = min(1.0, 0.02 / foot)
        tone = (
            1
            + look.grain * sample(tex, x * 60, y * 60, 0) * fine
            + look.mottle * sample(tex, x * 3 + look.seed, y * 3, 2)
        )
        tone *= 1 + look.mottle * sample(tex, x * 0.4, y * 0.4 + look.seed, 2)
        tone *= 1 - (1 - look.joint_tone) * joint
        r = min(max((x - origin[0]) / cell, 0.0), shade.shape[0] - 1.001)
        c = min(max((y - origin[1]) / cell, 0.0), shade.shape[1] - 1.001)
        a, b = int(r), int(c)
        p, q = r - a, c - b
        free = (shade[a, b] * (1 - p) + shade[a + 1, b] * p) * (1 - q)
        free += (shade[a, b + 1] * (1 - p) + shade[a + 1, b + 1] * p) * q
        painted = 0.0
        if look.stripes > 0:
            phase = v / look.stripes - np.floor(v / look.stripes)
            painted = 0.85 if phase < look.band else 0.0
        for k in range(3):
            base = look.first[k] + (look.second[k] - look.first[k]) * min(max(mix, 0.0), 1.0)
            base = (base * (1 - painted) + look.paint[k] * painted) * max(tone, 0.05)
            direct = light.sun[k] * light.sun_dir[2] * sunlit[i]
            out[i, k] = base * (direct + light.ambient[k] * free + lamp * free)


@njit(cache=True, fastmath=True)
def _pattern(tex, kind, x, y, z, foot, base, other, rgb):  # type: ignore[no-untyped-def]
    """Colour of a top at body coordinates (x, y, z) metres."""
    share = 0.0
    soft = 0.004 + 0.5 * foot
    if kind == STRIPES:
        wave = abs(z / 0.06 - np.floor(z / 0.06) - 0.5) * 0.06
        share = smoothstep(0.015 - soft, 0.015 + soft, wave)
    elif kind == PINSTRIPES:
        wave = abs(y / 0.03 - np.floor(y / 0.03) - 0.5) * 0.03
        share = smoothstep(0.01 - soft, 0.01 + soft, wave)
    elif kind == CHECKS:
        a = abs(z / 0.1 - np.floor(z / 0.1) - 0.5) * 0.1
        b = abs(y / 0.1 - np.floor(y / 0.1) - 0.5) * 0.1
        share = 0.5 * (smoothstep(0.025 - soft, 0.025 + soft, a) + smoothstep(0.025 - soft, 0.025 + soft, b))
    elif kind == PRINT:
        if abs(y) < 0.1 and 1.12 < z < 1.33:
            share = smoothstep(0.2, 0.5, sample(tex, y * 160 + 50 * base[0], z * 160 + 50 * other[0], 1))
    elif kind == CAMOUFLAGE:
        share = smoothstep(-0.2, 0.2, sample(tex, y * 60 + 40 * x, z * 60, 1))
    for k in range(3):
        rgb[k] = base[k] + (other[k] - base[k]) * share


@njit(cache=True, fastmath=True)
def _between(a, b, c, u, v):  # type: ignore[no-untyped-def]
    """The three numbers at barycentric weights ``u`` of b and ``v`` of c."""
    w = 1 - u - v
    return w * a[0] + u * b[0] + v * c[0], w * a[1] + u * b[1] + v * c[1], w * a[2] + u * b[2] + v * c[2]


@njit(cache=True, fastmath=True)
def _facing(lx, ly, lz, yaw, ray):  # type: ignore[no-untyped-def]
    """Unit normal in the world of one in body coordinates, turned to whom the ray comes from."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    nx, ny = cos * lx - sin * ly, sin * lx + cos * ly
    length = max(np.sqrt(nx * nx + ny * ny + lz * lz), 1e-6)
    if nx * ray[0] + ny * ray[1] + lz * ray[2] > 0.2 * length:
        length = -length
    return nx / length, ny / length, lz / length


@njit(cache=True, fastmath=True)
def shade_people(
    out, sunny, index, triangle, first, weights, corners, person, face, slot, source, pool_vertices, pool_normals, yaw,
    palette, pattern, style, crowding, rays, depth, pixel, tex, light, lamp,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Write the radiance of people's pixels without the sun into ``out`` (P, 3), and what the sun adds.

    Args:
        out: (P, 3) float32.
        sunny: (N, 3) float32, written: what the sun adds where nothing is in its way; 0 on sides off the sun.
        index: (N,) pixels.
        triangle: (P,) triangles hit.
        first: Number of the mesh's first triangle in ``triangle``.
        weights: (P, 2) barycentric weights.
        corners: (T, 3) vertices of the triangles.
        person: (T,) owners of the triangles.
        face: (T,) rows of the pool's triangles.
        slot: (F,) colour slots of the pool's triangles.
        source: (V,) rows of the pool.
        pool_vertices: (W, 3) body coordinates.
        pool_normals: (W, 3).
        yaw: (K,) headings.
        palette: (K, SLOTS, 3) colours.
        pattern: (K,) patterns of tops.
        style: (K, 3) second colours.
        crowding: (K,) share of the sky hidden from somebody's feet by neighbours.
        rays: (P, 3) unit directions.
        depth: (P,) metres.
        pixel: Angle of a pixel, radians.
        tex: Noise texture.
        light: :class:`perception.sim.world.scene.Light`.
        lamp: Artificial light.
    """
    rgb = np.zeros(3)
    for n in range(index.shape[0]):
        i = index[n]
        t = triangle[i] - first
        a, b, c = source[corners[t, 0]], source[corners[t, 1]], source[corners[t, 2]]
        u, v = weights[i, 0], weights[i, 1]
        x, y, z = _between(pool_vertices[a], pool_vertices[b], pool_vertices[c], u, v)
        lx, ly, nz = _between(pool_normals[a], pool_normals[b], pool_normals[c], u, v)
        who, kind, foot = person[t], slot[face[t]], depth[i] * pixel
        fade = min(1.0, 0.012 / foot)
        shift = who * 17.3
        if kind != SKIN:  # folds of cloth, strands of hair
            lx += 0.35 * fade * sample(tex, y * 70 + shift, z * 40, 1)
            ly += 0.35 * fade * sample(tex, x * 70 + shift, z * 40 + 9, 1)
            nz += 0.25 * fade * sample(tex, (x + y) * 50, z * 60 + shift, 1)
        nx, ny, nz = _facing(lx, ly, nz, yaw[who], rays[i])
        for k in range(3):
            rgb[k] = palette[who, kind, k]
        if kind == TOP and pattern[who] > 0:
            _pattern(tex, pattern[who], x, y, z, foot, palette[who, kind], style[who], rgb)
        tone = 1 + 0.08 * sample(tex, y * 200 + shift, z * 200, 0) * fade
        if kind == HAIR:
            tone = 1 + 0.3 * sample(tex, (y + x) * 300 + shift, z * 25, 0) * fade
        direct = max(nx * light.sun_dir[0] + ny * light.sun_dir[1] + nz * light.sun_dir[2], 0.0)
        low = 1 - min(max(z / 1.6, 0.0), 1.0)
        free = (0.62 + 0.38 * nz) * (1 - 0.75 * crowding[who] * low) * (0.75 + 0.25 * min(1.0, z / 0.4))
        shine = 0.04 * max(nz, 0.0) ** 3 if kind == HAIR else 0.0
        for k in range(3):
            color = rgb[k] * tone + shine
            sunny[n, k] = color * light.sun[k] * direct
            out[i, k] = color * (light.ambient[k] * free + lamp * (0.6 + 0.4 * nz))


@njit(cache=True, fastmath=True)
def facing_sun(asks, normals, index, triangle, rays, vertices, triangles, always, sun):  # type: ignore[no-untyped-def]
    """Set ``asks`` (P,) where the seen sides of things look to the sun, and their unit ``normals`` (P, 3).

    Args:
        asks: bool, written.
        normals: float32, written.
        index: (N,) pixels of things.
        triangle: (P,) triangles hit.
        rays: (P, 3) directions along which they are seen.
        vertices: (V, 3).
        triangles: (T, 3).
        always: (T,) bool: triangles through which light comes from behind.
        sun: Unit vector.
    """
    for n in range(index.shape[0]):
        i = index[n]
        t = triangle[i]
        a, b, c = vertices[triangles[t, 0]], vertices[triangles[t, 1]], vertices[triangles[t, 2]]
        x = (b[1] - a[1]) * (c[2] - a[2]) - (b[2] - a[2]) * (c[1] - a[1])
        y = (b[2] - a[2]) * (c[0] - a[0]) - (b[0] - a[0]) * (c[2] - a[2])
        z = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        length = max(np.sqrt(x * x + y * y + z * z), 1e-12)
        normals[i, 0], normals[i, 1], normals[i, 2] = x / length, y / length, z / length
        along = rays[i, 0] * x + rays[i, 1] * y + rays[i, 2] * z
        lit = x * sun[0] + y * sun[1] + z * sun[2]
        asks[i] = always[t] or (lit < 0 if along > 0 else lit > 0)


@njit(cache=True, fastmath=True)
def places(origin, rays, depth):  # type: ignore[no-untyped-def]
    """(P, 3) float32 points at (P,) ``depth`` along (P, 3) ``rays`` from (3,) ``origin``; 0 where depth is inf."""
    out = np.zeros(rays.shape, np.float32)
    for i in range(rays.shape[0]):
        if depth[i] < 1e30:
            for k in range(3):
                out[i, k] = origin[k] + rays[i, k] * depth[i]
    return out


@njit(cache=True)
def any_sun(asks, index, sunny):  # type: ignore[no-untyped-def]
    """Set ``asks`` (P,) of pixels ``index`` (N,) where (N, 3) ``sunny`` is not black."""
    for n in range(index.shape[0]):
        asks[index[n]] = sunny[n, 0] > 0 or sunny[n, 1] > 0 or sunny[n, 2] > 0


@njit(cache=True, fastmath=True)
def add_sun(out, index, sunny, sunlit):  # type: ignore[no-untyped-def]
    """Add (N, 3) ``sunny`` to pixels ``index`` of ``out`` (P, 3) as far as (P,) ``sunlit`` lets it."""
    for n in range(index.shape[0]):
        for k in range(3):
            out[index[n], k] += sunny[n, k] * sunlit[index[n]]
