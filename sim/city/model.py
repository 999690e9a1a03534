"""What a simulated town is, as plain data. Generators fill it; sensors, truth and writers only read it.

Frame: world, x east, y north, z up, metres. Times are seconds since the world began.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from perception.sim.city.actors import Actors
from perception.sim.world.mesh import Mesh
from perception.sim.world.scene import Light


class Category(IntEnum):
    """Semantic class of a surface or an object; the value is what semantic images and LiDAR labels hold."""

    SKY = 0
    ROAD = 1
    LANE_MARK = 2
    CROSSING = 3
    SIDEWALK = 4
    TERRAIN = 5
    BUILDING = 6
    WALL = 7
    POLE = 8
    VEGETATION = 9
    VEHICLE = 10
    PERSON = 11
    TRAFFIC_LIGHT = 12
    TRAFFIC_SIGN = 13
    BILLBOARD = 14
    OTHER = 15


class LineType(IntEnum):
    """Type of a lane's boundary, numbered as in OpenLane-V2."""

    NONE = 0
    SOLID = 1
    DASHED = 2


@dataclass(frozen=True, eq=False)
class Lane:
    """One lane between two nodes of the network.

    Attributes:
        id: Unique, equals its index in ``Town.lanes``.
        centerline: (N, 3) float64, in driving direction, points at most 2 m apart.
        left: (N, 3) float64 left boundary, point by point beside the centerline.
        right: (N, 3) float64 right boundary.
        left_type: Type of the left boundary.
        right_type: Type of the right boundary.
        successors: Ids of the lanes that begin where this one ends.
        predecessors: Ids of the lanes that end where this one begins.
        intersection: Id of the intersection that a connecting lane crosses, else -1.
        turn: "straight", "left", "right" or "u_turn".
        speed: Speed limit, m/s.
        elements: Ids of the traffic elements that rule this lane.
        joins: 1 when it swings into its inner neighbour at its end, -1 when it splits off at its begin, else 0.
    """

    id: int
    centerline: np.ndarray
    left: np.ndarray
    right: np.ndarray
    left_type: LineType = LineType.NONE
    right_type: LineType = LineType.NONE
    successors: tuple[int, ...] = ()
    predecessors: tuple[int, ...] = ()
    intersection: int = -1
    turn: str = "straight"
    speed: float = 13.9
    elements: tuple[int, ...] = ()
    joins: int = 0


@dataclass(frozen=True, eq=False)
class Area:
    """A closed region on the ground.

    Attributes:
        kind: "crossing" (pedestrians) or "intersection".
        polygon: (N, 3) float64 corners in order, not repeated; a crossing has 4: two along one edge from kerb to kerb,
            two back.
    """

    kind: str
    polygon: np.ndarray


@dataclass(frozen=True, eq=False)
class Element:
    """A traffic light, a traffic sign, a painted arrow sign on a gantry, or a billboard: a flat face in space.

    Attributes:
        id: Unique, equals its index in ``Town.elements``.
        kind: "light", "sign" or "billboard".
        attribute: OpenLane-V2 attribute 0 to 12 (unknown, red, green, yellow, go_straight, turn_left, turn_right,
            no_left_turn, no_right_turn, u_turn, no_u_turn, slight_left, slight_right); 0 for signs without one.
        shape: Name of the sign's REAP shape ("circle-750.0", ... see :mod:`perception.sim.city.faces`), "" for others.
        corners: (4, 3) float64 of the face's bounding rectangle: top left, top right, bottom right, bottom left as
            seen by who reads it.
        outline: (N, 3) float64 edge of the face in order.
        keypoints: (K, 3) float64 corners of a sign face as REAP annotates them; (0, 3) for others.
        instance: Instance id of its triangles.
    """

    id: int
    kind: str
    attribute: int
    shape: str
    corners: np.ndarray
    outline: np.ndarray
    keypoints: np.ndarray
    instance: int


