"""Shading of the sky: gradient, clouds, the sun's glow and silhouettes on the horizon."""

from __future__ import annotations

import numpy as np
from numba import njit

from perception.sim.sensors.noise import sample, smoothstep


@njit(cache=True, fastmath=True)
def sky_color(tex, dx, dy, dz, light, rgb):  # type: ignore[no-untyped-def]
    """Write the radiance seen along unit direction (dx, dy, dz) into ``rgb`` (3,)."""
    up = max(dz, 0.0)
    blend = np.exp(-up * 4.0)
    glow = max(dx * light.sun_dir[0] + dy * light.sun_dir[1] + dz * light.sun_dir[2], 0.0)
    halo = 0.25 * glow**8 + 1.2 * glow**80 + 20.0 * smoothstep(0.9996, 0.9999, glow)
    k = light.cloud_scale * 40.0 / (up + 0.12)
    noise = sample(tex, dx * k + light.seed, dy * k + 3 * light.seed, 2)
    cover = smoothstep(0.9 - 2.0 * light.cloud, 1.7 - 2.0 * light.cloud, noise) * min(1.0, light.cloud * 4)
    body = light.cloud_tone * (0.85 + 0.12 * sample(tex, dx * k * 2 + 9, dy * k * 2, 2))
    for c in range(3):
        clear = light.zenith[c] * (1 - blend) + light.horizon[c] * blend + light.sun[c] * halo * (1 - 0.8 * light.cloud)
        rgb[c] = clear * (1 - cover) + cover * body * (0.5 * light.horizon[c] + 0.5 * max(light.horizon[1], 0.0))
    if dz > 1.5 * max(light.hills[0], light.hills[1]) + 1e-3:  # above the highest silhouette: 0.6 + 0.3 * 2.5
        return
    azimuth = np.arctan2(dy, dx)
    for layer in range(2):
        rough = sample(tex, azimuth * 18 + light.seed * 7, 40.5 * layer + 3, 2)
        fine = sample(tex, azimuth * 160, 11.5 + layer, 0)
        height = light.hills[layer] * (0.6 + 0.25 * rough + (0.05 if layer == 0 else 0.015) * fine)
        if dz < height:
            haze = 0.65 if layer == 1 else 0.25
            tone = 1 + 0.2 * sample(tex, azimuth * 300, dz * 900, 0) * (1 - haze)
            for c in range(3):
                dark = light.hill_color[c] * tone * (light.ambient[c] + 0.5 * light.sun[c])
                rgb[c] = dark * (1 - haze) + light.horizon[c] * 0.8 * haze
            if layer == 0:
                return


@njit(cache=True, fastmath=True)
def shade_sky(out, index, rays, tex, light):  # type: ignore[no-untyped-def]
    """Write sky radiance into ``out`` (P, 3) at pixels ``index`` (N,) whose unit directions are ``rays`` (P, 3)."""
    rgb = np.zeros(3)
    for n in range(index.shape[0]):
        i = index[n]
        sky_color(tex, rays[i, 0], rays[i, 1], rays[i, 2], light, rgb)
        for c in range(3):
            out[i, c] = rgb[c]
