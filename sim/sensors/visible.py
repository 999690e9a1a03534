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
_SLACK = 2e-3
"""Rounding of pixels, which are float32."""


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
def _to_pixels(points, lens):  # type: ignore[no-untyped-def]
    """(V, 2) float32 pixels of camera-frame ``points`` (V, 3); NaN nearer than `NEAR`."""
    out = np.full((points.shape[0], 2), np.float32(np.nan))
    for i in range(points.shape[0]):
        if points[i, 2] >= NEAR:
            out[i, 0] = lens[0] * (points[i, 0] / points[i, 2]) + lens[2]
            out[i, 1] = lens[1] * (points[i, 1] / points[i, 2]) + lens[3]
    return out


@njit(cache=True, error_model="numpy")
def _bounds(points, pixels, a, b, c, lens):  # type: ignore[no-untyped-def]
    """Pixel bounds (x0, x1, y0, y1) of the triangle of vertices ``a``, ``b``, ``c``; arguments as of the callers."""
    x0, x1 = min(pixels[a, 0], pixels[b, 0], pixels[c, 0]), max(pixels[a, 0], pixels[b, 0], pixels[c, 0])
    y0, y1 = min(pixels[a, 1], pixels[b, 1], pixels[c, 1]), max(pixels[a, 1], pixels[b, 1], pixels[c, 1])
    if np.isnan(pixels[a, 0] + pixels[b, 0] + pixels[c, 0]):
        corners = np.empty((3, 3))
        for k in range(3):
            corners[0, k], corners[1, k], corners[2, k] = points[a, k], points[b, k], points[c, k]
        return pixel_bounds(corners, lens[0], lens[1], lens[2], lens[3])
    return np.float64(x0), np.float64(x1), np.float64(y0), np.float64(y1)


@njit(cache=True, error_model="numpy")
def draw_triangles(points, triangles, shell, lens, closeness, hit):  # type: ignore[no-untyped-def]
    """Find the nearest triangle at the sample of every pixel, in place.

    The tests on both sides of an edge are exact negatives of each other, so that meshes have no cracks.

    Args:
        points: (V, 3) float32 vertices in camera coordinates.
        triangles: (T, 3) rows of ``points``.
        shell: (T,) bool: parts of closed surfaces, counterclockwise from outside, of which nobody sees the inside.
        lens: (4,) float64 fx, fy, cx, cy in pixels; a smaller cx moves the samples to the right.
        closeness: (H, W) float32 1 / z of what is known so far, 1 / metres; 0 for nothing.
        hit: (H, W) int32 triangles.
    """
    height, width = closeness.shape
    fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3]
    per_x, per_y = 1 / fx, 1 / fy
    pixels = _to_pixels(points, lens)
    for t in range(triangles.shape[0]):
        i, j, k = np.int64(triangles[t, 0]), np.int64(triangles[t, 1]), np.int64(triangles[t, 2])
        left, right, top, bottom = _bounds(points, pixels, i, j, k, lens)
        x0, x1 = max(np.ceil(left - _SLACK), 0.0), min(np.floor(right + _SLACK), width - 1.0)
        y0, y1 = max(np.ceil(top - _SLACK), 0.0), min(np.floor(bottom + _SLACK), height - 1.0)
        if not (x0 <= x1 and y0 <= y1):
            continue
        ax, ay, az, bx, by, bz, kx, ky, kz, volume = _planes(points, i, j, k)
        if volume == 0 or (shell[t] and volume > 0):
            continue
        if volume < 0:
            ax, ay, az, bx, by, bz, kx, ky, kz, volume = -ax, -ay, -az, -bx, -by, -bz, -kx, -ky, -kz, -volume
        sx, sy, sz = (ax + bx + kx) / volume, (ay + by + ky) / volume, (az + bz + kz) / volume
        for row in range(np.uint64(y0), np.uint64(y1 + 1)):
            dy = (row - cy) * per_y
            a, b, c = ay * dy + az, by * dy + bz, ky * dy + kz
            first, last = x0, x1
            if x1 - x0 > 8:
                first, last = _ends(first, last, ax, a, fx, cx, per_x)
                first, last = _ends(first, last, bx, b, fx, cx, per_x)
                first, last = _ends(first, last, kx, c, fx, cx, per_x)
            for column in range(np.int64(first), np.int64(last) + 1):
                u, dx = np.uint64(column), (column - cx) * per_x
                near = np.float32(sx * dx + (sy * dy + sz))
                inside = (ax * dx + a >= 0) & (bx * dx + b >= 0) & (kx * dx + c >= 0)
                if inside & (near > closeness[row, u]):  # no short cut: branches cost more than the sums
                    closeness[row, u] = near
                    hit[row, u] = t


@njit(cache=True, error_model="numpy", inline="always")
def _planes(points, i, j, k):  # type: ignore[no-untyped-def]
    """The three edge functions of the triangle of rows ``i``, ``j``, ``k`` of ``points``, and the volume it spans.

    Along direction (dx, dy, 1) the functions ``x dx + y dy + z`` are proportional to the weights of the corners; their
    sum divided by the volume is 1 / z of the hit. Seen counterclockwise the volume and, inside, the functions are
    negative, else positive.
    """
    a0, a1, a2 = np.float64(points[i, 0]), np.float64(points[i, 1]), np.float64(points[i, 2])
    b0, b1, b2 = np.float64(points[j, 0]), np.float64(points[j, 1]), np.float64(points[j, 2])
    c0, c1, c2 = np.float64(points[k, 0]), np.float64(points[k, 1]), np.float64(points[k, 2])
    ax, ay, az = b1 * c2 - b2 * c1, b2 * c0 - b0 * c2, b0 * c1 - b1 * c0
    bx, by, bz = c1 * a2 - c2 * a1, c2 * a0 - c0 * a2, c0 * a1 - c1 * a0
    kx, ky, kz = a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0
    return ax, ay, az, bx, by, bz, kx, ky, kz, a0 * ax + a1 * ay + a2 * az


