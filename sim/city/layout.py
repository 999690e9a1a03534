"""Plan of a town: intersections on a jittered grid and the roads between them, as smooth reference lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perception.errors import PerceptionError, UnknownNameError

LAYOUTS = ("town", "oval")


@dataclass(frozen=True)
class TownConfig:
    """Odds and sizes of a random town; lengths in metres, probabilities within [0, 1].

    Attributes:
        layout: "town", or "oval" for a race track on which fast cars go round.
        blocks: (columns, rows) of the grid of intersections.
        block: Distance of neighbouring intersections.
        jitter: Largest shift of an intersection.
        bend: Largest sideways bulge of a road, as a share of its length.
        missing: Odds that a road between two intersections is left out.
        one_way: Odds of a one-way road.
        wide: Odds of two lanes in a direction.
        change: Odds that a direction of a road gains or loses a lane on its way.
        lane_width: Smallest and largest width of a lane.
        relief: Height of the hills.
        banking: Largest superelevation of bends, degrees.
        signals: Odds of traffic lights at an intersection.
        signs: Odds of a sign every 25 m beside a road.
        crossing: Odds of a pedestrian crossing at an arm of an intersection.
        traffic: Moving vehicles a kilometre of lane.
        parked: Odds of a parked car a place.
        people: Pedestrians a kilometre of pavement.
        crowd: People who stand together ahead of the ego, up to 1,500.
    """

    layout: str = "town"
    blocks: tuple[int, int] = (3, 3)
    block: float = 85.0
    jitter: float = 8.0
    bend: float = 0.06
    missing: float = 0.18
    one_way: float = 0.15
    wide: float = 0.45
    change: float = 0.25
    lane_width: tuple[float, float] = (3.1, 3.7)
    relief: float = 1.6
    banking: float = 4.0
    signals: float = 0.65
    signs: float = 0.35
    crossing: float = 0.6
    traffic: float = 9.0
    parked: float = 0.3
    people: float = 25.0
    crowd: int = 0

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise UnknownNameError("layout", self.layout, LAYOUTS)
        low, high = self.lane_width
        positive = min(*self.blocks, self.block - 55, low, high - low + 1e-9, self.relief + 1e-9, self.banking + 1e-9)
        odds = (
            self.missing,
            self.one_way,
            self.wide,
            self.change,
            self.signals,
            self.signs,
            self.crossing,
            self.parked,
        )
        if not positive > 0 or not all(0 <= value <= 1 for value in odds) or min(self.traffic, self.people) < 0:
            raise PerceptionError(
                "town: expected at least one intersection, blocks of 55 m or more, lane widths low <= high, odds "
                f"within [0, 1] and counts of 0 or more, found {self}"
            )
        if not 0 <= self.crowd <= 1500:
            raise PerceptionError(f"town: crowd: expected 0 to 1500 people, found {self.crowd}")
        if self.banking > 20:
            raise PerceptionError(f"town: banking: expected 0 to 20 degrees, found {self.banking}")
        if max(self.blocks) > 8 or self.people > 2000 or self.traffic > 60 or low < 2.4 or high > 5:
            raise PerceptionError(f"town: expected up to 8 x 8 blocks, 2000 people and 60 cars a km, found {self}")


@dataclass(frozen=True, eq=False)
class RoadPlan:
    """A road between two intersections, or from one to the border of the town.

    Attributes:
        ends: Index of the intersection at its begin and at its end; -1 at the border.
        line: (N, 2) float64 reference line at 1 m, trimmed at the intersections.
        forward: Lanes along the line (right of it), of its first and of its second half.
        backward: Lanes against the line (left of it), of its first and of its second half, seen along the line.
        width: Width of a lane.
        bank: Superelevation in its bends, radians, raised to the right.
    """

    ends: tuple[int, int]
    line: np.ndarray
    forward: tuple[int, int]
    backward: tuple[int, int]
    width: float
    bank: float = 0.0

    @property
    def reach(self) -> tuple[float, float]:
        """Distance of the kerbs to the right and to the left of the line, the widest half."""
        return max(self.forward) * self.width + KERB, max(self.backward) * self.width + KERB


KERB = 0.45
"""Paved strip between the outer lane and the kerb."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Intersections and roads.

    Attributes:
        nodes: (K, 2) float64 middles of the intersections.
        radii: (K,) how far roads are cut back from them.
        roads: All roads.
        size: Half width of the square that everything lies in.
    """

    nodes: np.ndarray
    radii: np.ndarray
    roads: tuple[RoadPlan, ...]
    size: float


def make_plan(rng: np.random.Generator, config: TownConfig) -> Plan:
    """A connected random plan whose every intersection has two roads or more."""
    columns, rows = config.blocks
    x, y = np.meshgrid(np.arange(columns) - (columns - 1) / 2, np.arange(rows) - (rows - 1) / 2)
    nodes = np.stack([x.ravel(), y.ravel()], -1) * config.block
    nodes += rng.uniform(-config.jitter, config.jitter, nodes.shape)
    size = (max(columns, rows) - 1) / 2 * config.block + 60.0
    lanes = [_lanes(rng, config) for _ in range(4 * len(nodes))]
    edges = _edges(rng, config, nodes, size)
    widths = rng.uniform(*config.lane_width, len(edges))
    reach = np.full(len(nodes), 0.0)
    for (a, b, _), (forward, backward), width in zip(edges, lanes, widths):
        wide = max(max(forward), max(backward)) * width + KERB
        for node in (a, b):
            if node >= 0:
                reach[node] = max(reach[node], wide)
    radii = reach + 5.5
    roads = []
    for (a, b, stub), (forward, backward), width in zip(edges, lanes, widths):
        line = _line(rng, config, nodes, a, b, stub)
        start, end = radii[a] if a >= 0 else 0.0, radii[b] if b >= 0 else 0.0
        trimmed = _trim(line, start, end)
        if len(trimmed) >= 12:
            roads.append(RoadPlan((a, b), trimmed, forward, backward, float(width), _bank(rng, config, trimmed)))
    return Plan(nodes, radii, tuple(roads), size)


def _lanes(rng: np.random.Generator, config: TownConfig) -> tuple[tuple[int, int], tuple[int, int]]:
    """Lanes of both directions, each as (first half, second half)."""

    def direction() -> tuple[int, int]:
        count = 2 if rng.random() < config.wide else 1
        return (count, 3 - count) if rng.random() < config.change else (count, count)

    forward = direction()
    return forward, ((0, 0) if rng.random() < config.one_way else direction())


def _edges(
    rng: np.random.Generator, config: TownConfig, nodes: np.ndarray, size: float
) -> list[tuple[int, int, tuple[float, float] | None]]:
    """(begin, end, point at the border) of all roads."""
    columns, rows = config.blocks
    inner = [(r * columns + c, r * columns + c + 1) for r in range(rows) for c in range(columns - 1)]
    inner += [(r * columns + c, (r + 1) * columns + c) for r in range(rows - 1) for c in range(columns)]
    parent = list(range(len(nodes)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    edges: list[tuple[int, int, tuple[float, float] | None]] = []
    for index in rng.permutation(len(inner)):
        a, b = inner[index]
        if root(a) != root(b) or rng.random() >= config.missing:
            parent[root(a)] = root(b)
            edges.append((a, b, None) if rng.random() < 0.5 else (b, a, None))
    for index, (x, y) in enumerate(nodes):
        r, c = divmod(index, columns)
        sides = [(-1, 0)] * (c == 0) + [(1, 0)] * (c == columns - 1) + [(0, -1)] * (r == 0) + [(0, 1)] * (r == rows - 1)
        for dx, dy in sides:
            degree = sum(index in edge[:2] for edge in edges)
            if degree < 2 or rng.random() >= 0.35:
                border = (dx * size if dx else x + rng.uniform(-6, 6), dy * size if dy else y + rng.uniform(-6, 6))
                edges.append((index, -1, border) if rng.random() < 0.5 else (-1, index, border))
    return edges


def _line(
    rng: np.random.Generator, config: TownConfig, nodes: np.ndarray, a: int, b: int, border: tuple[float, float] | None
) -> np.ndarray:
    """Reference line at 1 m: a smooth bulge that leaves both ends in the direction of the chord."""
    first = nodes[a] if a >= 0 else np.array(border)
    last = nodes[b] if b >= 0 else np.array(border)
    chord = last - first
    length = float(np.linalg.norm(chord))
    side = np.array([-chord[1], chord[0]]) / length
    t = np.linspace(0, 1, max(int(length), 2) + 1)
    bulge = rng.uniform(-config.bend, config.bend) * length * (16 * t**2 * (1 - t) ** 2)
    return first + t[:, None] * chord + bulge[:, None] * side


def _bank(rng: np.random.Generator, config: TownConfig, line: np.ndarray) -> float:
    """Superelevation of a road in its middle: the outer side of the bend is raised."""
    a, b = line[len(line) // 2] - line[0], line[-1] - line[0]
    bend = a[0] * b[1] - a[1] * b[0]  # positive where the line turns left: its right side is the outer one
    return float(np.sign(bend) * np.deg2rad(rng.uniform(0.2, 1.0) * config.banking)) if len(line) > 30 else 0.0


def _trim(line: np.ndarray, start: float, end: float) -> np.ndarray:
    """Cut away a length at both ends; points again at about 1 m."""
    distance = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1)))
    total = distance[-1] - end
    if total - start < 12:
        return np.zeros((0, 2))
    at = np.linspace(start, total, int(total - start) + 1)
    return np.stack([np.interp(at, distance, line[:, axis]) for axis in range(2)], -1)
