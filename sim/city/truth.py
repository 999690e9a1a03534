"""Lane truth around the ego: lane segments, areas, and the graph of lanes and traffic elements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perception.geometry.transforms import invert_pose
from perception.sim.city.model import Lane, Town
from perception.structures import Boxes2D, LaneGraph, LaneSegments

CROSSING, BOUNDARY = 1, 2
"""Labels of ``LaneSegments.areas``."""


@dataclass(frozen=True)
class Region:
    """What part of the ground is labelled, in the ego frame.

    Attributes:
        x: Smallest and largest x, metres.
        y: Smallest and largest y.
        shortest: Pieces of lanes and lines below this length are left out, metres.
    """

    x: tuple[float, float] = (-50.0, 50.0)
    y: tuple[float, float] = (-25.0, 25.0)
    shortest: float = 1.0

    def inside(self, points: np.ndarray) -> np.ndarray:
        """(N,) bool which of (N, 2+) ego points lie within."""
        return (
            (points[:, 0] >= self.x[0]) & (points[:, 0] <= self.x[1])
            & (points[:, 1] >= self.y[0]) & (points[:, 1] <= self.y[1])
        )  # fmt: skip


Lanes = list[tuple[Lane, dict[str, np.ndarray]]]
"""Lanes with the parts of their lines that are wanted."""


def lanes_in(town: Town, ego: np.ndarray, region: Region) -> Lanes:
    """Lanes whose centerline crosses the region, cut at its border.

    Args:
        town: The town.
        ego: (4, 4) ``world_from_ego``.
        region: What is wanted.

    Returns:
        Each lane with its ``centerline``, ``left`` and ``right`` in the ego frame, point by point beside each other.
    """
    inverse = invert_pose(ego)
    found = []
    for lane in town.lanes:
        if np.abs(lane.centerline[:, :2] - ego[:2, 3]).max(1).min() > 90:
            continue
        lines = {
            name: getattr(lane, name) @ inverse[:3, :3].T + inverse[:3, 3] for name in ("centerline", "left", "right")
        }
        span = _span(lines["centerline"], region)
        if span is None:
            continue
        cut = {name: _between(line, *span) for name, line in lines.items()}
        if np.linalg.norm(np.diff(cut["centerline"], axis=0), axis=1).sum() >= region.shortest:
            found.append((lane, cut))
    return found


def lane_segments(
    town: Town, ego: np.ndarray, region: Region | None = None, lanes: Lanes | None = None
) -> LaneSegments:
    """Lane segments, crossings and road boundaries in the ego frame.

    Args:
        town: The town.
        ego: (4, 4) ``world_from_ego``.
        region: What is labelled.
        lanes: What :func:`lanes_in` returned for them, where it is at hand.
    """
    region = region or Region()
    lanes = lanes_in(town, ego, region) if lanes is None else lanes
    areas, labels = _areas(town, ego, region)
    return LaneSegments(
        "ego",
        tuple(cut["centerline"] for _, cut in lanes),
        tuple(cut["left"] for _, cut in lanes),
        tuple(cut["right"] for _, cut in lanes),
        np.array([(lane.left_type, lane.right_type) for lane, _ in lanes], np.int64).reshape(-1, 2),
        np.ones(len(lanes)),
        successors([lane for lane, _ in lanes]),
        areas,
        labels,
        np.ones(len(areas)),
    )


def lane_graph(
    town: Town, ego: np.ndarray, elements: Boxes2D | None = None, ids: np.ndarray | None = None,
    region: Region | None = None, lanes: Lanes | None = None,
) -> LaneGraph:  # fmt: skip
    """Centerlines and which elements rule them.

    Args:
        town: The town.
        ego: (4, 4) ``world_from_ego``.
        elements: Boxes of elements in the front camera.
        ids: (M,) id in ``Town.elements`` of each box.
        region: What is labelled.
        lanes: What :func:`lanes_in` returned for them, where it is at hand.
    """
    lanes = lanes_in(town, ego, region or Region()) if lanes is None else lanes
    ids = np.zeros(0, np.int64) if ids is None else ids
    ruled = np.array([[element in lane.elements for element in ids.tolist()] for lane, _ in lanes], np.float32)
    return LaneGraph(
        "ego",
        tuple(cut["centerline"] for _, cut in lanes),
        np.ones(len(lanes)),
        elements,
        successors([lane for lane, _ in lanes]),
        ruled.reshape(len(lanes), len(ids)),
    )


def successors(lanes: list[Lane]) -> np.ndarray:
    """(N, N) float32, entry (i, j) 1 when lane j follows lane i."""
    out = np.zeros((len(lanes), len(lanes)), np.float32)
    column = {lane.id: j for j, lane in enumerate(lanes)}
    for i, lane in enumerate(lanes):
        for successor in lane.successors:
            if successor in column:
                out[i, column[successor]] = 1.0
    return out


def _areas(town: Town, ego: np.ndarray, region: Region) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Crossings that lie within the region as closed polygons, and pieces of road boundaries."""
    inverse = invert_pose(ego)
    areas, labels = [], []
    for area in town.areas:
        polygon = area.polygon @ inverse[:3, :3].T + inverse[:3, 3]
        if area.kind == "crossing" and region.inside(polygon.mean(0)[None])[0]:
            areas.append(np.concatenate([polygon, polygon[:1]]))
            labels.append(CROSSING)
    for boundary in town.boundaries:
        line = boundary @ inverse[:3, :3].T + inverse[:3, 3]
        inside = region.inside(line)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(np.int8), [0]])))
        for first, last in zip(edges[::2], edges[1::2]):
            piece = line[first:last]
            if len(piece) > 1 and np.linalg.norm(np.diff(piece, axis=0), axis=1).sum() >= region.shortest:
                areas.append(piece)
                labels.append(BOUNDARY)
    return tuple(areas), np.array(labels, np.int64)


def _span(line: np.ndarray, region: Region) -> tuple[float, float] | None:
    """Longest run of points within the region as fractional indices, reaching to its border; None without any."""
    inside = region.inside(line)
    if not inside.any():
        return None
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(np.int8), [0]])))
    starts, ends = edges[::2], edges[1::2]
    best = int(np.argmax(ends - starts))
    first, last = int(starts[best]), int(ends[best]) - 1
    begin, end = float(first), float(last)
    if first > 0:
        begin -= _share(line[first], line[first - 1], region)
    if last < len(line) - 1:
        end += _share(line[last], line[last + 1], region)
    return begin, end


def _share(inner: np.ndarray, outer: np.ndarray, region: Region) -> float:
    """How far, 0 to 1, one gets from a point within towards one outside before the border."""
    share = 1.0
    for value, beyond, (low, high) in zip(inner, outer, (region.x, region.y)):
        for border in (low, high):
            if (value - border) * (beyond - border) < 0:
                share = min(share, (border - value) / (beyond - value))
    return share


def _between(line: np.ndarray, begin: float, end: float) -> np.ndarray:
    """The points of a line from one fractional index to another, ends interpolated."""
    inner = np.arange(int(np.floor(begin)) + 1, int(np.ceil(end)))
    at = np.concatenate([[begin], inner, [end]])
    grid = np.arange(len(line))
    return np.stack([np.interp(at, grid, line[:, axis]) for axis in range(3)], -1)
