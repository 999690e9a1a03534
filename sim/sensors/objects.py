"""Shading of objects: vehicles, trees, buildings, terrain beside the road."""

from __future__ import annotations

import numpy as np
from numba import njit

from perception.sim.sensors.facades import house, leaves, shop
from perception.sim.sensors.noise import sample, smoothstep
from perception.sim.sensors.sky import sky_color
from perception.sim.world.mesh import FACADE, FOLIAGE, GLASS, HOUSE, LEAVES, LIGHT, METAL, PAINT, SHOP, TERRAIN


@njit(cache=True, fastmath=True)
def _windows(tex, u, v, foot, rgb):  # type: ignore[no-untyped-def]
    """Turn a facade's colour into window glass where its grid says so; returns 1 on glass."""
    column, floor = u / 2.6, v / 3.1
    if floor < 0.15:
        return 0.0
    fu, fv = column - np.floor(column), floor - np.floor(floor)
    edge = 0.02 + foot / 5.0
    inside = smoothstep(0.22 - edge, 0.22 + edge, fu) * (1 - smoothstep(0.78 - edge, 0.78 + edge, fu))
    inside *= smoothstep(0.25 - edge, 0.25 + edge, fv) * (1 - smoothstep(0.82 - edge, 0.82 + edge, fv))
    pane = 0.035 + 0.03 * sample(tex, np.floor(column) * 7.3, np.floor(floor) * 5.1, 0)
    for c in range(3):
        rgb[c] += (max(pane, 0.01) - rgb[c]) * inside
    return inside


@njit(cache=True, fastmath=True)
def _finish(tex, rgb, kind, position, uv, along, foot):  # type: ignore[no-untyped-def]
    """Give a material's colour its texture, in place; returns how much of its surroundings it mirrors, 0 to 1."""
    fade = min(1.0, 0.15 / foot)
    if kind in (FOLIAGE, TERRAIN):
        x, y, z = position[0], position[1], position[2]
        scale = 5.0 if kind == FOLIAGE else 2.0
        grain = sample(tex, (x + 0.7 * z) * scale, (y - 0.4 * z) * scale, 0) * fade
        grain += 0.5 * sample(tex, (x + z) * 1.7, (y + z) * 1.7, 2)
        for c in range(3):
            rgb[c] *= max(1 + 0.35 * grain, 0.1)
        return 0.0
    if kind == FACADE:
        glass = _windows(tex, uv[0], uv[1], foot, rgb)
        for c in range(3):
            rgb[c] *= 1 + 0.12 * sample(tex, uv[0] * 3, uv[1] * 6, 0) * fade
        return 0.3 * glass
    if kind == PAINT:
        return 0.05 + 0.6 * (1 + along) ** 4
    if kind == GLASS:
        return 0.12 + 0.85 * (1 + along) ** 3
    return 0.25 if kind == METAL else 0.0


@njit(cache=True, fastmath=True)
def _surface(tex, rgb, kind, position, uv, along, foot, light):  # type: ignore[no-untyped-def]
    """Give ``rgb`` its pattern; returns how much is mirrored and the glow of lit windows."""
    if kind == HOUSE:
        return house(tex, uv[0], uv[1], foot, rgb, light.headlights)
    if kind == SHOP:
        return shop(tex, uv[0], uv[1], foot, rgb, light.headlights)
    if kind == LEAVES:
        return leaves(tex, position, foot, rgb), 0.0
    return _finish(tex, rgb, kind, position, uv, along, foot), 0.0


@njit(cache=True, fastmath=True)
def _mirror(tex, x, y, z, light, rgb):  # type: ignore[no-untyped-def]
    """Write what a glossy surface mirrors from direction (x, y, z) into ``rgb``: the sky, or dark ground."""
    if z > 0.02:
        sky_color(tex, x, y, z, light, rgb)
        for c in range(3):
            rgb[c] = min(rgb[c], 4.0)
    else:
        for c in range(3):
            rgb[c] = 0.12 * (light.ambient[c] + 0.5 * light.sun[c])


@njit(cache=True, fastmath=True)
def shade_objects(
    out, index, triangles, position, normals, rays, depth, pixel, uv, sunlit, lamp, color, material, tex, light
):  # type: ignore[no-untyped-def]
    """Write the linear radiance of object pixels into ``out``.

    Args:
        out: (P, 3) float32 pixels.
        index: (N,) int64 pixels to shade.
        triangles: (P,) triangles hit.
        position: (P, 3) world metres.
        normals: (P, 3) unit normals, either orientation.
        rays: (P, 3) unit directions.
        depth: (P,) hit distance.
        pixel: Angle of a pixel, radians.
        uv: (N, 2) texture coordinates.
        sunlit: (P,) share of direct sun.
        lamp: (P,) artificial light, or (0,) for none.
        color: (T, 3) triangle colours.
        material: (T,) triangle materials.
        tex: Noise texture.
        light: :class:`perception.sim.world.scene.Light`.
    """
    rgb, mirror = np.zeros(3), np.zeros(3)
    for n in range(index.shape[0]):
        i = index[n]
        triangle, foot = triangles[i], depth[i] * pixel
        kind = material[triangle]
        nx, ny, nz = normals[i, 0], normals[i, 1], normals[i, 2]
        along = rays[i, 0] * nx + rays[i, 1] * ny + rays[i, 2] * nz
        if along > 0:
            nx, ny, nz, along = -nx, -ny, -nz, -along
        for c in range(3):
            rgb[c] = color[triangle, c]
        if kind == LIGHT:
            for c in range(3):
                out[i, c] = rgb[c]
            continue
        gloss, glow = _surface(tex, rgb, kind, position[i], uv[n], along, foot, light)
        glim = lamp[i] if lamp.shape[0] else 0.0
        direct = max(nx * light.sun_dir[0] + ny * light.sun_dir[1] + nz * light.sun_dir[2], 0.0) * sunlit[i]
        if kind in (FOLIAGE, LEAVES):
            direct = 0.3 * sunlit[i] + 0.6 * direct
        facing = 0.6 + 0.4 * nz
        for c in range(3):
            out[i, c] = rgb[c] * (light.sun[c] * direct + light.ambient[c] * facing + glim)
        if gloss > 0:
            rx, ry, rz = rays[i, 0] - 2 * along * nx, rays[i, 1] - 2 * along * ny, rays[i, 2] - 2 * along * nz
            _mirror(tex, rx, ry, rz, light, mirror)
            for c in range(3):
                out[i, c] += (mirror[c] - out[i, c]) * min(gloss, 1.0)
        if glow > 0:
            out[i, 0] += glow
            out[i, 1] += 0.72 * glow
            out[i, 2] += 0.38 * glow
