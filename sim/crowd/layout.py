"""Where the camera stands and where people stand: squares, streets, queues, stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perception.geometry.camera import Camera
from perception.geometry.transforms import CAMERA_AXES_IN_EGO, make_pose, rotation_from_euler
from perception.sim.sensors.noise import FRACTAL, SIZE, SMOOTH, texture

MAX_HEAD = 110.0
"""Largest head in pixels of a picture 1024 wide; nearer people are left out."""
SMALLEST_HEAD = 7.0
"""Smallest head in pixels of a picture 1024 wide: smaller ones are specks, which nobody labels reliably."""
HEAD = 0.23
"""Height of a head that sizes in pixels refer to, metres."""


@dataclass(frozen=True, eq=False)
class Site:
    """A camera and the ground in front of it; the world has the camera above its origin, looking along x.

    Attributes:
        camera: With its pose in the world as ``ego_from_camera``.
        near: Distance of the nearest people, metres.
        far: Distance of the furthest people, metres.
        rise: Slope of stands beyond ``stand_from``; 0 for flat ground.
        stand_from: Distance at which stands begin, metres.
        row: Depth of a row of the stands, metres.
    """

    camera: Camera
    near: float
    far: float
    rise: float = 0.0
    stand_from: float = 1e9
    row: float = 0.8

    def ground(self, x: np.ndarray) -> np.ndarray:
        """(N,) height of the floor at distance ``x`` (N,)."""
        steps = np.ceil((np.asarray(x) - self.stand_from) / self.row).clip(0)
        return steps * self.row * self.rise

    def project(self, points: np.ndarray) -> np.ndarray:
        """(N, 2) pixels of (N, 3) world points; NaN behind the camera."""
        pose = self.camera.ego_from_camera
        assert pose is not None
        local = (points - pose[:3, 3]) @ pose[:3, :3]
        fx, fy = self.camera.intrinsics[0, 0], self.camera.intrinsics[1, 1]
        depth = np.where(local[:, 2] > 0.05, local[:, 2], np.nan)
        x = local[:, 0] / depth * fx + self.camera.intrinsics[0, 2]
        return np.stack([x, local[:, 1] / depth * fy + self.camera.intrinsics[1, 2]], -1)


def random_site(rng: np.random.Generator, size: tuple[int, int], people: int) -> Site:
    """A camera from eye level to a mast, with room for about ``people`` people in view; tries a few."""
    best, room = None, -1.0
    for _ in range(10):
        site = _draw_site(rng, size, people)
        fits = _room(site)
        if fits > room:
            best, room = site, fits
        if fits > 1.3 * people:
            break
    assert best is not None
    return best


def _draw_site(rng: np.random.Generator, size: tuple[int, int], people: int) -> Site:
    width, height = size
    kind = rng.random()
    if people > 300 or kind > 0.8:
        up = float(np.exp(rng.uniform(np.log(5), np.log(25))))
    else:
        up = rng.uniform(1.5, 2.4) if kind < 0.3 else float(np.exp(rng.uniform(np.log(2.2), np.log(7))))
    fov = np.deg2rad(rng.uniform(28, 78))
    focal = width / 2 / np.tan(fov / 2)
    smallest = float(np.exp(rng.uniform(np.log(SMALLEST_HEAD), np.log(28 if people < 200 else 11)))) * width / 1024
    smallest = max(smallest, 3.6)
    far = float(np.clip(focal * HEAD / smallest, 6, 110))
    near_head = MAX_HEAD * width / 1024 * rng.uniform(0.3, 1)
    half = np.arctan(height / 2 / focal)
    aim = float(np.exp(rng.uniform(np.log(max(1.5, 0.12 * far)), np.log(0.8 * far))))
    pitch = float(np.clip(np.arctan2(up - 1.0, aim), -0.05, 1.2))
    below = pitch + half
    bottom = max(up - 1.75, 0.0) / np.tan(below) if below < 1.5 else 0.0
    near = max(float(np.hypot(focal * HEAD / near_head, 0) - up * 0.4), bottom, 0.8)
    intrinsics = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]])
    roll = np.deg2rad(rng.normal(0, 2.5))
    pose = make_pose(rotation_from_euler(roll, pitch, 0.0) @ CAMERA_AXES_IN_EGO, np.array([0.0, 0.0, up]))
    rise, start = 0.0, 1e9
    if rng.random() < 0.14 and far > 12:
        rise, start = rng.uniform(0.3, 0.6), rng.uniform(near, max(near + 1.0, 0.5 * far))
    camera = Camera("crowd", width, height, intrinsics, ego_from_camera=pose)
    return Site(camera, near, max(far, near + 4), rise, start, rng.uniform(0.7, 1.0))


def _room(site: Site) -> float:
    """How many people fit in view when packed."""
    return float(len(_grid(np.random.default_rng(0), site, 1.0, margin=0.0)) / 0.25)


def _grid(rng: np.random.Generator, site: Site, spacing: float, margin: float = 40.0) -> np.ndarray:
    """(N, 3) places on a jittered hexagonal grid whose heads are in the picture, or within ``margin`` pixels of it."""
    half = site.camera.width / 2 / site.camera.intrinsics[0, 0]
    wide = site.far * half * 1.2 + 2
    rows = np.arange(site.near, site.far, spacing * 0.87)
    columns = np.arange(-wide, wide, spacing)
    x, y = np.meshgrid(rows, columns, indexing="ij")
    y = y + (np.arange(len(rows)) % 2)[:, None] * spacing / 2
    x, y = x.ravel(), y.ravel()
    keep = np.abs(y) < (x + 3) * half * 1.25 + 1.5
    x, y = x[keep], y[keep]
    jitter = rng.normal(0, 0.16 * spacing, (2, len(x)))
    x, y = x + jitter[0], y + jitter[1]
    if site.rise:  # rows of a stand
        row = np.ceil((x - site.stand_from) / site.row)
        x = np.where(row > 0, site.stand_from + (row - 0.5) * site.row + 0.3 * jitter[0], x)
    points = np.stack([x, y, site.ground(x)], -1)
    pixel = site.project(points + [0, 0, 1.6])
    inside = (pixel > -margin).all(1) & (pixel < np.array(site.camera.size) + margin).all(1)
    return points[inside]


def random_places(
    rng: np.random.Generator, site: Site, people: int, blocked: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of about ``people`` people whose heads are in view.

    Args:
        rng: Source of randomness.
        site: Camera and ground.
        people: How many are wanted; fewer when there is no room.
        blocked: (K, 3) discs x, y, radius on which nobody stands.

    Returns:
        (N, 3) positions, (N,) yaw, (N,) bool whether seated.
    """
    spacing = rng.uniform(0.42, 0.62) if people > 150 else rng.uniform(0.45, 1.1)
    places = _grid(rng, site, spacing)
    if len(blocked):
        apart = np.linalg.norm(places[:, None, :2] - blocked[None, :, :2], axis=2)
        places = places[(apart > blocked[None, :, 2]).all(1)]
    clump = _clumps(rng, places)
    # As many people at every distance as at every size in the picture lets few heads be tiny; the truth lies between.
    weight = clump - rng.uniform(0.0, 1.6) * np.log(np.maximum(places[:, 0], 1.0))
    score = weight - np.log(-np.log(rng.random(len(places)) + 1e-12) + 1e-12)
    chosen = np.argsort(-score)[:people]
    places = places[chosen]
    yaw = _headings(rng, places)
    seated = (places[:, 2] > 0) & (rng.random(len(places)) < rng.choice([0.0, 0.5, 1.0]))
    if site.rise:
        yaw = np.where(places[:, 2] > 0, np.pi + rng.normal(0, 0.3, len(places)), yaw)
    return places, yaw, seated


