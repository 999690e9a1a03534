"""Vehicles composed of boxes and slanted prisms: cars, vans, trucks and buses with wheels, windows and lights."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from perception.sim.world.mesh import GLASS, LIGHT, MATTE, PAINT, Mesh, box, cylinder, frustum, merge, quad

KINDS = ("car", "suv", "van", "truck", "bus")
_COLORS = np.array(
    [
        (0.75, 0.75, 0.75), (0.45, 0.46, 0.48), (0.20, 0.21, 0.22), (0.03, 0.03, 0.035), (0.02, 0.02, 0.02),
        (0.45, 0.03, 0.03), (0.03, 0.07, 0.28), (0.12, 0.20, 0.35), (0.55, 0.50, 0.40), (0.05, 0.16, 0.08),
        (0.70, 0.50, 0.05), (0.35, 0.12, 0.03), (0.8, 0.8, 0.8),
    ]
)  # fmt: skip
_DARK, _TYRE, _GLASS = (0.02, 0.02, 0.02), (0.012, 0.012, 0.013), (0.02, 0.025, 0.03)


@lru_cache(maxsize=2)
def vehicle_pool(lights: bool) -> dict[str, tuple[tuple[Mesh, tuple[float, float, float]], ...]]:
    """Vehicles of each kind, made once per process from a fixed seed, with or without their lamps on."""
    rng = np.random.default_rng(5)
    counts = {"car": 24, "suv": 14, "van": 8, "truck": 8, "bus": 4}
    return {kind: tuple(make_vehicle(rng, kind, float(lights)) for _ in range(n)) for kind, n in counts.items()}


@lru_cache(maxsize=1)
def racer_pool() -> tuple[tuple[Mesh, tuple[float, float, float]], ...]:
    """Open-wheel race cars, made once per process from a fixed seed."""
    rng = np.random.default_rng(6)
    return tuple(_racer(rng) for _ in range(12))


def _racer(rng: np.random.Generator) -> tuple[Mesh, tuple[float, float, float]]:
    color = _COLORS[rng.integers(len(_COLORS))] * rng.uniform(0.9, 1.2)
    second = _COLORS[rng.integers(len(_COLORS))]
    length, width, height = 4.9, 1.93, 1.16
    parts = [
        frustum((-2.1, 2.3, -0.34, 0.34), (-1.9, 1.3, -0.26, 0.26), (0.08, 0.62), color, PAINT),
        frustum((-1.3, 0.7, -0.75, 0.75), (-1.2, 0.2, -0.7, 0.7), (0.08, 0.5), second, PAINT),
        frustum((-1.7, -0.2, -0.2, 0.2), (-1.2, -0.4, -0.14, 0.14), (0.6, 1.05), color, PAINT),
        box((-0.25, -0.25, 0.55), (0.5, 0.25, 0.72), _DARK),
        box((1.95, -width / 2, 0.1), (2.45, width / 2, 0.17), second, PAINT),
        box((-2.45, -0.75, 0.85), (-2.05, 0.75, 0.93), second, PAINT),
        box((-2.45, -0.78, 0.45), (-2.05, -0.72, height), color, PAINT),
        box((-2.45, 0.72, 0.45), (-2.05, 0.78, height), color, PAINT),
    ]
    return merge(parts + _wheels(length, width, 0.35)), (length, width, height)


def make_vehicle(rng: np.random.Generator, kind: str, lights: float = 0.0) -> tuple[Mesh, tuple[float, float, float]]:
    """A random vehicle.

    Args:
        rng: Source of randomness.
        kind: One of :data:`KINDS`.
        lights: Radiance of its lamps when they are on; 0 for off.

    Returns:
        Its mesh (x forward, y left, z up, origin on the ground below its middle) and (length, width, height) in metres.
    """
    color = _COLORS[rng.integers(len(_COLORS))] * rng.uniform(0.8, 1.15)
    if kind in ("car", "suv"):
        parts, size = _car(rng, color, tall=kind == "suv")
    elif kind == "van":
        parts, size = _van(rng, color)
    else:
        parts, size = _heavy(rng, color, bus=kind == "bus")
    parts += _lamps(size, lights) + _plates(size)
    return merge(parts), size


def _car(rng: np.random.Generator, color: np.ndarray, tall: bool) -> tuple[list[Mesh], tuple[float, float, float]]:
    length, width = rng.uniform(3.9, 5.0), rng.uniform(1.7, 1.95)
    height = rng.uniform(1.65, 1.85) if tall else rng.uniform(1.38, 1.52)
    belt = height * rng.uniform(0.58, 0.64)
    a, b, w = -length / 2, length / 2, width / 2
    rear = a + (rng.uniform(0.1, 0.4) if tall or rng.random() < 0.4 else rng.uniform(0.7, 1.1))
    front = b - rng.uniform(1.0, 1.3)
    roof = (rear + rng.uniform(0.25, 0.55), front - rng.uniform(0.5, 0.8), -w * 0.76, w * 0.76)
    cabin = (rear - 0.05, front + 0.15, -w * 0.94, w * 0.94)
    parts = [
        frustum((a + 0.06, b - 0.1, -w, w), (a, b, -w, w), (0.22, belt * 0.62), color, PAINT),
        frustum((a, b, -w, w), (a + 0.08, b - 0.25, -w * 0.93, w * 0.93), (belt * 0.62, belt), color, PAINT),
        frustum(cabin, roof, (belt, height - 0.06), _GLASS, GLASS),
        frustum(
            roof, (roof[0] + 0.1, roof[1] - 0.1, roof[2] * 0.92, roof[3] * 0.92), (height - 0.07, height), color, PAINT
        ),
        box((a + 0.15, -w * 0.9, 0.12), (b - 0.15, w * 0.9, 0.24), _DARK),
    ]
    for x in (cabin[0] + 0.02, (rear + front) / 2, cabin[1] - 0.05):  # pillars
        lean = (roof[0] if x < 0 else roof[1]) if abs(x - (rear + front) / 2) > 0.2 else x
        for side in (-1.005, 1.005):
            low, high = (x, cabin[3] * side, belt), (lean, roof[3] * side, height - 0.05)
            corners = np.array([low, (low[0] + 0.1, *low[1:]), (high[0] + 0.1, *high[1:]), high])
            parts.append(quad(corners, color, PAINT))
    return parts + _wheels(length, width, rng.uniform(0.30, 0.37)), (length, width, height)


def _van(rng: np.random.Generator, color: np.ndarray) -> tuple[list[Mesh], tuple[float, float, float]]:
    length, width, height = rng.uniform(4.8, 6.2), rng.uniform(1.9, 2.1), rng.uniform(1.95, 2.6)
    a, b, w = -length / 2, length / 2, width / 2
    parts = [
        frustum((a, b - 0.7, -w, w), (a + 0.1, b - 1.5, -w * 0.93, w * 0.93), (1.0, height), color, PAINT),
        box((a, -w, 0.3), (b, w, 1.0), color, PAINT),
        frustum(
            (b - 1.6, b - 0.55, -w * 0.96, w * 0.96), (b - 1.7, b - 1.15, -w * 0.9, w * 0.9), (1.0, height * 0.85),
            _GLASS, GLASS,
        ),
        box((a + 0.1, -w * 0.9, 0.15), (b - 0.1, w * 0.9, 0.32), _DARK),
    ]  # fmt: skip
    if rng.random() < 0.7:
        z0, z1 = height * 0.55, height * 0.85
        corners = np.array(
            [(a - 0.01, -w * 0.8, z0), (a - 0.01, w * 0.8, z0), (a + 0.08, w * 0.75, z1), (a + 0.08, -w * 0.75, z1)]
        )
        parts.append(quad(corners, _GLASS, GLASS))  # fmt: skip
    return parts + _wheels(length, width, 0.36), (length, width, height)


def _heavy(rng: np.random.Generator, color: np.ndarray, bus: bool) -> tuple[list[Mesh], tuple[float, float, float]]:
    length, width, height = rng.uniform(8, 15), rng.uniform(2.4, 2.55), rng.uniform(2.9, 3.9)
    a, b, w = -length / 2, length / 2, width / 2
    parts = [box((a + 0.3, -w * 0.85, 0.5), (b - 0.2, w * 0.85, 1.0), _DARK)]
    if bus:
        parts += [
            box((a, -w, 0.4), (b, w, 1.3), color, PAINT),
            box((a + 0.05, -w * 0.99, 1.3), (b - 0.03, w * 0.99, height - 0.6), _GLASS, GLASS),
            box((a, -w, height - 0.6), (b, w, height), color, PAINT),
        ]
    else:
        tone = np.array((0.7, 0.7, 0.7)) if rng.random() < 0.6 else color
        parts += [
            box((a, -w, 1.0), (b - 2.6, w, height), tone, MATTE),
            box((b - 2.2, -w * 0.97, 0.5), (b, w * 0.97, height * 0.8), color, PAINT),
            box((b - 0.9, -w * 0.98, height * 0.45), (b + 0.02, w * 0.98, height * 0.7), _GLASS, GLASS),
            box((a - 0.02, -w, 0.35), (a + 0.05, w, 0.5), _DARK),
        ]
        line = rng.uniform(1.5, height - 0.4)
        parts.append(box((a - 0.015, -0.02, 1.05), (a, 0.02, height - 0.05), tone * 0.4))
        if rng.random() < 0.6:
            parts.append(box((a - 0.01, -w * 1.003, line), (b - 2.6, w * 1.003, line + 0.3), color))
    return parts + _wheels(length, width, 0.5), (length, width, height)


def _wheels(length: float, width: float, radius: float) -> list[Mesh]:
    """Four wheels, axles along y, a little wider than the body."""
    parts = []
    turn = np.eye(4)
    turn[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    for x in (-0.3 * length, 0.31 * length):
        for side in (-1, 1):
            pose = turn.copy()
            pose[:3, 3] = (x, side * (width / 2 - 0.1), radius)
            parts.append(cylinder(radius, -0.13, 0.13, _TYRE, sides=10).moved(pose))
            pose = pose.copy()
            pose[1, 3] += side * 0.01
            parts.append(cylinder(radius * 0.6, -0.13, 0.13, (0.3, 0.3, 0.31), sides=8).moved(pose))
    return parts


def _lamps(size: tuple[float, float, float], lights: float) -> list[Mesh]:
    """Tail lamps behind, head lamps in front; emitting when ``lights`` > 0."""
    length, width, height = size
    z = min(0.52 * height, 1.0)
    on = lights > 0
    red = (1.4 * lights, 0.06 * lights, 0.04 * lights) if on else (0.35, 0.02, 0.02)
    white = (3.0 * lights, 2.8 * lights, 2.4 * lights) if on else (0.6, 0.6, 0.6)
    parts = []
    for side in (-1, 1):
        y0, y1 = sorted((side * width * 0.47, side * width * 0.33))
        material = LIGHT if on else PAINT
        parts.append(box((-length / 2 - 0.02, y0, z - 0.13), (-length / 2 + 0.15, y1, z + 0.08), red, material))
        parts.append(box((length / 2 - 0.2, y0, z - 0.16), (length / 2 + 0.02, y1, z - 0.02), white, material))
    return parts


def _plates(size: tuple[float, float, float]) -> list[Mesh]:
    """Number plates, bumpers and a grille."""
    length = size[0]
    return [
        box((-length / 2 - 0.015, -0.26, 0.45), (-length / 2, 0.26, 0.57), (0.6, 0.6, 0.55)),
        box((-length / 2 - 0.01, -size[1] * 0.45, 0.24), (-length / 2 + 0.1, size[1] * 0.45, 0.36), _DARK),
        box((length / 2 - 0.1, -size[1] * 0.35, 0.3), (length / 2 + 0.01, size[1] * 0.35, 0.5), _DARK),
    ]
