"""The reference line of a road: curvature and grade profiles integrated into a table of stations.

Road coordinates: station ``s`` metres along the line, offset ``d`` metres to its left, height above the surface.
World axes: x east, y north, z up; the line starts at the origin of ``s`` with heading 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perception.errors import PerceptionError

STEP = 0.5
"""Distance between stations of the table in metres."""


@dataclass(frozen=True, eq=False)
class Road:
    """A road reference line sampled every :data:`STEP` metres.

    Attributes:
        start: Station of the first sample, metres.
        x: (S,) float64 world metres.
        y: (S,) float64 world metres.
        z: (S,) float64 world metres.
        heading: (S,) float64 radians, counter-clockwise from world x.
        curvature: (S,) float64 1/m, positive to the left.
        grade: (S,) float64 slope dz/ds.
    """

    start: float
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    heading: np.ndarray
    curvature: np.ndarray
    grade: np.ndarray

    @property
    def end(self) -> float:
        """Last station in metres."""
        return self.start + STEP * (len(self.x) - 1)

    def at(self, s: np.ndarray | float, column: str) -> np.ndarray:
        """Interpolate a column (``x``, ``heading``, ...) at stations ``s``; the ends are held."""
        table = getattr(self, column)
        position = np.clip((np.asarray(s, dtype=np.float64) - self.start) / STEP, 0, len(table) - 1)
        index = np.minimum(position.astype(np.int64), len(table) - 2)
        share = position - index
        return table[index] * (1 - share) + table[index + 1] * share

    def points(self, s: np.ndarray | float, d: np.ndarray | float, up: np.ndarray | float = 0.0) -> np.ndarray:
        """World points (..., 3) of road coordinates; ``s``, ``d`` and ``up`` broadcast."""
        heading = self.at(s, "heading")
        x = self.at(s, "x") - np.sin(heading) * d
        y = self.at(s, "y") + np.cos(heading) * d
        z = self.at(s, "z") + up
        out = np.empty((*np.broadcast_shapes(np.shape(x), np.shape(z)), 3))
        out[..., 0], out[..., 1], out[..., 2] = x, y, z
        return out

    def pose(self, s: float, d: float = 0.0, yaw: float = 0.0) -> np.ndarray:
        """(4, 4) world pose of a body that stands on the surface: x along the road (plus ``yaw``), z normal to it."""
        heading, slope = float(self.at(s, "heading")) + yaw, float(np.arctan(self.at(s, "grade"))) * np.cos(yaw)
        forward = np.array([np.cos(heading) * np.cos(slope), np.sin(heading) * np.cos(slope), np.sin(slope)])
        left = np.array([-np.sin(heading), np.cos(heading), 0.0])
        pose = np.eye(4)
        pose[:3, 0], pose[:3, 1], pose[:3, 2] = forward, left, np.cross(forward, left)
        pose[:3, 3] = self.points(s, d)
        return pose

    def visible_end(self, s: float, reach: float, turn: float = 1.35) -> float:
        """Station up to which the road ahead of ``s`` is drawn: ``reach`` metres or a turn by ``turn`` rad."""
        ahead = np.arange(s, min(s + reach, self.end), 2.0)
        turned = np.abs(self.at(ahead, "heading") - self.at(s, "heading")) > turn
        return float(ahead[np.argmax(turned)]) if turned.any() else min(s + reach, self.end)


def make_road(
    curvature: np.ndarray, grade: np.ndarray, knots: np.ndarray, start: float = -40.0, end: float = 420.0
) -> Road:
    """Integrate profiles that are linear between knots (clothoids in plan, parabolas in elevation).

    Args:
        curvature: (K,) 1/m at the knots.
        grade: (K,) slope at the knots.
        knots: (K,) ascending stations, metres.
        start: First station.
        end: Last station.

    Raises:
        PerceptionError: Profiles of different lengths, an empty range, or a radius below 10 m.
    """
    curvature, grade, knots = (np.asarray(v, dtype=np.float64) for v in (curvature, grade, knots))
    if not (len(curvature) == len(grade) == len(knots) >= 1) or (np.diff(knots) <= 0).any():
        raise PerceptionError(
            f"road: expected profiles at ascending knots, found {len(curvature)}, {len(grade)}, {len(knots)} values"
        )
    if end <= start + STEP:
        raise PerceptionError(f"road: expected end > start, found {start} to {end} m")
    if np.abs(curvature).max() > 0.1 or not np.isfinite(curvature).all():
        raise PerceptionError(f"road: expected radii above 10 m, found curvature {curvature.tolist()}")
    station = np.arange(start, end + STEP / 2, STEP)
    k, g = np.interp(station, knots, curvature), np.interp(station, knots, grade)
    zero = int(np.clip(round(-start / STEP), 0, len(station) - 1))
    heading = _integral(k, zero)
    x, y, z = _integral(np.cos(heading), zero), _integral(np.sin(heading), zero), _integral(g, zero)
    return Road(float(start), x, y, z, heading, k, g)


def arc_road(radius: float = np.inf, grade: float = 0.0, end: float = 420.0) -> Road:
    """A straight (infinite radius) or circular road of constant grade; it bends to the left.

    Raises:
        PerceptionError: Radius not above 10 m.
    """
    if not radius > 10.0:
        raise PerceptionError(f"road: expected a radius above 10 m, found {radius}")
    return make_road(np.array([1.0 / radius]), np.array([grade]), np.array([0.0]), end=end)


def random_road(rng: np.random.Generator, end: float, bend: float, hills: float) -> Road:
    """A random alignment.

    Args:
        rng: Source of randomness.
        end: Last station, metres.
        bend: Largest curvature in 1/m.
        hills: Largest grade.
    """
    knots = np.cumsum(np.concatenate([[-40.0], rng.uniform(25, 130, int(end // 60) + 4)]))
    curvature = bend * rng.uniform(-1, 1, len(knots)) * (rng.random(len(knots)) > 0.25)
    if rng.random() < 0.5:  # one long bend of constant radius
        curvature = np.full(len(knots), bend * rng.choice([-1, 1]) * rng.uniform(0.5, 1))
    grade = hills * np.cumsum(rng.normal(0, 0.5, len(knots)))
    grade -= np.interp(0.0, knots, grade) - rng.normal(0, 0.3) * hills
    return make_road(curvature, np.clip(grade, -2 * hills, 2 * hills), knots, end=end)


def _integral(values: np.ndarray, zero: int) -> np.ndarray:
    """Trapezoid integral over the station table that vanishes at index ``zero``."""
    total = np.concatenate([[0.0], np.cumsum((values[1:] + values[:-1]) * (STEP / 2))])
    return total - total[zero]
