"""Towns in the layout of RACECAR: nuScenes tables without truth, and file names with times of uneven length."""

from __future__ import annotations

from collections.abc import Iterator

from perception.sim.writers import Request
from perception.sim.writers.nuscenes import Style, write_layout


def stamp(time_ns: int) -> str:
    """Ten digits of seconds, then nanoseconds without leading zeros, as the data set writes them."""
    return f"{time_ns // 10**9:010d}{time_ns % 10**9}"


STYLE = Style("MULTI-SLOW-SIM", "LIDAR_FUSED", truth=False, stamp=stamp, in_ego=True)


def write(request: Request) -> Iterator[str]:
    """Serve ``perception simulate --format racecar``; the option ``key_every`` as for nuScenes, default 6."""
    key_every = int(request.option({"key_every": "6"})["key_every"])
    yield from write_layout(request, "racecar", key_every)
