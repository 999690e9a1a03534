"""Shading of a town's ground: its painted picture, filtered along the line of sight."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit

from perception.sim.city.model import GroundMap
from perception.sim.sensors.noise import sample

TAPS = 8


def pyramid(ground: GroundMap, levels: int = 7) -> tuple[np.ndarray, ...]:
    """The albedo at full resolution and halved again and again; (H, W, 3) uint8 each."""
    out = [np.ascontiguousarray(ground.albedo)]
    for _ in range(levels - 1):
        height, width = out[-1].shape[:2]
        out.append(cv2.resize(out[-1], (max(width // 2, 1), max(height // 2, 1)), interpolation=cv2.INTER_AREA))
    return tuple(out)


@njit(cache=True, fastmath=True, inline="always")
def _add_texel(image, x, y, rgb):  # type: ignore[no-untyped-def]
    """Add the bilinear value at cell coordinates (x, y), clamped, to ``rgb``: squared, as displays do."""
    x = min(max(x, 0.0), image.shape[1] - 1.001)
    y = min(max(y, 0.0), image.shape[0] - 1.001)
    i, j = int(x), int(y)
    u, v = np.float32(x - i), np.float32(y - j)
    one, share = np.float32(1), np.float32(1 / 255.0)
    a, b, c, d = (one - u) * (one - v), u * (one - v), (one - u) * v, u * v
    for k in range(3):
        value = (
            image[j, i, k] * a + image[j, i + 1, k] * b + image[j + 1, i, k] * c + image[j + 1, i + 1, k] * d
        ) * share
        rgb[k] += value * value


@njit(cache=True, fastmath=True)
def shade_ground(
    out, mirror, index, position, rays, depth, normals, pixel, sunlit, lamp, levels, corner, resolution, wet, tex, light
):  # type: ignore[no-untyped-def]
    """Write the linear radiance of ground pixels.

    Args:
        out: (P, 3) float32 pixels.
        mirror: (P,) float32 share of mirrored surroundings, written.
        index: (N,) int64 pixels to shade.
        position: (P, 3) world metres.
        rays: (P, 3) unit directions.
        depth: (P,) distance in metres.
        normals: (P, 3) unit normals, either orientation.
        pixel: Angle of a pixel, radians.
        sunlit: (P,) share of direct sun.
        lamp: (P,) artificial light, or (0,) for none.
        levels: See :func:`pyramid`.
        corner: (2,) world position of the corner of the picture.
        resolution: Metres a cell of the first level.
        wet: 0 dry to 1 wet.
        tex: Noise texture.
        light: :class:`perception.sim.world.scene.Light`.
    """
    rgb = np.zeros(3)
    for n in range(index.shape[0]):
        i = index[n]
        x, y = position[i, 0], position[i, 1]
        glim = lamp[i] if lamp.shape[0] else 0.0
        facing = abs(rays[i, 0] * normals[i, 0] + rays[i, 1] * normals[i, 1] + rays[i, 2] * normals[i, 2])
        foot = depth[i] * pixel
        long = foot / max(facing, 0.01)
        taps = min(TAPS, 1 + int(long / max(foot, 1e-6)))
        level = int(np.log2(max(max(foot, long / TAPS) / resolution, 1.0)) + 0.5)
        level = min(level, len(levels) - 1)
        flat = np.sqrt(rays[i, 0] ** 2 + rays[i, 1] ** 2) + 1e-9
        dx, dy = rays[i, 0] / flat * long, rays[i, 1] / flat * long
        scale = 1.0 / (resolution * 2.0**level)
        image = levels[level]
        for c in range(3):
            rgb[c] = 0.0
        for k in range(taps):
            t = (k + 0.5) / taps - 0.5
            u, v = (x + dx * t - corner[0]) * scale - 0.5, (y + dy * t - corner[1]) * scale - 0.5
            _add_texel(image, u, v, rgb)
        fade = 1.0 / (1.0 + (long / 0.06) ** 2)
        grain = 1 + 0.14 * fade * sample(tex, x * 23.0, y * 23.0, 0) + 0.06 * sample(tex, x * 0.9, y * 0.9, 2)
        grain += 0.07 * sample(tex, x * 0.17, y * 0.17, 2)
        puddle = min(max(sample(tex, x * 0.25, y * 0.25, 1) * 0.8 + wet - 0.4, 0.0), 1.0) * wet
        dark = max(grain, 0.3) * (1 - 0.4 * wet) / taps
        sun = max(abs(normals[i, 2]) * light.sun_dir[2], 0.0) * sunlit[i]
        for c in range(3):
            out[i, c] = rgb[c] * dark * (light.sun[c] * sun + light.ambient[c] + glim)
        mirror[i] = 0.10 * wet + 0.55 * puddle
