"""Triangles drawn as a pinhole camera sees them: the hits of ray casting."""

from __future__ import annotations

import numpy as np

from perception.geometry.transforms import CAMERA_AXES_IN_EGO, make_pose, rotation_from_euler
from perception.sim.sensors.raycast import ray_scene, rays_of
from perception.sim.sensors.visible import (
    draw_floor,
    draw_triangles,
    grouped,
    resolve_beside,
    resolve_grid,
    to_camera,
)
from perception.sim.world.mesh import _sphere

LENS = np.array([90.0, 80.0, 60.3, 44.8])
SHAPE = 96, 128
POSE = make_pose(rotation_from_euler(0.1, 0.2, 0.7) @ CAMERA_AXES_IN_EGO, np.array([0.3, -0.2, 1.7]))


def see(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, ...]:
    """(P,) triangles, (P, 3) rays, (P,) depth and (P, 2) weights."""
    closeness, hit = np.empty(SHAPE, np.float32), np.empty(SHAPE, np.int32)
    points = to_camera(vertices, POSE)
    draw_floor(POSE, LENS, len(triangles), 50.0, closeness, hit)
    draw_triangles(points, triangles, np.zeros(len(triangles), bool), LENS, closeness, hit)
    rays, depth, weights = (np.zeros((hit.size, n), np.float32) for n in (3, 1, 2))
    resolve_grid(points, triangles, LENS, POSE, closeness, hit, rays, depth[:, 0], weights)
    return hit.ravel(), rays, depth[:, 0], weights


def test_hits_are_those_of_ray_casting():
    rng = np.random.default_rng(3)
    middle = rng.normal(0, 6, (4000, 1, 3))
    size = np.exp(rng.uniform(np.log(0.02), np.log(1.0), (4000, 1, 1)))  # slivers of a pixel, and walls at the camera
    vertices = (middle + size * rng.normal(0, 1, (4000, 3, 3))).reshape(-1, 3).astype(np.float32)
    triangles = np.arange(12000, dtype=np.uint32).reshape(-1, 3)
    hit, rays, depth, weights = see(vertices, triangles)
    floor = np.array([[-50, -50, 0], [50, -50, 0], [50, 50, 0], [-50, 50, 0]], np.float32)
    everything = np.concatenate([vertices, floor])
    world = ray_scene((everything, np.concatenate([triangles, [[12000, 12001, 12002], [12000, 12002, 12003]]])))
    found = world.cast_rays(rays_of(POSE[:3, 3].astype(np.float32), rays), nthreads=1)
    expected = found["t_hit"].numpy()
    same = np.isclose(depth, expected, rtol=1e-3) | (np.isinf(depth) & np.isinf(expected))
    assert same.mean() > 0.9995  # samples on an edge may fall to either side
    solid = same & (hit >= 0) & (hit < 4000)
    assert solid.sum() > 1000 and len(np.unique(hit)) > 50
    agree = solid & (hit == found["primitive_ids"].numpy())
    assert agree.sum() > 0.99 * solid.sum()
    np.testing.assert_allclose(weights[agree], found["primitive_uvs"].numpy()[agree], atol=2e-3)


def test_a_closed_surface_around_the_camera_has_no_cracks():
    points, faces = _sphere(3)
    vertices = (points * 1.5 + POSE[:3, 3] + [0.2, 0.1, -0.1]).astype(np.float32)
    hit, _, depth, _ = see(vertices, faces.astype(np.uint32))
    assert (hit >= 0).all() and (hit < len(faces)).all()
    assert depth.min() > 1.1 and depth.max() < 1.8


def test_the_floor_alone_and_groups():
    hit, rays, depth, _ = see(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint32))
    down = hit == 0
    np.testing.assert_allclose(1.7 + rays[down, 2] * depth[down], 0, atol=1e-4)
    assert 0 < down.sum() < len(hit) and np.isinf(depth[~down]).all()
    parts = grouped(np.array([5, -1, 0, 7, 3, -1, 2], np.int32), np.array([0, 3, 3, 6]))
    assert [part.tolist() for part in parts] == [[1, 5], [2, 6], [], [0, 4], [3]]


def test_insides_of_shells_are_never_nearest():
    points, faces = _sphere(3)
    vertices = (points * 1.5 + POSE[:3, 3] + POSE[:3, 2] * 4).astype(np.float32)
    buffers = []
    for shell in (False, True):
        closeness, hit = np.zeros(SHAPE, np.float32), np.full(SHAPE, -1, np.int32)
        shells = np.full(len(faces), shell)
        draw_triangles(to_camera(vertices, POSE), faces.astype(np.uint32), shells, LENS, closeness, hit)
        buffers.append((closeness, hit))
    assert (buffers[0][1] >= 0).sum() > 1000
    np.testing.assert_array_equal(buffers[0], buffers[1])


def test_samples_beside_the_middles_see_what_rays_meet():
    points, faces = _sphere(2)
    vertices = (points * 1.2 + POSE[:3, 3] + POSE[:3, 2] * 4).astype(np.float32)
    triangles, count = faces.astype(np.uint32), len(faces)
    hit, *_ = see(vertices, triangles)
    pixels, offsets = np.arange(hit.size), np.array([[0.3, -0.2], [-0.3, 0.2]])
    found, rays = np.empty(2 * hit.size, np.int32), np.empty((2 * hit.size, 3), np.float32)
    depth, weights = np.empty(2 * hit.size, np.float32), np.empty((2 * hit.size, 2), np.float32)
    resolve_beside(
        to_camera(vertices, POSE), triangles, LENS, POSE, 50.0, hit.reshape(SHAPE), pixels, offsets, found, rays,
        depth, weights,
    )  # fmt: skip
    floor = np.array([[-50, -50, 0], [50, -50, 0], [50, 50, 0], [-50, 50, 0]], np.float32)
    last = len(vertices) + np.array([[0, 1, 2], [0, 2, 3]])
    world = ray_scene((np.concatenate([vertices, floor]), np.concatenate([triangles, last])))
    expected = world.cast_rays(rays_of(POSE[:3, 3].astype(np.float32), rays), nthreads=1)
    far = expected["t_hit"].numpy()
    same = np.isclose(depth, far, rtol=1e-3) | (np.isinf(depth) & np.isinf(far))
    assert same.mean() > 0.998 and (found == count).sum() > 1000
    solid = same & (found >= 0) & (found < count) & (found == expected["primitive_ids"].numpy())
    assert solid.sum() > 1500
    np.testing.assert_allclose(weights[solid], expected["primitive_uvs"].numpy()[solid], atol=2e-3)
    way = np.array([(127.3 - LENS[2]) / LENS[0], (-0.2 - LENS[3]) / LENS[1], 1.0])  # right end of the first row
    np.testing.assert_allclose(rays[127], POSE[:3, :3] @ way / np.linalg.norm(way), atol=1e-6)
