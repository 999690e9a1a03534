"""What the pixels of a pinhole camera see, resolved triangle by triangle.

The primary rays of a pinhole meet in one point and lie on a grid, so a triangle finds the rays that hit it by being
projected. For meshes that are seen once, as in single pictures, this takes a fraction of the time of casting the rays.
The hits are those of ray casting: a pixel's sample is one point, and none slips between two triangles.
"""

from __future__ import annotations

import numpy as np
from numba import njit

NEAR = 1e-3
"""Surfaces nearer than this along the axis are not seen, metres."""


@njit(cache=True, error_model="numpy")
def to_camera(vertices, pose):  # type: ignore[no-untyped-def]
    """(V, 3) float32 camera coordinates (z forward) of world ``vertices`` (V, 3) for the camera at (4, 4) ``pose``."""
    out = np.empty((vertices.shape[0], 3), np.float32)
    for i in range(vertices.shape[0]):
        x, y, z = vertices[i, 0] - pose[0, 3], vertices[i, 1] - pose[1, 3], vertices[i, 2] - pose[2, 3]
        for k in range(3):
            out[i, k] = x * pose[0, k] + y * pose[1, k] + z * pose[2, k]
    return out


@njit(cache=True, error_model="numpy")
def pixel_bounds(corners, fx, fy, cx, cy):  # type: ignore[no-untyped-def]
    """Pixel bounds (x0, x1, y0, y1) of the part of a triangle of (3, 3) ``corners`` beyond `NEAR`."""
    x0, x1, y0, y1 = np.inf, -np.inf, np.inf, -np.inf
    for i in range(3):
        x, y, z = corners[i, 0], corners[i, 1], corners[i, 2]
        if z >= NEAR:
            u, v = fx * (x / z) + cx, fy * (y / z) + cy
            x0, x1, y0, y1 = min(x0, u), max(x1, u), min(y0, v), max(y1, v)
        j = i + 1 if i < 2 else 0
        if (z < NEAR) != (corners[j, 2] < NEAR):
            share = (NEAR - z) / (corners[j, 2] - z)
            u = fx * (x + share * (corners[j, 0] - x)) / NEAR + cx
            v = fy * (y + share * (corners[j, 1] - y)) / NEAR + cy
            x0, x1, y0, y1 = min(x0, u), max(x1, u), min(y0, v), max(y1, v)
    return x0, x1, y0, y1


@njit(cache=True, error_model="numpy")
def _cross(a, b):  # type: ignore[no-untyped-def]
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@njit(cache=True, error_model="numpy", inline="always")
def _ends(first, last, slope, base, fx, cx, per_x):  # type: ignore[no-untyped-def]
    """Those of columns first .. last where ``slope * dx + base`` is not negative; rounding keeps them a range."""
    if slope > 0:
        first = max(first, min(np.ceil(cx - base / slope * fx) - 1, last + 1))
        while first <= last and slope * ((first - cx) * per_x) + base < 0:
            first += 1
    elif slope < 0:
        last = min(last, max(np.floor(cx - base / slope * fx) + 1, first - 1))
        while first <= last and slope * ((last - cx) * per_x) + base < 0:
            last -= 1
    elif base < 0:
        last = first - 1
    return first, last


@njit(cache=True, error_model="numpy")
def draw_triangles(points, triangles, lens, closeness, hit):  # type: ignore[no-untyped-def]
    """Find the nearest triangle at the sample of every pixel, in place.

    The tests on both sides of an edge are exact negatives of each other, so that meshes have no cracks.

    Args:
        points: (V, 3) float32 vertices in camera coordinates.
        triangles: (T, 3) rows of ``points``; both sides can be seen.
        lens: (4,) float64 fx, fy, cx, cy in pixels; a smaller cx moves the samples to the right.
        closeness: (H, W) float32 1 / z of what is known so far, 1 / metres; 0 for nothing.
        hit: (H, W) int32 triangles.
    """
    height, width = closeness.shape
    fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3]
    per_x, per_y = 1 / fx, 1 / fy
    corners = np.empty((3, 3))
    for t in range(triangles.shape[0]):
        for i in range(3):
            for k in range(3):
                corners[i, k] = points[triangles[t, i], k]
        left, right, top, bottom = pixel_bounds(corners, fx, fy, cx, cy)
        x0, x1 = max(np.ceil(left - 1e-4), 0.0), min(np.floor(right + 1e-4), width - 1.0)
        y0, y1 = max(np.ceil(top - 1e-4), 0.0), min(np.floor(bottom + 1e-4), height - 1.0)
        if not (x0 <= x1 and y0 <= y1):
            continue
        ax, ay, az, bx, by, bz, kx, ky, kz, volume = planes(corners)
        if volume == 0:
            continue
        sx, sy, sz = (ax + bx + kx) / volume, (ay + by + ky) / volume, (az + bz + kz) / volume
        for row in range(int(y0), int(y1) + 1):
            dy = (row - cy) * per_y
            first, last = _ends(x0, x1, ax, ay * dy + az, fx, cx, per_x)
            first, last = _ends(first, last, bx, by * dy + bz, fx, cx, per_x)
            first, last = _ends(first, last, kx, ky * dy + kz, fx, cx, per_x)
            start = sy * dy + sz - sx * cx * per_x
            for column in range(int(first), int(last) + 1):
                near = np.float32(start + sx * per_x * column)
                if near > closeness[row, column]:
                    closeness[row, column] = near
                    hit[row, column] = t