def _clumps(rng: np.random.Generator, places: np.ndarray) -> np.ndarray:
    """(N,) log weights that make people gather: in wide drifts, in small groups, along a line, or not at all."""
    tex = texture()
    shift = rng.uniform(0, SIZE, 2)

    def field(wave: float, channel: int) -> np.ndarray:
        cell = np.floor(places[:, :2] * (8.0 / wave) + shift).astype(int) % SIZE
        return tex[cell[:, 1], cell[:, 0], channel]

    weight = rng.choice([0.0, 1.0, 3.0]) * field(rng.uniform(6, 30), FRACTAL)
    weight = weight + rng.choice([0.0, 1.5, 4.0]) * field(rng.uniform(1.5, 3.5), SMOOTH)
    if rng.random() < 0.35:  # a queue, a pavement or a procession
        angle, offset = rng.uniform(0, np.pi), rng.normal(0, 4)
        anchor = places[rng.integers(len(places))] if len(places) else np.zeros(3)
        across = (places[:, :2] - anchor[:2]) @ np.array([-np.sin(angle), np.cos(angle)]) - offset * 0.1
        weight = weight + rng.uniform(2, 6) * np.exp(-((across / rng.uniform(0.6, 5)) ** 2))
    return weight


def _headings(rng: np.random.Generator, places: np.ndarray) -> np.ndarray:
    """(N,) yaw: a common direction and its opposite, everybody towards one point, or any way."""
    count, kind = len(places), rng.random()
    if kind < 0.45:
        way = rng.uniform(0, 2 * np.pi)
        return way + np.pi * (rng.random(count) < rng.uniform(0, 0.5)) + rng.normal(0, 0.5, count)
    if kind < 0.7:
        focus = np.array([rng.uniform(-10, 60), rng.uniform(-30, 30)])
        towards = focus - places[:, :2]
        return np.arctan2(towards[:, 1], towards[:, 0]) + rng.normal(0, 0.4, count)
    return rng.uniform(0, 2 * np.pi, count)
