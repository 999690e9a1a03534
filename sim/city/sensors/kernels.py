"""Compiled steps around shading: labels of hits, and soft edges."""

from __future__ import annotations

import numpy as np
from numba import njit

from perception.sim.sensors.raycast import GROUND, MOVING, OBJECT

_GROUND, _OBJECT, _MOVING = int(GROUND), int(OBJECT), int(MOVING)


@njit(cache=True, fastmath=True)
def label_hits(
    kind,
    depth,
    triangle,
    origin,
    directions,
    static_category,
    static_instance,
    moving_category,
    moving_instance,
    cells,
    corner,
    resolution,
):  # type: ignore[no-untyped-def]
    """Category and instance of hits.

    Args:
        kind: (N,) what was hit.
        depth: (N,) in units of the direction.
        triangle: (N,) of the mesh that was hit.
        origin: (N or 1, 3) world metres.
        directions: (N, 3).
        static_category: Of the triangles of the static mesh.
        static_instance: Of the same.
        moving_category: Of the triangles of the moving mesh.
        moving_instance: Of the same.
        cells: (H, W) category of the ground's cells.
        corner: (2,) world position of the corner of cell (0, 0).
        resolution: Metres a cell.
    """
    count = kind.shape[0]
    category, instance = np.zeros(count, np.uint8), np.zeros(count, np.int32)
    rows, columns = cells.shape
    for i in range(count):
        if kind[i] == _OBJECT:
            category[i], instance[i] = static_category[triangle[i]], static_instance[triangle[i]]
        elif kind[i] == _MOVING:
            category[i], instance[i] = moving_category[triangle[i]], moving_instance[triangle[i]]
        elif kind[i] == _GROUND:
            k = i if origin.shape[0] > 1 else 0
            x = (origin[k, 0] + directions[i, 0] * depth[i] - corner[0]) / resolution
            y = (origin[k, 1] + directions[i, 1] * depth[i] - corner[1]) / resolution
            category[i] = cells[min(max(int(y), 0), rows - 1), min(max(int(x), 0), columns - 1)]
    return category, instance


@njit(cache=True, fastmath=True)
def soften_edges(image, normal, depth, instance):  # type: ignore[no-untyped-def]
    """Smooth the stairs that single rays leave at the edges of things, in place.

    Args:
        image: (H, W, 3) float32 linear radiance.
        normal: (H, W, 3) float32.
        depth: (H, W) float32, inf for the sky.
        instance: (H, W) int32.
    """
    height, width = depth.shape
    before = image.copy()
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            edge = False
            for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                if instance[y, x] != instance[y + dy, x + dx]:
                    edge = True
                    break
                a, b = depth[y, x], depth[y + dy, x + dx]
                if np.isinf(a) != np.isinf(b):
                    edge = True
                    break
                if np.isinf(a):
                    continue
                dot = 0.0
                for c in range(3):
                    dot += normal[y, x, c] * normal[y + dy, x + dx, c]
                if abs(dot) < 0.9 or abs(a - b) > 0.25 * min(a, b):
                    edge = True
                    break
            if not edge:
                continue
            for c in range(3):
                near = min(before[y, x - 1, c], 4.0) + min(before[y, x + 1, c], 4.0)
                near += min(before[y - 1, x, c], 4.0) + min(before[y + 1, x, c], 4.0)
                far = min(before[y - 1, x - 1, c], 4.0) + min(before[y - 1, x + 1, c], 4.0)
                far += min(before[y + 1, x - 1, c], 4.0) + min(before[y + 1, x + 1, c], 4.0)
                image[y, x, c] = 0.32 * before[y, x, c] + 0.125 * near + 0.045 * far
