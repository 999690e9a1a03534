"""Training targets of GANet from lanes in network-input pixels (spec ganet section 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
import torch
from scipy.interpolate import splev, splrep

from perception.ops.lane_maps import lane_maps

Spline = tuple[tuple, float, float]


def fit_spline(points: np.ndarray, height: float, width: float) -> Spline | None:
    """Interpolate x as a function of y.

    Args:
        points: (N, 2) xy in cells; points with x <= 0 or x >= width and repeated y are dropped.
        height: Grid height in cells, bounds the range of y.
        width: Grid width in cells.

    Returns:
        Spline (cubic for more than three points, else linear) and its range of y clipped to [0, height];
        None when fewer than two points remain.
    """
    points = points[(points[:, 0] > 0) & (points[:, 0] < width)]
    points = points[np.argsort(points[:, 1], kind="stable")]
    if len(points) > 1:
        points = points[np.concatenate([[True], np.diff(points[:, 1]) > 0])]
    if len(points) < 2:
        return None
    curve = splrep(points[:, 1], points[:, 0], k=3 if len(points) > 3 else 1, s=0)
    return curve, max(float(points[0, 1]), 0.0), min(float(points[-1, 1]), float(height))


def sample_spline(spline: Spline, count: int) -> np.ndarray:
    """Evaluate at `count` equidistant y; returns (count, 2) xy."""
    curve, low, high = spline
    y = np.linspace(low, high, count)
    return np.stack([splev(y, curve), y], axis=1)


def clip_polyline(points: np.ndarray, right: float, bottom: float) -> np.ndarray:
    """Vertices of a polyline inside the closed rectangle [0, right] x [0, bottom].

    Args:
        points: (N, 2) xy.
        right: Largest x.
        bottom: Largest y.

    Returns:
        (M, 2) vertices in the order of the line; the parts of a line that leaves and returns are concatenated.
        Empty when nothing of positive length is inside.
    """
    if ((points >= 0) & (points <= (right, bottom))).all():
        return points
    out = np.empty((2 * len(points), 2))
    return out[: _clip(np.ascontiguousarray(points, np.float64), np.array([right, bottom], np.float64), out)].copy()


@numba.njit(cache=True)
def _clip(points: np.ndarray, corner: np.ndarray, out: np.ndarray) -> int:
    """Liang-Barsky clipping of every segment; returns the number of vertices written to `out`."""
    count = 0
    for i in range(len(points) - 1):
        a, b = points[i], points[i + 1]
        enter, leave = 0.0, 1.0
        for axis in range(2):
            step = b[axis] - a[axis]
            if step == 0:
                if a[axis] < 0 or a[axis] > corner[axis]:
                    leave = -1.0
                continue
            one, two = -a[axis] / step, (corner[axis] - a[axis]) / step
            enter, leave = max(enter, min(one, two)), min(leave, max(one, two))
        if leave <= enter:
            continue
        for end, t in ((a, enter), (b, leave)):
            whole = t == 0 or t == 1
            x = end[0] if whole else min(max(a[0] + t * (b[0] - a[0]), 0.0), corner[0])
            y = end[1] if whole else min(max(a[1] + t * (b[1] - a[1]), 0.0), corner[1])
            if count == 0 or out[count - 1, 0] != x or out[count - 1, 1] != y:
                out[count, 0], out[count, 1] = x, y
                count += 1
    return count


def lane_samples(
    lanes: Sequence[np.ndarray], height: int, width: int, stride: int, count: int, rows: int
) -> np.ndarray:
    """Integer sample positions of every lane on one pyramid level, the targets of the LFA points.

    Args:
        lanes: (N, 2) xy each, network-input pixels.
        height: Network-input height in pixels.
        width: Network-input width in pixels.
        stride: Of the level.
        count: Samples per lane.
        rows: Lanes in the result; further lanes are left out.

    Returns:
        (rows, count, 2) float32 (y, x) cells, unused rows -1.
    """
    h, w = height // stride, width // stride
    splines = [fit_spline(np.asarray(lane, np.float64) / stride, h, w) for lane in lanes]
    return _sample_rows([spline for spline in splines if spline is not None], h, w, count, rows)


def _sample_rows(splines: Sequence[Spline], h: int, w: int, count: int, rows: int) -> np.ndarray:
    out = np.full((rows, count, 2), -1, np.float32)
    for row, spline in enumerate(splines[:rows]):
        out[row] = np.clip(sample_spline(spline, count), 0, [w - 1, h - 1]).astype(np.int64)[:, ::-1]
    return out


def lane_targets(
    lanes: Sequence[np.ndarray],
    height: int,
    width: int,
    stride: int,
    sample_count: int,
    max_lanes: int = 6,
    radius: int = 2,
    start_radius: int = 4,
) -> dict[str, np.ndarray]:
    """All targets of one image on the grid h = height // stride, w = width // stride.

    Args:
        lanes: (N, 2) xy each, network-input pixels.
        height: Network-input height in pixels.
        width: Network-input width in pixels.
        stride: Of the heatmap.
        sample_count: LFA samples per lane.
        max_lanes: Lanes with LFA samples; the maps hold all lanes.
        radius: Of the keypoint Gaussians in cells.
        start_radius: Of the start-point Gaussians in cells.

    Returns:
        float32 arrays: ``keypoint_hm`` and ``start_hm`` (1, h, w), ``cell_offset``, ``start_offset`` and
        ``start_weight`` (2, h, w), ``offset_mask`` (1, h, w), ``lane_points`` (max_lanes, sample_count, 2).
    """
    h, w = height // stride, width // stride
    fitted = (fit_spline(np.asarray(lane, np.float64) / stride, h, w) for lane in lanes)
    splines = [spline for spline in fitted if spline is not None]
    drawn = (lane_vertices(spline, h, w, int(360 / stride)) for spline in splines)
    lines = [line for line in drawn if line is not None]
    maps = lane_maps(
        torch.from_numpy(np.concatenate([*lines, np.zeros((0, 2))])),
        torch.from_numpy(np.cumsum([0, *map(len, lines)], dtype=np.int64)),
        torch.zeros(len(lines), dtype=torch.int64),
        (1, h, w),
        radius,
        start_radius,
    )
    out = {name: tensor.numpy()[0] for name, tensor in maps._asdict().items()}
    out["lane_points"] = _sample_rows(splines, h, w, sample_count, max_lanes)
    return out


def lane_vertices(spline: Spline, h: int, w: int, count: int) -> np.ndarray | None:
    """Dense vertices of a lane inside the grid, lowest first; None for a lane that is too short."""
    line = sample_spline(spline, count)
    line = line[np.argsort(-line[:, 1], kind="stable")]
    vertices = clip_polyline(line, w - 1, h - 1)
    if len(vertices) < 2 or np.linalg.norm(np.diff(vertices, axis=0), axis=1).sum() < 1:
        return None
    return vertices
