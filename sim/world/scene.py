"""A scene: everything the sensors may see, as plain data. Builders fill it, sensors only read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from perception.sim.world.mesh import Mesh, merge
from perception.sim.world.road import Road
from perception.sim.world.section import Section


class Surface(NamedTuple):
    """How the paved surface looks; lengths in metres, amplitudes relative to its brightness unless said otherwise."""

    grain: float = 0.12
    """Amplitude of centimetre-scale grain."""
    mottle: float = 0.10
    """Amplitude of metre-scale brightness variation."""
    streaks: float = 0.05
    """Amplitude of variation stretched along the road."""
    tracks: float = 0.08
    """Darkening (negative: polishing) of the two wheel tracks of every lane."""
    oil: float = 0.08
    """Darkening of the middle of every lane."""
    cracks: float = 0.0
    """Amount of fine cracks, 0 to 1."""
    joint_period: float = 0.0
    """Distance of transverse expansion joints; 0 for none."""
    joint_width: float = 0.02
    joint_tone: float = 0.45
    """Brightness of a joint relative to the slab."""
    wet: float = 0.0
    """0 dry to 1 wet."""
    puddles: float = 0.0
    """Share of the surface under water."""
    dapple: float = 0.0
    """Strength of shadows of trees that stand outside the scene, 0 to 1."""
    dapple_scale: float = 1.0
    """Size of a leaf shadow."""
    shade_from: float = 1e6
    """Station where a cast shadow of a bridge or building begins."""
    shade_to: float = 1e6
    shade_slant: float = 0.0
    """Tangent of the angle of that shadow across the road."""
    shade_soft: float = 0.1
    """Half width of its edge."""
    offset_x: float = 0.0
    """Shift of the noise patterns."""
    offset_y: float = 0.0


class Light(NamedTuple):
    """Illumination and weather; colours are linear RGB, directions are world unit vectors."""

    sun_dir: tuple[float, float, float] = (0.3, 0.4, 0.85)
    sun: tuple[float, float, float] = (1.0, 0.96, 0.88)
    ambient: tuple[float, float, float] = (0.35, 0.40, 0.50)
    zenith: tuple[float, float, float] = (0.16, 0.33, 0.75)
    horizon: tuple[float, float, float] = (0.65, 0.78, 0.95)
    cloud: float = 0.3
    """Cloud cover, 0 to 1."""
    cloud_tone: float = 0.9
    cloud_scale: float = 0.3
    fog: float = 0.0003
    """Extinction in 1/m."""
    headlights: float = 0.0
    """Strength of the ego's headlights; 0 by day."""
    lamps: float = 0.0
    """Strength of street lamps; 0 by day."""
    lights_on: float = 0.0
    """Radiance of other vehicles' lights."""
    hills: tuple[float, float] = (0.03, 0.06)
    """Height of two horizon silhouettes (tangent of elevation)."""
    hill_color: tuple[float, float, float] = (0.10, 0.14, 0.10)
    seed: float = 0.0
    """Shift of the cloud and hill patterns."""


@dataclass(frozen=True)
class Decal:
    """A shape painted on, or laid into, the road: ``rect``, ``triangle`` (tip at ``s1``), ``disk`` or ``patch``.

    A ``patch`` multiplies what is below by ``color``; the others cover it with ``opacity``.
    """

    s0: float
    s1: float
    d0: float
    d1: float
    color: tuple[float, float, float] = (0.7, 0.7, 0.68)
    shape: str = "rect"
    opacity: float = 0.9


@dataclass(frozen=True)
class Seam:
    """A long thin stripe that is no lane: tar seam, joint, skid mark; it meanders by ``wiggle`` metres."""

    offset: float
    width: float = 0.04
    tone: float = 0.4
    wiggle: float = 0.0
    s0: float = -1e6
    s1: float = 1e6
    scale: float = 0.1


@dataclass(frozen=True, eq=False)
class Vehicle:
    """A box-composed vehicle that moves along the road.

    Attributes:
        mesh: Triangles in its own frame: x forward, y left, z up, origin on the ground below its middle.
        size: (length, width, height) metres.
        s: Station of its middle at time 0.
        d: Offset.
        yaw: Heading relative to the road, radians (pi for oncoming).
        speed: ds/dt, m/s.
    """

    mesh: Mesh
    size: tuple[float, float, float]
    s: float
    d: float
    yaw: float = 0.0
    speed: float = 0.0

    def station(self, time: float) -> float:
        """Station of its middle at ``time`` seconds."""
        return self.s + self.speed * time


@dataclass(frozen=True)
class Ego:
    """How the ego moves: ``s`` grows with ``speed``, ``d`` follows a lane change, ``yaw`` is the heading error."""

    s: float = 0.0
    d: float = 0.0
    yaw: float = 0.0
    speed: float = 20.0
    sway: float = 0.0
    """Amplitude of slow lateral swaying, metres."""
    change: tuple[float, float, float] = (1e6, 4.0, 0.0)
    """Lane change: begin time s, duration s, lateral shift m."""

    def state(self, time: float) -> tuple[float, float, float]:
        """(s, d, yaw relative to the road) at ``time`` seconds; yaw includes the direction of lateral motion."""
        begin, duration, shift = self.change

        def offset(t: float) -> float:
            u = min(max((t - begin) / duration, 0.0), 1.0)
            return self.d + shift * u * u * (3 - 2 * u) + self.sway * float(np.sin(0.7 * t))

        rate = (offset(time + 0.05) - offset(time - 0.05)) / 0.1
        return self.s + self.speed * time, offset(time), self.yaw + float(np.arctan2(rate, max(self.speed, 1.0)))


@dataclass(frozen=True, eq=False)
class Scene:
    """A stretch of road with everything on and beside it.

    Attributes:
        road: Reference line.
        section: Cross-section.
        surface: Look of the pavement.
        light: Illumination and weather.
        ego: Motion of the ego vehicle.
        furniture: Static objects, world coordinates.
        vehicles: Moving and parked vehicles.
        decals: Paint and patches on the road that are no lane lines.
        seams: Long thin stripes that are no lane lines.
        lamps: (N, 3) world positions of street lamps.
        tags: What the builder chose, for statistics.
    """

    road: Road
    section: Section
    surface: Surface = field(default_factory=Surface)
    light: Light = field(default_factory=Light)
    ego: Ego = field(default_factory=Ego)
    furniture: Mesh = field(default_factory=lambda: merge([]))
    vehicles: tuple[Vehicle, ...] = ()
    decals: tuple[Decal, ...] = ()
    seams: tuple[Seam, ...] = ()
    lamps: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    tags: dict[str, Any] = field(default_factory=dict)
