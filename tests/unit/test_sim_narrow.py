"""Casting fewer rays must not change what they find."""

import io

import numpy as np
import scipy.io

from perception.sim.city.sensors.rigs import make_rig
from perception.sim.sensors.narrow import in_cells, sun_cells, towards
from perception.sim.sensors.raycast import free_way, nearest_hits, ray_scene, world_rays
from perception.sim.sensors.render import pixel_rays
from perception.sim.sensors.shadows import lit_pixels
from perception.sim.writers.shanghaitech import mat_bytes

SUN = np.array([0.48, 0.6, 0.64], np.float32)


def boxes(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Triangles around random places, near and far and beside the camera."""
    middle = rng.uniform((-20, -20, 0), (40, 20, 4), (count, 1, 3))
    corners = (middle + rng.uniform(-1.5, 1.5, (count, 3, 3))).astype(np.float32)
    return corners.reshape(-1, 3), np.arange(3 * count, dtype=np.uint32).reshape(-1, 3)


def ground() -> tuple[np.ndarray, np.ndarray]:
    corners = np.array([(-90, -90, 0), (90, -90, 0), (90, 90, 0), (-90, 90, 0)], np.float32)
    return corners, np.array([(0, 1, 2), (0, 2, 3)], np.uint32)


def test_rays_left_out_hit_nothing_that_moves():
    static, mesh = ray_scene(ground()), boxes(np.random.default_rng(1), 30)
    moving = ray_scene(mesh)
    found = 0
    for camera in make_rig("ring7", (64, 48)).values():
        pose, rays = camera.ego_from_camera, pixel_rays(camera)
        near = towards(*mesh, pose, rays)
        found += len(near)
        full = nearest_hits(static, moving, pose[:3, 3], world_rays(rays, pose))
        part = nearest_hits(static, moving, pose[:3, 3], world_rays(rays, pose), near)
        for name in ("kind", "depth", "triangle", "weights", "normal"):
            np.testing.assert_array_equal(getattr(part, name), getattr(full, name))
    assert 0 < found < 0.9 * 7 * 64 * 48


def test_points_outside_the_cells_are_not_shaded_by_what_moves():
    rng = np.random.default_rng(2)
    mesh = boxes(rng, 12)
    static, moving, cells = ray_scene(ground()), ray_scene(mesh), sun_cells(*mesh, SUN)
    points = rng.uniform((-60, -60, 0.01), (60, 60, 3), (20000, 3)).astype(np.float32)
    full = free_way(static, moving, points, SUN)
    np.testing.assert_array_equal(free_way(static, moving, points, SUN, cells), full)
    assert 0 < (full == 0).sum() < len(in_cells(points, *cells)) < len(points)


def test_shadows_from_every_second_pixel():
    y, x = np.mgrid[:40, :60].astype(np.float32)
    place = np.stack([x, y, np.zeros_like(x)], -1).reshape(-1, 3)
    asks = np.ones(len(place), bool)
    asks[:60] = False
    cast = []

    def sunlit(points: np.ndarray) -> np.ndarray:
        cast.append(len(points))
        shade = (points[:, 0] < 20) | (points[:, 0] == 33) | (points[:, 1] == 20)  # a block and two lines of one pixel
        return 1 - shade.astype(np.float32)

    expected = np.where(asks, sunlit(place), 1)
    cast.clear()
    np.testing.assert_array_equal(lit_pixels(place, np.full(len(place), 9, np.float32), asks, 60, sunlit), expected)
    assert sum(cast) < 0.65 * len(place)
    cast.clear()
    np.testing.assert_array_equal(lit_pixels(place, np.full(len(place), 9, np.float32), asks, 0, sunlit), expected)
    assert cast == [asks.sum()]
    cast.clear()
    jumps = np.where((x + y) % 2, 9, 20).astype(np.float32).ravel()  # no neighbour lies on the same surface
    np.testing.assert_array_equal(lit_pixels(place, jumps, asks, 60, sunlit), expected)
    assert sum(cast) == asks.sum()


def test_labels_hold_no_time_of_day():
    points = np.array([[3.5, 4.5], [10.0, 2.0]])
    code = mat_bytes(points)
    assert code[:128].startswith(b"MATLAB 5.0 MAT-file   ") and b"Created" not in code[:116]
    info = scipy.io.loadmat(io.BytesIO(code))["image_info"][0, 0]
    np.testing.assert_array_equal(info["location"][0, 0], points)
