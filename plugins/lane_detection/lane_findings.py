"""What can be wrong with the lanes of one record."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from perception.engine.datasets import Finding


def lane_findings(lanes: Any, where: str, size: tuple[int, int] | None = None) -> Iterator[Finding]:
    """Check lanes as they are in a file: ``[[[x, y], ...], ...]`` in pixels.

    Args:
        lanes: What was read.
        where: Named in the findings.
        size: (width, height) of the picture, when known.
    """
    if not isinstance(lanes, list):
        yield Finding(where, "lanes: a list of lines", type(lanes).__name__)
        return
    for index, lane in enumerate(lanes):
        place = f"{where}, lane {index}"
        bad = [lane] if not isinstance(lane, list) else [point for point in lane if not _is_point(point)]
        if bad:
            yield Finding(place, "points [x, y] of finite numbers", str(bad[0])[:40])
        elif len(lane) < 2:
            yield Finding(place, "two points or more", str(len(lane)))
        elif len({point[1] for point in lane}) < 2:
            yield Finding(place, "a line that climbs in the picture", "all points in one row", fatal=False)
        elif size is not None:
            outside = [p for p in lane if not (-size[0] <= p[0] <= 2 * size[0] and -1 <= p[1] <= size[1] + 1)]
            if outside:
                yield Finding(place, f"points of a picture of {size[0]} x {size[1]}", str(outside[0]), fatal=False)


def _is_point(point: Any) -> bool:
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(isinstance(value, (int, float)) and math.isfinite(value) for value in point)
    )
