"""Exact lane truth of a view: the painted lines of the road projected into the image (CULane convention)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perception.sim.seen import seen_shares
from perception.sim.sensors.raycast import RayWorld
from perception.sim.sensors.render import View
from perception.sim.world.scene import Scene
from perception.sim.world.section import LineMark
from perception.structures import Lanes2D

_SPACING = 0.25


@dataclass(frozen=True)
class TruthConfig:
    """What is labelled.

    Attributes:
        lines_per_side: Lines left and right of the ego that are labelled; None labels all.
        reach: Largest distance along the road, metres.
        separation: Lines end where they come closer to a neighbour than this, pixels.
        row_step: Distance of points in rows for an image 590 pixels high; scaled with the height, at least 2.
        least_seen: Lines whose paint shows on a smaller share of their rows are not labelled: nobody finds a line that
            is worn away or lies behind a truck from end to end. 0 labels them too.
        least_contrast: Michelson contrast from which paint shows.
    """

    lines_per_side: int | None = 2
    reach: float = 90.0
    separation: float = 2.0
    row_step: float = 10.0
    least_seen: float = 0.05
    least_contrast: float = 0.04


def lane_truth(scene: Scene, view: View, world: RayWorld, config: TruthConfig | None = None) -> Lanes2D:
    """Painted lines of the view, ordered left to right; see :func:`trace_lanes`."""
    return trace_lanes(scene, view, world, config)[0]


def trace_lanes(
    scene: Scene, view: View, world: RayWorld, config: TruthConfig | None = None
) -> tuple[Lanes2D, tuple[int, ...]]:
    """Painted lines of the view, ordered left to right, and which marks of the section they are.

    A line continues through gaps of its dashes and behind vehicles; it ends where the road disappears behind a crest or
    for good behind static objects, at ``reach``, or where it merges with its neighbour near the horizon. A line that
    cannot be seen anywhere (see ``least_seen``) is left out.

    Args:
        scene: The scene.
        view: Camera and pose.
        world: Ray-casting geometry of the same instant.
        config: What is labelled.

    Returns:
        Lanes in pixels of the view's camera, bottom up, sub-pixel exact, points on whole rows; and for each the
        index of its mark in ``scene.section.marks``.
    """
    config = config or TruthConfig()
    ego_d = scene.ego.state(view.time)[1]
    traces, ids = [], []
    for index, mark in _nearest(scene, view.station, ego_d, config.lines_per_side):
        stations = np.arange(view.station - 10.0, min(view.station + config.reach, world.end), _SPACING)
        points = scene.road.points(stations, mark.at(stations))
        trace = _image_trace(view, world, points, stations)
        if trace is not None:
            traces.append(trace)
            ids.append(index)
    step = max(2, round(config.row_step * view.camera.height / 590))
    rows = np.arange(view.camera.height - 1, -1, -step, dtype=np.float64)
    columns = np.array([np.interp(rows, t[::-1, 1], t[::-1, 0], left=np.nan, right=np.nan) for t in traces])
    columns = columns.reshape(len(traces), len(rows))
    _stop_at_merge(columns, config.separation)
    with np.errstate(invalid="ignore"):
        columns[(columns < -0.5) | (columns > view.camera.width - 0.5)] = np.nan
    found = [(_lane(column, rows), trace, index) for column, trace, index in zip(columns, traces, ids)]
    found = [item for item in found if len(item[0]) >= 2]
    if config.least_seen > 0:
        marks = [scene.section.marks[index] for _, _, index in found]
        places = [_stations(lane, trace) for lane, trace, _ in found]
        shares = seen_shares(scene, view, world, marks, places, config.least_contrast)
        found = [item for item, share in zip(found, shares) if share >= config.least_seen]
    result = Lanes2D(view.camera.name, view.camera.size, tuple(lane for lane, _, _ in found))
    return result, tuple(index for _, _, index in found)


def _stations(lane: np.ndarray, trace: np.ndarray, count: int = 64) -> np.ndarray:
    """(count,) stations of a traced line at even steps of rows between the ends of its label."""
    rows = np.linspace(lane[0, 1], lane[-1, 1], count)
    return np.interp(rows, trace[::-1, 1], trace[::-1, 2])


def _nearest(scene: Scene, station: float, ego_d: float, per_side: int | None) -> list[tuple[int, LineMark]]:
    """Labelled marks with their indices from left to right, limited to the nearest of each side."""
    ahead = np.array(station + 4.0)
    marks = [(index, mark) for index, mark in enumerate(scene.section.marks) if mark.labelled]
    marks.sort(key=lambda item: -float(item[1].at(ahead)))
    if per_side is None:
        return marks
    left = [item for item in marks if item[1].at(ahead) >= ego_d]
    right = [item for item in marks if item[1].at(ahead) < ego_d]
    return left[-per_side:] + right[:per_side]


def _image_trace(view: View, world: RayWorld, points: np.ndarray, stations: np.ndarray) -> np.ndarray | None:
    """(N, 3) pixels and station of the visible part of a line, near to far, rows strictly decreasing, or None."""
    pose = view.world_from_camera
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    uv, _ = view.camera.project(local)
    width, height = view.camera.size
    corners = view.camera.unproject(np.array([(0, 0), (width, 0), (0, height), (width, height)]))
    reach = 1.4 * np.hypot(corners[:, 0], corners[:, 1]).max()  # beyond, lens polynomials mean nothing
    near = np.hypot(local[:, 0], local[:, 1]) < reach * local[:, 2]
    usable = (local[:, 2] > 0.3) & near & np.isfinite(uv).all(1)
    if usable.sum() < 2:
        return None
    first = int(np.argmax(usable))
    last = first + int(np.argmin(np.append(usable[first:], False)))
    points, uv, stations = points[first:last], uv[first:last], stations[first:last]
    origin = pose[:3, 3]
    on_ground = world.visible(origin, points, ground_only=True)
    hidden = np.flatnonzero(~on_ground & (uv[:, 1] < view.camera.height))
    free = world.visible(origin, points, ground_only=False)
    end = min(hidden[0] if len(hidden) else len(uv), (np.flatnonzero(free)[-1] + 1) if free.any() else 0)
    rising = np.flatnonzero(np.diff(uv[:, 1]) >= 0)
    rising = rising[uv[rising, 1] < view.camera.height] if len(rising) else rising
    end = min(end, int(rising[0]) + 1) if len(rising) else end
    uv = uv[:end]
    keep = np.flatnonzero(np.diff(uv[:, 1], append=-np.inf) < 0)
    return np.column_stack([uv[keep], stations[keep]]) if len(keep) >= 2 else None


def _stop_at_merge(columns: np.ndarray, separation: float) -> None:
    """Cut neighbours, in place, above the lowest row where they are closer than ``separation`` pixels."""
    ends = np.full(len(columns), columns.shape[1])
    for i in range(len(columns) - 1):
        with np.errstate(invalid="ignore"):
            close = np.flatnonzero(columns[i + 1] - columns[i] < separation)
        if len(close):
            ends[i : i + 2] = np.minimum(ends[i : i + 2], close[0])
    for column, end in zip(columns, ends):
        column[end:] = np.nan


def _lane(column: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(N, 2) float32 points of the longest run of finite columns, bottom up."""
    finite = np.isfinite(column)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], finite.astype(np.int8), [0]])))
    if not len(edges):
        return np.zeros((0, 2), np.float32)
    starts, ends = edges[::2], edges[1::2]
    best = int(np.argmax(ends - starts))
    pick = slice(starts[best], ends[best])
    return np.stack([column[pick], rows[pick]], -1).astype(np.float32)
