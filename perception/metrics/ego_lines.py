"""Are the two lines of the ego lane found? A simple, strict check for frames labelled by hand at a few rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perception.structures.lanes2d import Lanes2D

__all__ = ["line_error", "line_found", "lines_found"]


def line_error(lane: np.ndarray, xs: Sequence[float], rows: Sequence[float]) -> float:
    """Largest horizontal distance in pixels between a lane and a labelled line over the labelled rows.

    Args:
        lane: (N, 2) predicted points (x, y).
        xs: (R,) labelled x.
        rows: (R,) y of the labels, any order, R >= 2.

    Returns:
        The distance; infinity when the lane covers less than half of the labelled rows' range. Where it covers at
        least half it is continued in a straight line fitted to its points inside the range.
    """
    low, high = min(rows), max(rows)
    lane = lane[np.argsort(lane[:, 1])].astype(np.float64)
    covered = min(high, lane[-1, 1]) - max(low, lane[0, 1])
    inside = lane[(lane[:, 1] >= low - 1) & (lane[:, 1] <= high + 1)]
    if covered < 0.5 * (high - low) or len(inside) < 2:
        return float("inf")
    wanted = np.asarray(rows, dtype=np.float64)
    slope, start = np.polyfit(inside[:, 1], inside[:, 0], 1)
    within = (wanted >= lane[0, 1]) & (wanted <= lane[-1, 1])
    found = np.where(within, np.interp(wanted, lane[:, 1], lane[:, 0]), start + slope * wanted)
    return float(np.abs(found - np.asarray(xs)).max())


def line_found(lanes: Lanes2D, xs: Sequence[float], rows: Sequence[float], tolerance: float = 20.0) -> bool:
    """Whether any lane stays within ``tolerance`` pixels of a labelled line (see :func:`line_error`)."""
    return any(line_error(lane, xs, rows) <= tolerance for lane in lanes.lanes)


def lines_found(
    lanes: Lanes2D, left: Sequence[float], right: Sequence[float], rows: Sequence[float], tolerance: float = 20.0
) -> bool:
    """Whether both lines of the ego lane are found."""
    return line_found(lanes, left, rows, tolerance) and line_found(lanes, right, rows, tolerance)