@dataclass(frozen=True, eq=False)
class Track:
    """Motion of an actor over time.

    Attributes:
        times: (N,) float64 seconds, ascending; outside of them the first or last pose holds.
        positions: (N, 3) float64 world position of its origin on the ground.
        yaws: (N,) float64 radians, unwrapped.
    """

    times: np.ndarray
    positions: np.ndarray
    yaws: np.ndarray


@dataclass(frozen=True, eq=False)
class GroundMap:
    """The ground: a height field with a painted picture and a category for every cell.

    Row r, column c cover world point ``origin + resolution * (c + 0.5, r + 0.5)``; rows grow with y.

    Attributes:
        origin: (2,) float64 world x, y of the corner of cell (0, 0).
        resolution: Metres a cell of ``albedo`` and ``category`` (about 0.04).
        albedo: (H, W, 3) uint8, 255 times the square root of the linear reflectance (dark asphalt keeps its shades),
            paint and wear included, without light.
        category: (H, W) uint8 of :class:`Category`.
        height_step: Metres a node of ``height``.
        height: (h, w) float32 metres at nodes ``origin + height_step * (c, r)``; kerbs are meshes of their own.
    """

    origin: np.ndarray
    resolution: float
    albedo: np.ndarray
    category: np.ndarray
    height_step: float
    height: np.ndarray

    def height_at(self, xy: np.ndarray) -> np.ndarray:
        """(N,) float64 bilinear height at (N, 2) world ``xy``, clamped at the border."""
        from perception.sim.city.terrain import sample_height

        return sample_height(self, xy)


@dataclass(frozen=True, eq=False)
class Town:
    """A seeded world with everything the sensors may see.

    Attributes:
        seed: Seed it was made from.
        ground: Ground with lane marks and crossings painted on it.
        static: All furniture as one mesh, elements included.
        static_category: (T,) uint8 category of its triangles.
        static_instance: (T,) int32 instance of its triangles; 0 for what is not counted.
        textures: Pictures (H, W, 4) uint8 sRGB + alpha for element faces, by instance id; texture coordinates of these
            triangles run 0..1 from the top left corner.
        lanes: Lanes, connecting lanes included.
        areas: Crossings and intersections.
        boundaries: Edges of the paved road, (N, 3) float64 each.
        elements: Traffic lights, signs and billboards.
        meshes: Shared meshes of actors.
        actors: Vehicles and people, instances counted on from the static ones.
        ego: Motion of the ego (rear axle on the ground) along lanes.
        ego_lanes: Ids of the lanes that the ego follows, in order.
        light: Illumination and weather (as for roads), with ``wet`` 0 to 1 beside it.
        wet: Wetness of the ground, 0 to 1.
        lamps: (N, 3) street lamps.
        tags: What the generator chose, for statistics.
    """

    seed: int
    ground: GroundMap
    static: Mesh
    static_category: np.ndarray
    static_instance: np.ndarray
    textures: dict[int, np.ndarray]
    lanes: tuple[Lane, ...]
    areas: tuple[Area, ...]
    boundaries: tuple[np.ndarray, ...]
    elements: tuple[Element, ...]
    meshes: tuple[Mesh, ...]
    actors: Actors
    ego: Track
    ego_lanes: tuple[int, ...]
    light: Light
    wet: float = 0.0
    lamps: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    tags: dict[str, Any] = field(default_factory=dict)

    @property
    def instances(self) -> int:
        """One more than the largest instance."""
        return int(max(self.static_instance.max(initial=0), self.actors.instance.max(initial=0))) + 1


def pose_at(track: Track, time: float, ground: GroundMap | None = None) -> np.ndarray:
    """(4, 4) float64 ``world_from_actor`` at ``time``; upright, or tilted with the ground when one is given."""
    from perception.sim.city.terrain import place

    position = np.array([np.interp(time, track.times, track.positions[:, axis]) for axis in range(3)])
    yaw = float(np.interp(time, track.times, track.yaws))
    return place(position, yaw, ground)
