"""From ray hits to places, road coordinates and pixel footprints, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

from perception.sim.sensors.raycast import GROUND


@njit(cache=True, fastmath=True)
def place_hits(kind, depth, origin, directions, normal, sun):  # type: ignore[no-untyped-def]
    """Unit directions (N, 3), distances (N,) in metres, places (N, 3), and (N,) bool what faces ``sun``.

    ``origin`` has one row or one a ray; ground always counts as facing the sun.
    """
    count = kind.shape[0]
    unit, place = np.empty((count, 3), np.float32), np.empty((count, 3), np.float32)
    distance, facing = np.empty(count, np.float32), np.zeros(count, np.bool_)
    for i in range(count):
        k = i if origin.shape[0] > 1 else 0
        x, y, z = directions[i, 0], directions[i, 1], directions[i, 2]
        length = np.sqrt(x * x + y * y + z * z)
        unit[i, 0], unit[i, 1], unit[i, 2] = x / length, y / length, z / length
        distance[i] = depth[i] * length
        if kind[i] == 0:
            place[i, 0], place[i, 1], place[i, 2] = 0, 0, 0
            continue
        place[i, 0], place[i, 1], place[i, 2] = (
            origin[k, 0] + x * depth[i],
            origin[k, 1] + y * depth[i],
            origin[k, 2] + z * depth[i],
        )
        view = normal[i, 0] * x + normal[i, 1] * y + normal[i, 2] * z
        light = normal[i, 0] * sun[0] + normal[i, 1] * sun[1] + normal[i, 2] * sun[2]
        facing[i] = kind[i] == GROUND or view * light < 0
    return unit, distance, place, facing


@njit(cache=True, fastmath=True)
def ground_attributes(
    index, triangle, weights, normal, depth, directions, corners, road, along, begin, step, axes, sun
):  # type: ignore[no-untyped-def]
    """Road coordinates, footprints and incidence of ground pixels.

    Args:
        index: (N,) int64 pixels that hit the ground.
        triangle: (P,) int64 triangles hit.
        weights: (P, 2) barycentric weights.
        normal: (P, 3) unit normals.
        depth: (P,) hit distances in units of the direction.
        directions: (P, 3) world directions.
        corners: (T, 3) vertices of the triangles.
        road: (V, 2) stations and offsets of the vertices.
        along: (S,) heading of the road at stations ``begin + step * i``.
        begin: First station of ``along``, metres.
        step: Distance of its stations, metres.
        axes: (2, 3) world vectors by which the direction changes from one pixel to the next in x and y.
        sun: (3,) direction of the sun.

    Returns:
        (N, 6) float64: s, d, footprint along and across the road, cosine of the sun's incidence, z of the normal.
    """
    out = np.empty((index.shape[0], 6))
    move = np.zeros(2)
    for n in range(index.shape[0]):
        i = index[n]
        a, b, c = corners[triangle[i], 0], corners[triangle[i], 1], corners[triangle[i], 2]
        u, v = weights[i, 0], weights[i, 1]
        s = road[a, 0] + u * (road[b, 0] - road[a, 0]) + v * (road[c, 0] - road[a, 0])
        d = road[a, 1] + u * (road[b, 1] - road[a, 1]) + v * (road[c, 1] - road[a, 1])
        facing = normal[i, 0] * directions[i, 0] + normal[i, 1] * directions[i, 1] + normal[i, 2] * directions[i, 2]
        sign = -1.0 if facing > 0 else 1.0
        facing = min(-abs(facing), -1e-4)
        position = min(max((s - begin) / step, 0.0), along.shape[0] - 1.0)
        heading = along[int(position)]
        cos, sin = np.cos(heading), np.sin(heading)
        total_s, total_d = 0.0, 0.0
        for k in range(2):
            tilt = sign * (normal[i, 0] * axes[k, 0] + normal[i, 1] * axes[k, 1] + normal[i, 2] * axes[k, 2]) / facing
            for m in range(2):
                move[m] = depth[i] * (axes[k, m] - directions[i, m] * tilt)
            total_s += (move[0] * cos + move[1] * sin) ** 2
            total_d += (move[1] * cos - move[0] * sin) ** 2
        out[n, 0], out[n, 1] = s, d
        out[n, 2] = min(max(np.sqrt(total_s), 2e-3), 50.0)
        out[n, 3] = min(max(np.sqrt(total_d), 2e-3), 50.0)
        out[n, 4] = max(sign * (normal[i, 0] * sun[0] + normal[i, 1] * sun[1] + normal[i, 2] * sun[2]), 0.0)
        out[n, 5] = abs(normal[i, 2])
    return out


@njit(cache=True, fastmath=True)
def texture_coordinates(index, triangle, weights, corners, texture):  # type: ignore[no-untyped-def]
    """(N, 2) float64 surface coordinates of object pixels; arguments as in :func:`ground_attributes`."""
    out = np.empty((index.shape[0], 2))
    for n in range(index.shape[0]):
        i = index[n]
        a, b, c = corners[triangle[i], 0], corners[triangle[i], 1], corners[triangle[i], 2]
        for k in range(2):
            first = texture[a, k]
            out[n, k] = first + weights[i, 0] * (texture[b, k] - first) + weights[i, 1] * (texture[c, k] - first)
    return out


@njit(cache=True, fastmath=True)
def add_haze(out, index, metres, density, haze):  # type: ignore[no-untyped-def]
    """Blend pixels ``index`` of ``out`` (P, 3) towards (3,) ``haze`` by their distance in ``metres`` (P,), in place."""
    for n in range(index.shape[0]):
        i = index[n]
        clear = np.exp(-density * metres[i])
        for c in range(3):
            out[i, c] = out[i, c] * clear + haze[c] * (1 - clear)