@njit(cache=True, error_model="numpy", inline="always")
def _floor(pose, dx, dy, reach):  # type: ignore[no-untyped-def]
    """1 / z at which direction (dx, dy, 1) meets the floor z = 0 within ``reach`` metres, else 0."""
    down = pose[2, 0] * dx + pose[2, 1] * dy + pose[2, 2]
    if down >= 0:
        return 0.0
    z = -pose[2, 3] / down
    x = pose[0, 3] + z * (pose[0, 0] * dx + pose[0, 1] * dy + pose[0, 2])
    y = pose[1, 3] + z * (pose[1, 0] * dx + pose[1, 1] * dy + pose[1, 2])
    return 1 / z if abs(x) <= reach and abs(y) <= reach else 0.0


@njit(cache=True, error_model="numpy")
def draw_floor(pose, lens, number, reach, closeness, hit):  # type: ignore[no-untyped-def]
    """Start (H, W) buffers with the floor z = 0 out to ``reach`` metres as triangle ``number``, else 0 and -1."""
    height, width = closeness.shape
    for row in range(height):
        dy = (row - lens[3]) / lens[1]
        for column in range(width):
            near = _floor(pose, (column - lens[2]) / lens[0], dy, reach)
            closeness[row, column], hit[row, column] = near, number if near > 0 else -1


@njit(cache=True, error_model="numpy", inline="always")
def _resolve(points, triangles, pose, dx, dy, near, t, i, rays, depth, weights):  # type: ignore[no-untyped-def]
    """Write row ``i`` of the results for the sample in direction (dx, dy, 1)."""
    length = np.sqrt(dx * dx + dy * dy + 1)
    for k in range(3):
        rays[i, k] = (pose[k, 0] * dx + pose[k, 1] * dy + pose[k, 2]) / length
    depth[i] = length / near
    if 0 <= t < triangles.shape[0]:
        ax, ay, az, bx, by, bz, kx, ky, kz, _ = _planes(points, triangles[t, 0], triangles[t, 1], triangles[t, 2])
        a, b, c = ax * dx + ay * dy + az, bx * dx + by * dy + bz, kx * dx + ky * dy + kz
        weights[i, 0], weights[i, 1] = b / (a + b + c), c / (a + b + c)


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
    for row in range(height):
        dy = (row - lens[3]) / lens[1]
        for column in range(width):
            dx, near, t = (column - lens[2]) / lens[0], closeness[row, column], hit[row, column]
            _resolve(points, triangles, pose, dx, dy, near, t, row * width + column, rays, depth, weights)


@njit(cache=True, error_model="numpy")
def resolve_beside(
    points, triangles, lens, pose, reach, hit, pixels, offsets, triangle, rays, depth, weights
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Rays and hits of samples beside the middles of some pixels: all at the first offset, then all at the second.

    A sample sees the nearest of what its pixel and the eight around it see. Where none of those triangles covers it -
    slivers that no sample met - it sees the background if that is among them, else the triangle that it misses least.

    Args:
        points: As in :func:`draw_triangles`.
        triangles: The same.
        lens: The same.
        pose: (4, 4) camera to world.
        reach: As in :func:`draw_floor`.
        hit: (H, W) int32 as :func:`draw_triangles` left it.
        pixels: (E,) int64 row by row.
        offsets: (K, 2) float64 x and y in pixels, less than half a pixel.
        triangle: (K * E,) int32, written; the floor is the number after the last triangle.
        rays: (K * E, 3) float32, written as in :func:`resolve_grid`.
        depth: (K * E,) float32, written.
        weights: (K * E, 2) float32, written.
    """
    height, width = hit.shape
    for s in range(offsets.shape[0]):
        for e in range(pixels.shape[0]):
            row, column = pixels[e] // width, pixels[e] % width
            dx, dy = (column + offsets[s, 0] - lens[2]) / lens[0], (row + offsets[s, 1] - lens[3]) / lens[1]
            near, found, solid, missed, miss = 0.0, -1, True, -np.inf, -1
            last = -2
            for y in range(max(row - 1, 0), min(row + 2, height)):
                for x in range(max(column - 1, 0), min(column + 2, width)):
                    t = hit[y, x]
                    if t == last:
                        continue
                    last = t
                    if t < 0 or t >= triangles.shape[0]:
                        solid = False
                        continue
                    ax, ay, az, bx, by, bz, kx, ky, kz, volume = _planes(
                        points, triangles[t, 0], triangles[t, 1], triangles[t, 2]
                    )
                    a, b, c = ax * dx + ay * dy + az, bx * dx + by * dy + bz, kx * dx + ky * dy + kz
                    total = a + b + c
                    inside = min(a / total, b / total, c / total)
                    if inside >= 0 and total / volume > near:
                        near, found = total / volume, t
                    elif inside > missed and total / volume > 0:
                        missed, miss = inside, t
                        far = total / volume
            if found < 0 and solid and miss >= 0:
                near, found = far, miss
            elif found < 0:
                near = _floor(pose, dx, dy, reach)
                found = triangles.shape[0] if near > 0 else -1
            i = s * pixels.shape[0] + e
            triangle[i] = found
            _resolve(points, triangles, pose, dx, dy, near, found, i, rays, depth, weights)


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