@njit(cache=True, error_model="numpy")
def planes(corners):  # type: ignore[no-untyped-def]
    """The three edge functions of a triangle of (3, 3) ``corners``, positive inside, and the volume that it spans.

    Along direction (dx, dy, 1) the functions ``x dx + y dy + z`` are proportional to the weights of the corners; their
    sum divided by the volume is 1 / z of the hit.
    """
    ax, ay, az = _cross(corners[1], corners[2])
    bx, by, bz = _cross(corners[2], corners[0])
    kx, ky, kz = _cross(corners[0], corners[1])
    volume = corners[0, 0] * ax + corners[0, 1] * ay + corners[0, 2] * az
    if volume < 0:
        return -ax, -ay, -az, -bx, -by, -bz, -kx, -ky, -kz, -volume
    return ax, ay, az, bx, by, bz, kx, ky, kz, volume


@njit(cache=True, error_model="numpy")
def draw_floor(pose, lens, number, reach, closeness, hit):  # type: ignore[no-untyped-def]
    """Start (H, W) buffers with the floor z = 0 out to ``reach`` metres as triangle ``number``, else 0 and -1."""
    height, width = closeness.shape
    for row in range(height):
        dy = (row - lens[3]) / lens[1]
        for column in range(width):
            dx = (column - lens[2]) / lens[0]
            closeness[row, column], hit[row, column] = 0, -1
            down = pose[2, 0] * dx + pose[2, 1] * dy + pose[2, 2]
            if down >= 0:
                continue
            z = -pose[2, 3] / down
            x = pose[0, 3] + z * (pose[0, 0] * dx + pose[0, 1] * dy + pose[0, 2])
            y = pose[1, 3] + z * (pose[1, 0] * dx + pose[1, 1] * dy + pose[1, 2])
            if abs(x) <= reach and abs(y) <= reach:
                closeness[row, column], hit[row, column] = 1 / z, number


@njit(cache=True, error_model="numpy")
def resolve_grid(points, triangles, lens, pose, closeness, hit, rays, depth, weights):  # type: ignore[no-untyped-def]
    """Rays and hits of the samples that :func:`draw_triangles` found, row by row.

    Args:
        points: As in :func:`draw_triangles`.
        triangles: The same.
        lens: The same.
        pose: (4, 4) camera to world.
        closeness: As :func:`draw_triangles` left it.
        hit: The same; numbers that are no rows of ``triangles`` get no weights.
        rays: (P, 3) float32, written: unit directions in the world.
        depth: (P,) float32, written: metres along the rays, inf for nothing.
        weights: (P, 2) float32, written where triangles were hit: barycentric weights of the second and third vertex.
    """
    height, width = closeness.shape
    corners = np.empty((3, 3))
    for row in range(height):
        dy = (row - lens[3]) / lens[1]
        for column in range(width):
            i = row * width + column
            dx = (column - lens[2]) / lens[0]
            length = np.sqrt(dx * dx + dy * dy + 1)
            for k in range(3):
                rays[i, k] = (pose[k, 0] * dx + pose[k, 1] * dy + pose[k, 2]) / length
            depth[i] = length / closeness[row, column]
            t = hit[row, column]
            if t < 0 or t >= triangles.shape[0]:
                continue
            for m in range(3):
                for k in range(3):
                    corners[m, k] = points[triangles[t, m], k]
            ax, ay, az, bx, by, bz, kx, ky, kz, _ = planes(corners)
            a, b, c = ax * dx + ay * dy + az, bx * dx + by * dy + bz, kx * dx + ky * dy + kz
            weights[i, 0], weights[i, 1] = b / (a + b + c), c / (a + b + c)


@njit(cache=True)
def outlines(key, image):  # type: ignore[no-untyped-def]
    """(H, W) bool: pixels with a neighbour of another ``key`` (H, W) and of another colour in ``image`` (H, W, 3)."""
    height, width = key.shape
    edge = np.zeros(key.shape, np.bool_)
    for y in range(height):
        for x in range(width):
            for v, u in ((y, x + 1), (y + 1, x)):
                if v >= height or u >= width or key[y, x] == key[v, u]:
                    continue
                for c in range(3):
                    a, b = image[y, x, c], image[v, u, c]
                    if abs(a - b) > 0.03 * (a + b) + 0.002:
                        edge[y, x] = edge[v, u] = True
    return edge


def grouped(triangle: np.ndarray, first: np.ndarray) -> list[np.ndarray]:
    """Rays by what they hit, in order: nothing (-1), then each group of triangles.

    Args:
        triangle: (P,) int32.
        first: (G,) first triangle of each group, rising from 0; the last group is open.

    Returns:
        G + 1 arrays of int64 rows of ``triangle``.
    """
    order, ends = _sorted_rows(triangle, np.asarray(first))
    return np.split(order, ends[:-1])


@njit(cache=True)
def _sorted_rows(triangle, first):  # type: ignore[no-untyped-def]
    group = np.empty(triangle.shape[0], np.uint8)
    count = np.zeros(first.shape[0] + 1, np.int64)
    for i in range(triangle.shape[0]):
        g = 0
        while g < first.shape[0] and triangle[i] >= first[g]:
            g += 1
        group[i] = g
        count[g] += 1
    ends = np.cumsum(count)
    place = ends - count
    order = np.empty(triangle.shape[0], np.int64)
    for i in range(triangle.shape[0]):
        order[place[group[i]]] = i
        place[group[i]] += 1
    return order, ends
