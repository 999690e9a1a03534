"""Pedestrian crossings, intersection areas and road boundaries of a planned town."""

from __future__ import annotations

import cv2
import numpy as np

from perception.sim.city.ground import lifted
from perception.sim.city.layout import Plan, TownConfig
from perception.sim.city.model import Area, Category, GroundMap, Lane
from perception.sim.city.network import offset_line

DEPTH = 3.0
"""Of a crossing along the road, metres."""


def make_areas(rng: np.random.Generator, config: TownConfig, plan: Plan, lanes: tuple[Lane, ...]) -> tuple[Area, ...]:
    """Crossings at some arms, and one area an intersection: the hull of its connecting lanes."""
    areas = []
    for road in plan.roads:
        right, left = road.reach
        edges = offset_line(road.line, left), offset_line(road.line, -right)
        for node, near, far in ((road.ends[0], 1, 4), (road.ends[1], -2, -5)):
            if node >= 0 and rng.random() < config.crossing:
                corners = [edges[0][near], edges[1][near], edges[1][far], edges[0][far]]
                areas.append(Area("crossing", np.c_[np.array(corners), np.zeros(4)]))
    for node in range(len(plan.nodes)):
        points = [np.concatenate([lane.left, lane.right])[:, :2] for lane in lanes if lane.intersection == node]
        if points:
            hull = cv2.convexHull(np.concatenate(points).astype(np.float32))[:, 0].astype(np.float64)
            areas.append(Area("intersection", np.c_[hull, np.zeros(len(hull))]))
    return tuple(areas)


def road_boundaries(ground: GroundMap, coarse: int = 4, step: float = 1.5) -> tuple[np.ndarray, ...]:
    """Edges of the pavement of all roads, traced on the ground map.

    Args:
        ground: The painted ground.
        coarse: Cells of the map that are taken together.
        step: Distance of points, metres.

    Returns:
        (N, 3) float64 lines; they end where roads leave the map.
    """
    paved = np.isin(ground.category[::coarse, ::coarse], (Category.ROAD, Category.LANE_MARK, Category.CROSSING))
    cell = ground.resolution * coarse
    contours, _ = cv2.findContours(paved.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    size, lines = np.array(paved.shape)[::-1], []
    for contour in contours:
        pixels = contour[:, 0]
        border = ((pixels < 2) | (pixels > size - 3)).any(1)
        if border.any():  # begin at a gap, so that no line runs through it
            first = int(np.argmax(border))
            pixels, border = np.roll(pixels, -first, axis=0), np.roll(border, -first)
        else:
            pixels, border = np.concatenate([pixels, pixels[:1]]), np.zeros(len(pixels) + 1, bool)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], (~border).astype(np.int8), [0]])))
        for begin, end in zip(edges[::2], edges[1::2]):
            points = ground.origin + (pixels[begin:end] * coarse + 0.5) * ground.resolution
            distance = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1)))
            if distance[-1] < 3:
                continue
            smooth = cv2.blur(points, (1, max(int(0.8 / cell), 1)), borderType=cv2.BORDER_REPLICATE)
            at = np.linspace(0, distance[-1], int(distance[-1] / step) + 2)
            line = np.stack([np.interp(at, distance, smooth[:, axis]) for axis in range(2)], -1)
            lines.append(lifted(ground, line))
    return tuple(lines)
